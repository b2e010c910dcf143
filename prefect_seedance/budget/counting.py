"""What the claims under a reservation have become: by UTC day of the claim for people, and as money for the month."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from statistics import median
from typing import Annotated, Any

from pydantic import PlainSerializer

from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.ledger.rules import History
from prefect_seedance.models import Frozen

ZERO = Decimal(0)
OUT = (Step.CLAIMED, Step.ACCEPTED, Step.COMPLETED)
EARNED = (Step.COMPLETED, Step.STORED)
AT_RISK = (Step.CLAIMED, Step.UNCLEAR, Step.ACCEPTED, Step.LOST, Step.STRAY)

ExactUsd = Annotated[Decimal, PlainSerializer(str, return_type=str, when_used="json")]
"""Dollars that are added up again and again: exact in JSON too."""


class DayCount(Frozen):
    """Claims of one UTC day and what became of them."""

    claims: int = 0
    stored: int = 0
    failed: int = 0
    unclear: int = 0
    lost: int = 0
    spent_usd: ExactUsd = ZERO
    at_risk_usd: ExactUsd = ZERO
    seconds: tuple[float, ...] = ()
    """From claim to clip, of every stored one."""

    def plus(self, other: DayCount) -> DayCount:
        mine, others = dict(self), dict(other)
        return DayCount(**{name: mine[name] + others[name] for name in mine})

    def as_row(self, day: str) -> dict[str, Any]:
        """Flat, for a table or a warehouse. Money in dollars; unclear, lost and stray jobs count as at risk."""
        counts = self.model_dump(include={"claims", "stored", "failed", "unclear", "lost"})
        return {
            "day": day,
            **counts,
            "spent_usd": float(self.spent_usd),
            "at_risk_usd": float(self.at_risk_usd),
            "median_seconds_to_clip": round(median(self.seconds), 1) if self.seconds else None,
        }


Counted = dict[str, DayCount]
"""By UTC day."""


@dataclass(frozen=True)
class Outcome:
    """What the histories of a reservation's keys say of the claims under it."""

    spent_usd: Decimal
    reserved_usd: Decimal
    """What keys that are still out keep reserved."""
    any_out: bool
    days: Counted


def outcome_of(reservation: str, prices: Mapping[str, Decimal], histories: Iterable[History]) -> Outcome:
    """What became of the claims under *reservation*, whose keys have these upper *prices*.

    Unclear, lost and stray jobs count in full; what is out under a run without limits keeps what its claims may cost.
    The histories have to be whole.
    """
    spent, reserved, any_out = ZERO, ZERO, False
    found: list[Record] = []
    for history in histories:
        ends = [record for record in ends_of(history) if record.reservation == reservation]
        out = [record for record in ends if record.step in OUT]
        spent += sum((record.charged_usd for record in ends if record.step not in OUT), ZERO)
        if out:
            claimed = sum((record.charged_usd for record in out), ZERO)
            reserved, any_out = reserved + max(prices[history.key], claimed), True
        found += ends
    return Outcome(spent, reserved, any_out, counted(found))


def ends_of(history: History) -> Iterator[Record]:
    """The last record of each claim, and every stray; what closed a number that nobody claimed is none."""
    claims = {record.claim_id for record in history.records if record.step is Step.CLAIMED}
    for record in history.by_claim.values():
        if record.step is not Step.REFUSED or record.claim_id in claims:
            yield record
    yield from history.strays


def counted(ends: Iterable[Record]) -> Counted:
    """Each of *ends* once, on the day of its claim."""
    days: dict[str, list[Record]] = {}
    for record in ends:
        days.setdefault(record.claimed_at.astimezone(datetime.UTC).strftime("%Y-%m-%d"), []).append(record)
    return {day: _day_count(records) for day, records in sorted(days.items())}


def _day_count(records: list[Record]) -> DayCount:
    def of(*steps: Step) -> list[Record]:
        return [record for record in records if record.step in steps]

    return DayCount(
        claims=len(records) - len(of(Step.STRAY)),
        stored=len(of(Step.STORED)),
        failed=len(of(Step.FAILED)),
        unclear=len(of(Step.UNCLEAR)),
        lost=len(of(Step.LOST, Step.STRAY)),
        spent_usd=sum((record.charged_usd for record in of(*EARNED)), ZERO),
        at_risk_usd=sum((record.charged_usd for record in of(*AT_RISK)), ZERO),
        seconds=tuple(sorted(round((r.at - r.claimed_at).total_seconds(), 3) for r in of(Step.STORED))),
    )


def added(parts: Iterable[Counted]) -> Counted:
    """The sum of *parts*, oldest day first."""
    days: Counted = {}
    for part in parts:
        for day, count in part.items():
            days[day] = days.get(day, DayCount()).plus(count)
    return dict(sorted(days.items()))


def digest_of(days: Counted) -> str:
    """Tells whether two counts are the same; empty for none."""
    if not days:
        return ""
    content = json.dumps({day: count.model_dump(mode="json") for day, count in days.items()}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]
