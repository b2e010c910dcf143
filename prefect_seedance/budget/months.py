"""The history of each month's money, kept like the history of a key: `spending/<UTC month>/00001.json`, …

One record per step, created exclusively, each with the running totals of the month and of its days, so that a budget
check reads one record. A run reserves what its claims may cost, and reconciles with what they did cost; without limits
it reserves nothing and only reconciles. A reservation counts for the UTC day on which it was made.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import secrets
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import islice

from prefect_seedance.budget.counting import ZERO
from prefect_seedance.budget.limits import Limits
from prefect_seedance.budget.records import (
    Change,
    MonthRecord,
    OpenReservation,
    Reservation,
    Totals,
    Usage,
    day_of,
    keys_path,
    month_of,
    next_record,
)
from prefect_seedance.budget.settling import OBSERVERS_WAIT_SECONDS, Load, Settling, has_ended, reservation_of
from prefect_seedance.budget.steps import SILENCES, MonthSteps
from prefect_seedance.errors import LedgerUnreadable, Missing, OverBudget, StoreUnavailable
from prefect_seedance.ledger.pauses import pauses
from prefect_seedance.ledger.record import Record, Writer
from prefect_seedance.ledger.rules import History
from prefect_seedance.storage.reads import some_at_a_time
from prefect_seedance.storage.store import Store
from prefect_seedance.text import dollars

__all__ = ["OBSERVERS_WAIT_SECONDS", "Load", "MonthlySpend"]

RESERVED_FOR_SECONDS = 2 * 3600.0
KEYS_AT_ONCE = 2000
"""So many keys' histories are read, at most, for one step that settles several reservations."""


class MonthlySpend:
    """The money histories kept in *store*."""

    def __init__(self, store: Store, reserved_for_seconds: float = RESERVED_FOR_SECONDS) -> None:
        self.store = store
        self.reserved_for_seconds = reserved_for_seconds
        self.steps = MonthSteps(store)

    async def last(self, month: str) -> MonthRecord | None:
        """The newest record of *month*."""
        return await self.steps.last(month)

    async def usage(self, now: datetime.datetime) -> Usage:
        """What was spent and is reserved today and this month (UTC)."""
        last = await self.last(month_of(now))
        return Usage(last.days.get(day_of(now), Totals()), last.total) if last else Usage(Totals(), Totals())

    async def reserve(
        self, keys: Mapping[str, Decimal], limits: Limits, writer: Writer, now: datetime.datetime
    ) -> Reservation:
        """Set aside the upper price of all *keys*, or raise `OverBudget` having set aside nothing."""
        new = Reservation(
            id=secrets.token_hex(8),
            month=month_of(now),
            day=day_of(now),
            at=now,
            writer=writer,
            keys=dict(keys) if limits.reserve else dict.fromkeys(keys, ZERO),
        )

        async def step(last: MonthRecord | None) -> MonthRecord | None:
            if last and new.id in last.open:
                return None  # an earlier try, given up as lost, has landed
            _refuse_above(limits, new, last)
            opened = self._opened(new, last)
            nothing = opened.model_copy(update={"reserved_usd": ZERO})
            return next_record(last, "reserved", [Change(nothing, opened)], new.month, now)

        begun = await self.steps.begin(new.month)
        _refuse_above(limits, new, begun.last)
        await self._write_keys(new)
        await self.steps.append(new.month, step, read=begun)
        return new

    def _opened(self, reservation: Reservation, last: MonthRecord | None) -> OpenReservation:
        return OpenReservation(
            id=reservation.id,
            month=reservation.month,
            day=reservation.day,
            writer=reservation.writer,
            until=reservation.at + datetime.timedelta(seconds=self.reserved_for_seconds),
            since=last.number + 1 if last else 1,
            seconds=self.reserved_for_seconds,
            reserved_usd=reservation.reserved_usd,
        )

    async def _write_keys(self, reservation: Reservation) -> None:
        """Before the step that opens it: whoever reads of a reservation finds what may be claimed under it."""
        for pause in islice(pauses(0.01, 2.0), SILENCES - 1):
            with contextlib.suppress(StoreUnavailable):
                await self.store.create(keys_path(reservation.id), reservation.as_bytes())
                return
            await asyncio.sleep(pause)
        await self.store.create(keys_path(reservation.id), reservation.as_bytes())

    async def extend(self, reservation: Reservation, now: datetime.datetime) -> bool:
        """Give a long run more time, and no more money; False if the reservation is no longer open."""

        async def step(last: MonthRecord | None) -> MonthRecord | None:
            current = last.open.get(reservation.id) if last else None
            if last is None or current is None:
                return None
            until = now + datetime.timedelta(seconds=self.reserved_for_seconds)
            longer = {"until": until, "since": last.number + 1, "seconds": self.reserved_for_seconds}
            change = Change(current, current.model_copy(update=longer))
            return next_record(last, "extended", [change], last.month, now)

        return await self.steps.append(reservation.month, step) is not None

    async def reconcile(
        self, reservation: Reservation, load: Load, now: datetime.datetime, *, by_its_run: bool = False
    ) -> None:
        """Replace what *reservation* set aside by what its claims have cost. Repeating it changes nothing.

        What is still out stays reserved. *load* reads whole histories: `ledger.load_whole`.
        """
        await Settling(self.steps, [reservation], load, now, by_its_run=by_its_run, skip=False).append()

    async def correct(self, history: History, load: Load) -> None:
        """Bring the months of *history*'s claims to what is known of them now. Repeating it changes nothing.

        For what changes after its run has ended: a person's answer, a way out of `lost`, a stray.
        """
        for name, months in _named(history.records).items():
            reservation = await self._found(name, months)
            if reservation is not None:
                await self.reconcile(reservation, load, _now())

    async def follow(self, claims: Iterable[Record], load: Load) -> None:
        """As `correct`, for *claims* that a run has met; only where their reservations are closed.

        An open one is entered by its run when it closes, or when it has ended.
        """
        named = _named(claims)
        lasts = [await self.last(month) for month in sorted({month for months in named.values() for month in months})]
        await self._follow(named, [last for last in lasts if last], load)

    async def _follow(self, named: dict[str, set[str]], lasts: list[MonthRecord], load: Load) -> None:
        still_open = {name for last in lasts for name in last.open}
        for name, months in named.items():
            if name not in still_open and (reservation := await self._found(name, months)) is not None:
                await self.reconcile(reservation, load, _now())

    async def _found(self, name: str, months: set[str]) -> Reservation | None:
        for month in sorted(months):
            with contextlib.suppress(Missing):
                return await reservation_of(self.steps, name, month)
        return None

    async def release_ended(self, load: Load, met: Iterable[Record] = (), *, of_all_months: bool = False) -> None:
        """Give back what dead or ended runs had reserved, at the cost that the histories of their keys show.

        In portions, so that a hundred dead runs are a few steps, and no more is read at once than one step is about.
        The claims that were *met* are followed as by `follow`. *of_all_months*, and not only of this one and the last,
        costs a few reads for each; an older one that can't be read is passed by, and told by a report.
        """
        by_month: dict[str, list[Reservation]] = {}
        lasts = await self._lasts(_now())
        if of_all_months:
            older = set(await self.steps.months()).difference(_recent(_now()))
            lasts += filter(None, await some_at_a_time(self._last_if_readable, sorted(older)))
        await self._follow(_named(met), lasts, load)
        for entry in _open_in(lasts):
            with contextlib.suppress(LedgerUnreadable, Missing):  # its money stays reserved until its keys can be read
                if await has_ended(self.store, entry):
                    reservation = await reservation_of(self.steps, entry.id, entry.month)
                    by_month.setdefault(entry.month, []).append(reservation)
        for reservations in by_month.values():
            for portion in _portions(reservations):
                await Settling(self.steps, portion, load, _now(), by_its_run=False, skip=True).append()

    async def open(self, now: datetime.datetime) -> list[OpenReservation]:
        """The reservations of this month and the last that are not reconciled."""
        return _open_in(await self._lasts(now))

    async def _lasts(self, now: datetime.datetime) -> list[MonthRecord]:
        return [last for month in _recent(now) if (last := await self.last(month))]

    async def _last_if_readable(self, month: str) -> MonthRecord | None:
        with contextlib.suppress(LedgerUnreadable):
            return await self.last(month)
        return None


