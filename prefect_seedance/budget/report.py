"""Spending, clips, time to clip, unclear and lost by UTC day of the claim.

`report_of` reads what the months' steps have added up, and the keys of runs that are not settled yet. `recount` reads
the whole ledger, says where the two differ, and sets the months right.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prefect_seedance.budget import totals
from prefect_seedance.budget.counting import Counted, DayCount, added, counted, ends_of
from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.budget.records import MonthRecord, OpenReservation, Usage, next_record
from prefect_seedance.budget.settling import reservation_of
from prefect_seedance.budget.steps import MonthSteps
from prefect_seedance.budget.totals import MonthTotals
from prefect_seedance.errors import LedgerUnreadable, Missing
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Record
from prefect_seedance.ledger.rules import History
from prefect_seedance.storage.store import Store

COLUMNS = ("day", "claims", "stored", "failed", "unclear", "lost", "spent_usd", "at_risk_usd", "median_seconds_to_clip")
REMEDY = "`prefect-seedance report --recount` reads the whole ledger and sets it right."
LOOKS = 3


@dataclass
class Day:
    """One UTC day's claims and what became of them."""

    day: str
    count: DayCount

    def as_row(self) -> dict[str, Any]:
        return self.count.as_row(self.day)


@dataclass
class Report:
    """The days, oldest first, and what a person has to know of them."""

    days: list[Day]
    errors: dict[str, str] = field(default_factory=dict)
    """The keys that can't be read, each with the reason."""
    missing: list[str] = field(default_factory=list)
    """Why something may be missing in the days, a sentence each."""
    notes: list[str] = field(default_factory=list)
    """What was wrong and is right now, a sentence each."""


async def report_of(store: Store) -> Report:
    """Every day that has claims, from the months. What is missing in it is told, never left out silently.

    Of the keys those of open runs are read, and those with a marker, which nobody has closed. Where no month was ever
    written all are.
    """
    steps, ledger = MonthSteps(store), Ledger(store)
    runs: dict[tuple[str, str], Counted] = {}
    months = await steps.months()
    if not months:
        return Report(*await daily(ledger))
    _, errors = await ledger.load_readable(sorted({key for key, _ in await ledger.markers()}))
    report = Report([], errors)
    for month in months:
        try:
            found = await _runs_of(steps, month, ledger, report)
        except LedgerUnreadable as error:
            report.missing.append(f"Of {month} nothing stands here: {error}")
        else:
            runs |= {(month, name): days for name, days in found.items()}
    report.days = _days(runs)
    return report


async def _runs_of(steps: MonthSteps, month: str, ledger: Ledger, report: Report) -> dict[str, Counted]:
    read, last = await _read(steps, month)
    runs = dict(read.totals.runs)
    if read.problem:
        report.missing.append(f"Of {month} a part may be missing here, since {read.problem}; {REMEDY}")
    if unknown := len(read.totals.unknown):
        runs_were = "run was" if unknown == 1 else "runs were"
        report.missing.append(
            f"Of {month} {unknown} {runs_were} settled by an earlier version and may be missing here; {REMEDY}"
        )
    for entry in last.open.values() if last else ():
        try:
            runs[entry.id] = await _now_under(entry, steps, ledger, report)
        except (LedgerUnreadable, Missing):
            report.missing.append(
                f"Which keys the reservation {entry.id} of {month} holds can't be read, so its claims may be missing "
                f"here; all that it set aside stays reserved; {REMEDY}"
            )
    return runs


async def _now_under(entry: OpenReservation, steps: MonthSteps, ledger: Ledger, report: Report) -> Counted:
    """What has become of the claims under a reservation that is not settled: of as many keys as it holds."""
    reservation = await reservation_of(steps, entry.id, entry.month)
    histories, errors = await ledger.load_readable(reservation.keys, whole=True)
    report.errors |= errors
    return counted(record for history in histories for record in ends_of(history) if record.reservation == entry.id)


async def _read(steps: MonthSteps, month: str) -> tuple[totals.ReadTotals, MonthRecord | None]:
    """What the steps of *month* say; begun anew when somebody has added them up meanwhile."""
    for _ in range(LOOKS):
        last = await steps.last(month)
        if last is None:
            if await steps.store.names(f"spending/{month}"):
                raise LedgerUnreadable(f"The first records of spending/{month} are missing; restore them.")
            return totals.ReadTotals(MonthTotals(month=month, number=0, runs={}), None), None
        read = await totals.read_totals(steps, last)
        if read.problem is None:
            break
    return read, last


