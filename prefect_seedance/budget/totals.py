"""What a month's steps say of all claims, added up: up to a step in one file, which a later step names.

`spending/totals/<month>/<file>.json` is written before the step that names it, so that whoever reads a month reads one
such file and the few steps after it. What it holds is replaced reservation by reservation: adding a step twice changes
nothing.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict, Field

from prefect_seedance.budget.counting import Counted
from prefect_seedance.budget.records import Closed, MonthRecord, bytes_of, totals_path
from prefect_seedance.budget.steps import MonthSteps
from prefect_seedance.errors import BadStore, LedgerUnreadable, Missing, StoreUnavailable
from prefect_seedance.models import Frozen

CLOSE_EVERY = 8
"""Steps of a month that are read one by one, until one who settles adds them up."""


class MonthTotals(Frozen):
    """What became of the claims under every reservation of a month, as its steps up to *number* tell it."""

    schema_: Literal["prefect-seedance/totals/1"] = Field("prefect-seedance/totals/1", alias="schema")
    month: str
    number: int
    runs: dict[str, Counted]
    """By reservation; what no reservation of the month has claimed stands under an empty name."""
    unknown: frozenset[str] = frozenset()
    """Reservations that an earlier version settled, which did not tell what became of their claims."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    def after(self, steps: Iterable[MonthRecord]) -> MonthTotals:
        """These totals with *steps* added, which follow."""
        number, runs, unknown = self.number, dict(self.runs), set(self.unknown)
        for record in steps:
            number = record.number
            if record.is_old and record.step in ("settled", "corrected"):
                unknown |= record.about - runs.keys()
            for name, entered in record.entered.items():
                if entered.days is not None:
                    runs[name] = entered.days
                    unknown.discard(name)
        return self.model_copy(update={"number": number, "runs": runs, "unknown": frozenset(unknown)})


@dataclass(frozen=True)
class ReadTotals:
    """The totals of a month up to its newest step, and what is wrong with the file that should have held most."""

    totals: MonthTotals
    problem: str | None


async def read_totals(steps: MonthSteps, last: MonthRecord) -> ReadTotals:
    """What all steps up to *last* say. Reads the file that *last* names, and the steps after it."""
    base, problem = MonthTotals(month=last.month, number=0, runs={}), None
    if last.closed is not None:
        path = totals_path(last.month, last.closed.file)
        try:
            base = await steps.read_as(MonthTotals, path)
        except Missing:
            problem = f"{path} is missing"
        except LedgerUnreadable:
            problem = f"{path} is damaged"
        if (base.month, base.number) != (last.month, last.closed.number) and problem is None:
            base, problem = MonthTotals(month=last.month, number=0, runs={}), f"{path} is of other steps"
    since = [*await steps.between(last.month, base.number, last.number - 1), last]
    return ReadTotals(base.after(since if base.number < last.number else ()), problem)


async def close(steps: MonthSteps, last: MonthRecord) -> Closed | None:
    """Add up all steps up to *last* in a file that the next step names; None while few are open.

    Also None where the file before can't be read: what it held may stand nowhere else, and a recount makes it anew.
    """
    if last.number - (last.closed.number if last.closed else 0) < CLOSE_EVERY:
        return None
    with contextlib.suppress(LedgerUnreadable):  # the books of claims keep nobody from entering money
        read = await read_totals(steps, last)
        if read.problem is None:
            return await write_totals(steps, read.totals)
    return None


async def write_totals(steps: MonthSteps, totals: MonthTotals) -> Closed:
    closed = Closed(number=totals.number, file=f"{totals.number:05d}-{secrets.token_hex(4)}")
    await steps.store.write(totals_path(totals.month, closed.file), bytes_of(totals))
    return closed


async def forget(steps: MonthSteps, month: str, closed: Closed | None) -> None:
    """Remove totals that no step names any more, or that none will."""
    if closed is not None:
        with contextlib.suppress(StoreUnavailable, BadStore):
            await steps.store.delete(totals_path(month, closed.file))
