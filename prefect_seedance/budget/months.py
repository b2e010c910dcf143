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
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from itertools import islice
from typing import TypeVar

from pydantic import ValidationError

from prefect_seedance.budget.limits import Limits
from prefect_seedance.budget.records import (
    ZERO,
    MonthRecord,
    MonthStep,
    OpenReservation,
    Reservation,
    Totals,
    Usage,
    bytes_of,
    charges_of,
    day_of,
    keys_path,
    month_of,
    next_record,
    record_path,
)
from prefect_seedance.errors import LedgerUnreadable, Missing, OverBudget, StoreUnavailable, Taken
from prefect_seedance.ledger.pauses import pauses
from prefect_seedance.ledger.record import Writer
from prefect_seedance.ledger.rules import History
from prefect_seedance.ledger.writer import is_gone
from prefect_seedance.models import Frozen
from prefect_seedance.storage.reads import READS_AT_ONCE, some_at_a_time
from prefect_seedance.storage.store import Store
from prefect_seedance.text import dollars

RESERVED_FOR_SECONDS = 2 * 3600.0
OBSERVERS_WAIT_SECONDS = 60.0
"""Longer than a store rounds its times: an observer never sees an end before the claimer does."""
TRIES = 200
SILENCES = 5
"""So often in a row may the store not answer before an append is given up."""

Load = Callable[[str], Awaitable[History]]
"""Reads the whole history of a key."""
NextStep = Callable[[MonthRecord | None], Awaitable[MonthRecord | None]]
Read = TypeVar("Read", bound=Frozen)