async def recount(store: Store) -> Report:
    """Every day that has claims, from the whole ledger. The months say the same from then on.

    They are set right only if every key and month can be read.
    """
    steps, ledger = MonthSteps(store), Ledger(store)
    before = await report_of(store)
    lasts: dict[str, MonthRecord] = {}
    unreadable: list[str] = []
    for month in await steps.months():
        try:
            _, last = await _read(steps, month)
            lasts |= {month: last} if last else {}
        except LedgerUnreadable as error:
            unreadable.append(str(error))
    histories, errors = await ledger.load_readable(await ledger.keys(), whole=True)
    runs = _by_run(histories)
    report = Report(_days(runs), errors, unreadable)
    if errors or unreadable:
        report.missing.append("The months were left as they are, since not everything can be read; restore it first.")
        return report
    if not before.missing:
        report.notes += _differences(before.days, report.days)
    await _set_right(steps, lasts, runs)
    return report


async def _set_right(steps: MonthSteps, lasts: dict[str, MonthRecord], runs: dict[tuple[str, str], Counted]) -> None:
    made_in = await _month_of_each(steps, lasts)
    by_month: dict[str, dict[str, Counted]] = {month: {} for month in lasts}
    for (claimed_in, name), days in runs.items():
        of_month = by_month.setdefault(made_in.get(name, claimed_in), {})
        key = name if name in made_in else ""
        of_month[key] = added([of_month.get(key, {}), days])
    for month, of_month in by_month.items():
        await _enter(steps, month, lasts.get(month), of_month)


def _by_run(histories: list[History]) -> dict[tuple[str, str], Counted]:
    """(month of the claim, reservation): what became of its claims."""
    ends: dict[tuple[str, str], list[Record]] = {}
    for history in histories:
        for record in ends_of(history):
            month = record.claimed_at.astimezone(datetime.UTC).strftime("%Y-%m")
            ends.setdefault((month, record.reservation or ""), []).append(record)
    return {name: counted(records) for name, records in ends.items()}


async def _month_of_each(steps: MonthSteps, lasts: Mapping[str, MonthRecord]) -> dict[str, str]:
    """The month in which each reservation was made."""
    found: dict[str, str] = {}
    for month, last in lasts.items():
        for record in await steps.between(month, 0, last.number):
            found |= dict.fromkeys((*record.about, *record.open), month)
    return found


async def _enter(steps: MonthSteps, month: str, read: MonthRecord | None, runs: dict[str, Counted]) -> None:
    """Make *runs* what all steps up to *read* say. What came after is added to it by whoever reads on."""
    number = read.number if read else 0
    closed = await totals.write_totals(steps, MonthTotals(month=month, number=number, runs=runs))
    replaced = None

    async def step(last: MonthRecord | None) -> MonthRecord | None:
        nonlocal replaced
        replaced, now = last.closed if last else None, datetime.datetime.now(datetime.UTC)
        return next_record(last, "recounted", [], month, now, closed)

    await steps.append(month, step)
    await totals.forget(steps, month, replaced)


def _days(runs: Mapping[tuple[str, str], Counted]) -> list[Day]:
    return [Day(day, count) for day, count in added(runs.values()).items()]


def _differences(told: list[Day], true: list[Day]) -> list[str]:
    before, now = ({day.day: day.as_row() for day in days} for days in (told, true))
    wrong = [day for day in sorted(before | now) if before.get(day) != now.get(day)]
    return [f"The months told otherwise of {', '.join(wrong)}; what stands here is the ledger's."] if wrong else []


async def daily(ledger: Ledger) -> tuple[list[Day], dict[str, str]]:
    """Every day that has claims, and the keys that can't be read, each with the reason. Reads the whole ledger."""
    histories, errors = await ledger.load_readable(await ledger.keys(), whole=True)
    return _days(_by_run(histories)), errors


async def usage_of(store: Store) -> Usage:
    """What is spent and reserved today and this month."""
    return await MonthlySpend(store).usage(datetime.datetime.now(datetime.UTC))
