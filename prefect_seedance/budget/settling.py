"""Reservations brought to what the histories of their keys say, several of a month in one step."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from prefect_seedance.budget import first_format, totals
from prefect_seedance.budget.counting import ZERO, Outcome, digest_of, outcome_of
from prefect_seedance.budget.records import (
    Change,
    Closed,
    MonthRecord,
    MonthStep,
    OpenReservation,
    Reservation,
    keys_path,
    next_record,
    record_path,
)
from prefect_seedance.budget.steps import MonthSteps
from prefect_seedance.errors import LedgerUnreadable, Missing
from prefect_seedance.ledger.rules import History
from prefect_seedance.ledger.writer import is_gone
from prefect_seedance.storage.reads import some_at_a_time
from prefect_seedance.storage.store import Store

OBSERVERS_WAIT_SECONDS = 60.0
"""Longer than a store rounds its times: an observer never sees an end before the claimer does."""

Load = Callable[[str], Awaitable[History]]
"""Reads the whole history of a key."""


@dataclass(frozen=True)
class Found:
    """What the histories said of a reservation while it stood like this."""

    before: OpenReservation
    outcome: Outcome


class Settling:
    """Brings *reservations* of one month to what *load* says of their keys.

    The histories are read after the month's newest record, and again when a step about the same reservation came
    first: of two who reconcile the one who knows less loses the number. Steps about others take nothing from what was
    read. Anybody but its own run leaves alone what has not ended: the run may still spend it, and reconciles when it
    closes. With *skip* what can't be read keeps its money reserved, and no other from being settled.
    """

    def __init__(
        self,
        steps: MonthSteps,
        reservations: Sequence[Reservation],
        load: Load,
        now: datetime.datetime,
        *,
        by_its_run: bool,
        skip: bool,
    ) -> None:
        self.steps = steps
        self.reservations = reservations
        self.load = load
        self.now = now
        self.by_its_run = by_its_run
        self.skip = skip
        self._found: dict[str, Found] = {}
        self._closed: Closed | None = None
        self._before: Closed | None = None

    async def append(self) -> None:
        """One step for all of them; none if nothing has changed. Repeating it changes nothing."""
        record = await self.steps.append(self.reservations[0].month, self._step)
        if record is not None and record.closed is not None and record.closed == self._closed:
            await totals.forget(self.steps, record.month, self._before)

    async def _step(self, last: MonthRecord | None) -> MonthRecord | None:
        if last is None:
            return None
        changes = [change for one in self.reservations if (change := await self._change(last, one)) is not None]
        if not changes:
            return None
        kind: MonthStep = "settled"
        if any(
            change.after.id not in last.open or change.after.spent_usd < change.before.spent_usd for change in changes
        ):
            kind = "corrected"
        now = datetime.datetime.now(datetime.UTC)
        return next_record(last, kind, changes, last.month, now, await self._close(last))

    async def _close(self, last: MonthRecord) -> Closed | None:
        """Totals up to *last*: those made before for the same number, since a try that was given up may land."""
        if self._closed is not None and self._closed.number != last.number:
            if self._closed != last.closed:
                await totals.forget(self.steps, last.month, self._closed)
            self._closed = None
        self._before = last.closed
        self._closed = self._closed or await totals.close(self.steps, last)
        return self._closed

    async def _change(self, last: MonthRecord, reservation: Reservation) -> Change | None:
        try:
            return await self._changed(last, reservation)
        except (LedgerUnreadable, Missing):
            if not self.skip:
                raise
            return None

    async def _changed(self, last: MonthRecord, reservation: Reservation) -> Change | None:
        before = await standing(self.steps, last, reservation)
        if before is None:
            return None
        was_open = reservation.id in last.open
        if was_open and not self.by_its_run and not await has_ended(self.steps.store, before):
            return None
        found = self._found.get(reservation.id)
        if found is None or found.before != before:
            histories = await some_at_a_time(self.load, reservation.keys)
            found = Found(before, outcome_of(reservation.id, reservation.keys, histories))
            self._found[reservation.id] = found
        outcome = found.outcome
        after = before.model_copy(
            update={
                "spent_usd": outcome.spent_usd,
                "reserved_usd": outcome.reserved_usd,
                "counted": digest_of(outcome.days),
                "keys": None,
            }
        )
        if after == before and was_open == outcome.any_out:
            return None
        return Change(before, after, outcome.days, stays_open=outcome.any_out)


async def has_ended(store: Store, entry: OpenReservation) -> bool:
    """Nothing more can be spent under it: past its end by the store's clock, or its process is surely gone.

    One that was closed has ended, though a person's answer may have opened it again: it lasts no seconds.
    """
    if is_gone(entry.writer) or (entry.since is not None and entry.seconds == 0):
        return True
    if entry.since is None:
        return datetime.datetime.now(datetime.UTC) >= entry.until
    return await store.age(record_path(entry.month, entry.since)) >= entry.seconds + OBSERVERS_WAIT_SECONDS


async def standing(steps: MonthSteps, last: MonthRecord, reservation: Reservation) -> OpenReservation | None:
    """Where *reservation* stands; of one that is closed by its last step, found by going back."""
    entry = last.open.get(reservation.id)
    if entry is not None and entry.keys is None:
        return entry
    record = await steps.last_about(last, reservation.id)
    if entry is not None:
        spent = await _spent_in_old_steps(steps, last.month, record, reservation.id)
        return entry.model_copy(update={"spent_usd": spent, "number": record.number if record else None})
    if record is None:
        return None
    entered = record.entered.get(reservation.id)
    days = entered.days if entered else None
    spent = entered.spent_usd if entered else await _spent_in_old_steps(steps, last.month, record, reservation.id)
    return OpenReservation(
        id=reservation.id,
        month=reservation.month,
        day=reservation.day,
        writer=reservation.writer,
        until=reservation.at,
        since=record.number,
        spent_usd=spent,
        number=record.number,
        counted=None if days is None else digest_of(days),
    )


async def _spent_in_old_steps(steps: MonthSteps, month: str, newest: MonthRecord | None, name: str) -> Decimal:
    """What steps of the formats before have entered for it: those of the second tell the sum, the first each part."""
    first = (await first_format.made_in(steps, month)).get(name)
    return ((newest.spent_usd if newest else None) or ZERO) + (first.spent_usd if first else ZERO)


async def reservation_of(steps: MonthSteps, name: str, month: str) -> Reservation:
    """The keys of the reservation *name*; `Missing` if nobody tells them.

    One of the first format, looked for in *month*, gets a file of its own now.
    """
    try:
        return await steps.read_as(Reservation, keys_path(name))
    except Missing:
        made = (await first_format.made_in(steps, month)).get(name)
        if made is None:
            raise
        await steps.store.create(keys_path(name), made.reservation.as_bytes())
        return made.reservation