class MonthlySpend:
    """The money histories kept in *store*."""

    def __init__(self, store: Store, reserved_for_seconds: float = RESERVED_FOR_SECONDS) -> None:
        self.store = store
        self.reserved_for_seconds = reserved_for_seconds
        self._known: dict[str, int] = {}

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
            return next_record(last, "reserved", opened, now, before=opened.model_copy(update={"reserved_usd": ZERO}))

        _refuse_above(limits, new, await self.last(new.month))
        await self._write_keys(new)
        await self._append(new.month, step)
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
        for pause in islice(pauses(0.01, 2.0), SILENCES - 1):
            with contextlib.suppress(StoreUnavailable):
                await self.store.create(keys_path(reservation.id), bytes_of(reservation))
                return
            await asyncio.sleep(pause)
        await self.store.create(keys_path(reservation.id), bytes_of(reservation))

    async def extend(self, reservation: Reservation, now: datetime.datetime) -> bool:
        """Give a long run more time, and no more money; False if the reservation is no longer open."""

        async def step(last: MonthRecord | None) -> MonthRecord | None:
            current = last.open.get(reservation.id) if last else None
            if last is None or current is None:
                return None
            until = now + datetime.timedelta(seconds=self.reserved_for_seconds)
            longer = {"until": until, "since": last.number + 1, "seconds": self.reserved_for_seconds}
            return next_record(last, "extended", current.model_copy(update=longer), now, before=current)

        return await self._append(reservation.month, step) is not None

    async def reconcile(
        self, reservation: Reservation, load: Load, now: datetime.datetime, *, by_its_run: bool = False
    ) -> None:
        """Replace what *reservation* set aside by what its claims have cost. Repeating it changes nothing.

        What is still out stays reserved. *load* reads whole histories; they are read after the month's newest record,
        so that of two who reconcile the one who knows less loses the number. Anybody but its own run leaves alone what
        has not ended: the run may still spend it, and reconciles when it closes.
        """

        async def step(last: MonthRecord | None) -> MonthRecord | None:
            before = await self._entry_of(last, reservation.id)
            if last is None or before is None:
                return None
            if not by_its_run and reservation.id in last.open and not await self.has_ended(before):
                return None
            spent, reserved, any_out = charges_of(reservation, await some_at_a_time(load, reservation.keys))
            was_open = reservation.id in last.open
            if (spent, reserved) == (before.spent_usd, before.reserved_usd) and was_open == any_out:
                return None
            kind: MonthStep = "settled" if was_open and spent >= before.spent_usd else "corrected"
            after = before.model_copy(update={"spent_usd": spent, "reserved_usd": reserved})
            return next_record(last, kind, after, now, before=before, stays_open=any_out)

        await self._append(reservation.month, step)

    async def correct(self, history: History, load: Load) -> None:
        """Bring the months of *history*'s claims to what is known of them now. Repeating it changes nothing.

        For what changes after its run has ended: a person's answer, a way out of `lost`, a stray. *load* reads whole
        histories: `ledger.load_whole`.
        """
        for name in sorted({record.reservation for record in history.records if record.reservation}):
            with contextlib.suppress(Missing):  # made before reservations had files of their own
                await self.reconcile(await self._keys_of(name), load, _now())

    async def release_ended(self, load: Load) -> None:
        """Give back what dead or ended runs had reserved, at the cost that the histories of their keys show."""
        for entry in await self.open(_now()):
            with contextlib.suppress(LedgerUnreadable, Missing):  # its money stays reserved until its keys can be read
                if await self.has_ended(entry):
                    await self.reconcile(await self._reservation_of(entry), load, _now())

    async def open(self, now: datetime.datetime) -> list[OpenReservation]:
        """The reservations of this month and the last that are not reconciled."""
        months = {month_of(now), month_of(now.replace(day=1) - datetime.timedelta(days=1))}
        records = [await self.last(month) for month in sorted(months)]
        return [entry for record in records if record for entry in record.open.values()]

    async def has_ended(self, entry: OpenReservation) -> bool:
        """Nothing more can be spent under it: past its end by the store's clock, or its process is surely gone.

        One that was closed has ended, though a person's answer may have opened it again: it lasts no seconds.
        """
        if is_gone(entry.writer) or (entry.since is not None and entry.seconds == 0):
            return True
        if entry.since is None:
            return _now() >= entry.until
        return await self.store.age(record_path(entry.month, entry.since)) >= entry.seconds + OBSERVERS_WAIT_SECONDS

    async def last(self, month: str) -> MonthRecord | None:
        """The newest record of *month*, found by doubling steps and halving, not by listing."""
        low = self._known.get(month, 0)
        step = 1
        while await self.store.exists(record_path(month, low + step)):
            low, step = low + step, step * 2
        high = low + step
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if await self.store.exists(record_path(month, middle)) else (low, middle)
        self._known[month] = low
        return await self._read(MonthRecord, record_path(month, low)) if low else None

    async def _entry_of(self, last: MonthRecord | None, name: str) -> OpenReservation | None:
        """Where the reservation *name* stands; of one that is closed by its last step, found by going back."""
        if last is None or name in last.open:
            return last.open[name] if last else None
        record = await self._last_about(last, name)
        if record is None or record.schema_ == "prefect-seedance/spending/1":
            return None
        reservation = await self._keys_of(name)
        closed = {"spent_usd": record.spent_usd, "reserved_usd": ZERO, "seconds": 0.0}
        return self._opened(reservation, last).model_copy(update=closed)

    async def _last_about(self, last: MonthRecord, name: str) -> MonthRecord | None:
        """The newest record about the reservation *name*; a month has thousands, so many are read at once."""
        if last.reservation == name:
            return last

        async def read(number: int) -> MonthRecord | LedgerUnreadable:
            try:
                return await self._read(MonthRecord, record_path(last.month, number))
            except LedgerUnreadable as error:  # matters only if it is newer than what is looked for
                return error

        for upto in range(last.number - 1, 0, -READS_AT_ONCE):
            for record in await some_at_a_time(read, range(upto, max(0, upto - READS_AT_ONCE), -1)):
                if isinstance(record, LedgerUnreadable):
                    raise record
                if record.reservation == name:
                    return record
        return None

    async def _reservation_of(self, entry: OpenReservation) -> Reservation:
        if entry.keys is None:
            return await self._keys_of(entry.id)
        return Reservation(
            id=entry.id, month=entry.month, day=entry.day, at=entry.until, writer=entry.writer, keys=entry.keys
        )

    async def _keys_of(self, name: str) -> Reservation:
        return await self._read(Reservation, keys_path(name))

    async def _read(self, kind: type[Read], path: str) -> Read:
        try:
            return kind.model_validate_json(await self.store.read(path))
        except ValidationError as error:
            raise LedgerUnreadable(f"The record {path} is damaged, so nothing more is spent: {error}") from error

    async def _append(self, month: str, step: NextStep) -> MonthRecord | None:
        """Append what *step* makes of the newest record, adding up again whenever another writer was first."""
        silences, lost = 0, pauses(0.01, 2.0)
        for _ in range(TRIES):
            record = await step(await self.last(month))
            if record is None:
                return None
            try:
                await self.store.create(record_path(month, record.number), bytes_of(record))
                return record
            except (Taken, StoreUnavailable) as error:
                silences = silences + 1 if isinstance(error, StoreUnavailable) else 0
                if silences == SILENCES:
                    raise
            await asyncio.sleep(next(lost))
        raise StoreUnavailable(f"spending/{month} could not be appended to in {TRIES} tries; nothing was submitted.")


def _refuse_above(limits: Limits, new: Reservation, last: MonthRecord | None) -> None:
    day = last.days.get(new.day, Totals()) if last else Totals()
    for limit, span, totals in (
        (limits.per_day, "day", day),
        (limits.per_month, "month", last.total if last else Totals()),
    ):
        if limit is not None and totals.taken_usd + new.reserved_usd > limit:
            raise OverBudget(
                f"This run may cost {dollars(new.reserved_usd)}, more than is left of the limit per {span}: "
                f"{totals.line(limit)}; nothing was submitted; render fewer shots, wait, or raise the limit."
            )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
