"""Reservations of the first format, whose keys stood inside the month's records and went as they were settled."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from prefect_seedance.budget.counting import ZERO
from prefect_seedance.budget.records import OpenReservation, Reservation
from prefect_seedance.budget.steps import MonthSteps

FIRST = "prefect-seedance/spending/1"


@dataclass
class Made:
    """A reservation as it was made, and what the steps of the first format have entered for it."""

    reservation: Reservation
    spent_usd: Decimal = ZERO


async def made_in(steps: MonthSteps, month: str) -> dict[str, Made]:
    """Every reservation that *month* holds in the first format, by id. Reads the month if it begins in that format."""
    last = await steps.last(month)
    if last is None or (await steps.read(month, 1)).schema_ != FIRST:
        return {}
    found: dict[str, Made] = {}
    for record in await steps.between(month, 0, last.number):
        if record.schema_ != FIRST:
            break
        for name in record.open.keys() - found.keys():  # at its first step it holds all its keys
            found[name] = Made(_as_made(record.open[name]))
        if record.reservation in found:
            found[record.reservation].spent_usd += sum((record.charged or {}).values(), ZERO)
    return found


def _as_made(entry: OpenReservation) -> Reservation:
    return Reservation(
        id=entry.id, month=entry.month, day=entry.day, at=entry.until, writer=entry.writer, keys=entry.keys or {}
    )
