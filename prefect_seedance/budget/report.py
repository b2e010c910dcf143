"""Spending, clips, time to clip, unclear and lost by UTC day of the claim: the truth, read from the whole ledger."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import median
from typing import Any

from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.budget.records import Usage
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.ledger.rules import History
from prefect_seedance.storage.store import Store

COLUMNS = ("day", "claims", "stored", "failed", "unclear", "lost", "spent_usd", "at_risk_usd", "median_seconds_to_clip")


@dataclass
class Day:
    """One UTC day's claims and what became of them."""

    day: str
    ends: list[Record] = field(default_factory=list)
    strays: list[Record] = field(default_factory=list)

    def _of(self, *steps: Step) -> list[Record]:
        return [record for record in self.ends if record.step in steps]

    def as_row(self) -> dict[str, Any]:
        """Flat, for a table or a warehouse. Money in dollars; unclear, lost and stray jobs count as at risk."""
        spent = sum((r.charged_usd for r in self._of(Step.COMPLETED, Step.STORED)), Decimal(0))
        risky = [*self._of(Step.CLAIMED, Step.UNCLEAR, Step.ACCEPTED, Step.LOST), *self.strays]
        seconds = [(r.at - r.claimed_at).total_seconds() for r in self._of(Step.STORED)]
        return {
            "day": self.day,
            "claims": len(self.ends),
            "stored": len(self._of(Step.STORED)),
            "failed": len(self._of(Step.FAILED)),
            "unclear": len(self._of(Step.UNCLEAR)),
            "lost": len(self._of(Step.LOST)) + len(self.strays),
            "spent_usd": float(spent),
            "at_risk_usd": float(sum((r.charged_usd for r in risky), Decimal(0))),
            "median_seconds_to_clip": round(median(seconds), 1) if seconds else None,
        }


async def daily(ledger: Ledger) -> tuple[list[Day], dict[str, str]]:
    """Every day that has claims, oldest first, and the keys that can't be read, each with the reason.

    Reads the whole ledger.
    """
    histories, errors = await ledger.load_readable(await ledger.keys(), whole=True)
    return days_of(histories), errors


def days_of(histories: Iterable[History]) -> list[Day]:
    """The days of *histories*: each claim counts once, on its day, as what became of it."""
    days: dict[str, Day] = {}
    for history in histories:
        for record in history.by_claim.values():
            _day_of(days, record).ends.append(record)
        for stray in history.strays:
            _day_of(days, stray).strays.append(stray)
    return [days[name] for name in sorted(days)]


def _day_of(days: dict[str, Day], record: Record) -> Day:
    name = record.claimed_at.astimezone(datetime.UTC).strftime("%Y-%m-%d")
    return days.setdefault(name, Day(name))


async def usage_of(store: Store) -> Usage:
    """What is spent and reserved today and this month."""
    return await MonthlySpend(store).usage(datetime.datetime.now(datetime.UTC))