def _open_in(lasts: Iterable[MonthRecord]) -> list[OpenReservation]:
    return [entry for record in lasts for entry in record.open.values()]


def _portions(reservations: Iterable[Reservation]) -> Iterator[list[Reservation]]:
    portion: list[Reservation] = []
    for reservation in reservations:
        if portion and sum(len(one.keys) for one in (*portion, reservation)) > KEYS_AT_ONCE:
            yield portion
            portion = []
        portion.append(reservation)
    if portion:
        yield portion


def _named(claims: Iterable[Record]) -> dict[str, set[str]]:
    """The reservations that *claims* name, each with the months in which it may have been made."""
    named: dict[str, set[str]] = {}
    for record in claims:
        if record.reservation:
            months = {month_of(record.claimed_at), _month_before(record.claimed_at)}
            named[record.reservation] = named.get(record.reservation, set()) | months
    return named


def _recent(now: datetime.datetime) -> tuple[str, str]:
    return _month_before(now), month_of(now)


def _month_before(now: datetime.datetime) -> str:
    return month_of(now.astimezone(datetime.UTC).replace(day=1) - datetime.timedelta(days=1))


def _refuse_above(limits: Limits, new: Reservation, last: MonthRecord | None) -> None:
    day = last.days.get(new.day, Totals()) if last else Totals()
    for limit, span, taken in (
        (limits.per_day, "day", day),
        (limits.per_month, "month", last.total if last else Totals()),
    ):
        if limit is not None and taken.taken_usd + new.reserved_usd > limit:
            raise OverBudget(
                f"This run may cost {dollars(new.reserved_usd)}, more than is left of the limit per {span}: "
                f"{taken.line(limit)}; nothing was submitted; render fewer shots, wait, or raise the limit."
            )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
