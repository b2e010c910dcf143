"""A person's answer reaches its month, also when the month could not be corrected at once."""

from __future__ import annotations

import datetime
import logging
import os
import time
from decimal import Decimal
from pathlib import Path

import pytest

from prefect_seedance.budget.limits import Limits
from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.budget.records import Totals
from prefect_seedance.generation.collect import collect
from prefect_seedance.generation.resolve import settle
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.generation.submit import submit
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.ledger import Ledger, record_path
from prefect_seedance.ledger.record import Step
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator
from tests.support.generating import generate
from tests.support.renderer import QUICK, budget_of, small

LIMITS = Limits(per_day=Decimal(5))


async def test_an_answer_that_its_month_could_not_take_is_said_and_brought_in_after_the_key_was_stored(
    emulator: RunningEmulator,
    store: Store,
    client: RunpodClient,
    prompt: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    request, sibling = small(prompt), small(f"{prompt} sibling")
    budget = budget_of(store, request, sibling, limits=LIMITS)
    await budget.reserve()
    emulator.fault("run", "drop", prompt=prompt)
    unclear = await submit(RenderSession(client, Ledger(store), waiting=QUICK, budget=budget), request)
    await budget.close()
    damaged, two_hours_ago = Path(store.url) / record_path(key_of(sibling), 1), time.time() - 7200
    damaged.parent.mkdir()
    damaged.write_text("{")
    os.utime(Path(store.url) / record_path(unclear.key, 1), (two_hours_ago, two_hours_ago))
    with caplog.at_level(logging.WARNING):
        await settle(Ledger(store), f"{unclear.key}@{unclear.number}", "not charged")
    assert "its month still counts what it did before" in caplog.text

    budget = budget_of(store, request, limits=LIMITS)
    await budget.reserve()
    stored = await generate(RenderSession(client, Ledger(store), waiting=QUICK, budget=budget), request)
    await budget.close()
    assert stored.state is Step.STORED
    collected = await collect(RenderSession(client, Ledger(store), waiting=QUICK), MonthlySpend(store))
    assert list(collected.unreadable) == [stored.key]

    damaged.unlink()
    await collect(RenderSession(client, Ledger(store), waiting=QUICK), MonthlySpend(store))
    [charge] = [charge for charge in emulator.charges if charge["prompt"] == prompt]
    day = (await MonthlySpend(store).usage(datetime.datetime.now(datetime.UTC))).day
    assert day == Totals(spent_usd=Decimal(str(charge["usd"])))
    assert await Ledger(store).markers() == []
