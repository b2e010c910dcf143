"""What the emulator has charged for, and what the month of now says of it."""

from __future__ import annotations

import datetime
import os
import time
from decimal import Decimal
from pathlib import Path

from prefect_seedance.budget.months import OBSERVERS_WAIT_SECONDS, MonthlySpend
from prefect_seedance.budget.records import OpenReservation, Totals
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator


def charged(emulator: RunningEmulator, prompt: str) -> list[Decimal]:
    return [Decimal(str(charge["usd"])) for charge in emulator.charges if charge["prompt"].startswith(prompt)]


async def day_of(store: Store) -> Totals:
    return (await MonthlySpend(store).usage(datetime.datetime.now(datetime.UTC))).day


def make_older(store: Store, seconds: float) -> None:
    """The first record of the month, so that a reservation of *seconds* has ended for everybody."""
    (record,) = Path(store.url).glob("spending/2*/00001.json")
    then = time.time() - seconds - OBSERVERS_WAIT_SECONDS - 1  # a file system dates more coarsely
    os.utime(record, (then, then))


async def open_ones(store: Store) -> list[OpenReservation]:
    return await MonthlySpend(store).open(datetime.datetime.now(datetime.UTC))
