"""The steps of every month, as they stand in the store: the newest, the newest about a reservation, the next."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from prefect_seedance.budget.records import MonthRecord, bytes_of, newest_path, record_path
from prefect_seedance.errors import BadStore, LedgerUnreadable, Missing, StoreUnavailable, Taken
from prefect_seedance.ledger.pauses import pauses
from prefect_seedance.models import Frozen
from prefect_seedance.storage.reads import READS_AT_ONCE, some_at_a_time
from prefect_seedance.storage.store import Store

MONTH = re.compile(r"\d{4}-\d{2}")
TRIES = 200
SILENCES = 5
"""So often in a row may the store not answer before an append is given up."""
WRITERS = 128
"""The first pause of a loser has room for the tries of so many writers, one after another, ..."""
FIRST_PAUSE = (0.05, 8.0)
"""... within these bounds, in seconds."""
LONGEST_PAUSE = 30.0

NextStep = Callable[[MonthRecord | None], Awaitable[MonthRecord | None]]
Read = TypeVar("Read", bound=Frozen)


@dataclass(frozen=True)
class Begun:
    """The newest record of a month, and how many seconds it took to find it."""

    last: MonthRecord | None
    took: float


class MonthSteps:
    """The steps in *store*. Appended exclusively; read from about the newest on."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._known: dict[str, int] = {}

    async def months(self) -> list[str]:
        """Every month that has steps, the oldest first."""
        return [name for name in await self.store.names("spending") if MONTH.fullmatch(name)]

    async def last(self, month: str) -> MonthRecord | None:
        """The newest record of *month*, found by doubling steps and halving from the one that was noted last."""
        number = await self._newest(month, max(self._known.get(month, 0), await self._noted(month)))
        try:
            return await self.read(month, number) if number else None
        except Missing:  # noted in a store of which an older copy was restored
            number = await self._newest(month, 0)
            return await self.read(month, number) if number else None

    async def begin(self, month: str) -> Begun:
        """What a step can follow now."""
        began = time.monotonic()
        last = await self.last(month)
        return Begun(last, time.monotonic() - began)

    async def _newest(self, month: str, low: int) -> int:
        step = 1
        while await self.store.exists(record_path(month, low + step)):
            low, step = low + step, step * 2
        high = low + step
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if await self.store.exists(record_path(month, middle)) else (low, middle)
        self._known[month] = low
        return low

    async def _noted(self, month: str) -> int:
        with contextlib.suppress(Missing, ValueError):
            return max(0, int(await self.store.read(newest_path(month))))
        return 0

    async def read(self, month: str, number: int) -> MonthRecord:
        return await self.read_as(MonthRecord, record_path(month, number))

    async def read_as(self, kind: type[Read], path: str) -> Read:
        try:
            return kind.model_validate_json(await self.store.read(path))
        except ValidationError as error:
            raise LedgerUnreadable(f"The record {path} is damaged, so nothing more is spent: {error}") from error

    async def between(self, month: str, after: int, upto: int) -> list[MonthRecord]:
        """The records with the numbers above *after*, up to *upto*."""

        async def read(number: int) -> MonthRecord:
            try:
                return await self.read(month, number)
            except Missing as error:
                raise LedgerUnreadable(f"The record {record_path(month, number)} is missing; restore it.") from error

        return await some_at_a_time(read, range(after + 1, upto + 1))

    async def last_about(self, last: MonthRecord, name: str) -> MonthRecord | None:
        """The newest record about the reservation *name*; a month has thousands, so many are read at once."""
        if name in last.about:
            return last

        async def read(number: int) -> MonthRecord | LedgerUnreadable:
            try:
                return await self.read(last.month, number)
            except LedgerUnreadable as error:  # matters only if it is newer than what is looked for
                return error

        for upto in range(last.number - 1, 0, -READS_AT_ONCE):
            for record in await some_at_a_time(read, range(upto, max(0, upto - READS_AT_ONCE), -1)):
                if isinstance(record, LedgerUnreadable):
                    raise record
                if name in record.about:
                    return record
        return None

    async def append(self, month: str, step: NextStep, *, read: Begun | None = None) -> MonthRecord | None:
        """Append what *step* makes of the newest record, adding up again whenever another writer was first.

        *read* is what was the newest record a moment ago, which spares reading it again.
        """
        silences = 0
        waits: Iterator[float] | None = None
        for _ in range(TRIES):
            begun = read or await self.begin(month)
            read = None
            record = await step(begun.last)
            if record is None:
                return None
            creating = time.monotonic()
            try:
                await self.store.create(record_path(month, record.number), bytes_of(record))
            except (Taken, StoreUnavailable) as error:
                silences = silences + 1 if isinstance(error, StoreUnavailable) else 0
                if silences == SILENCES:
                    raise
                waits = waits or _pauses(begun.took + time.monotonic() - creating)
            else:
                await self._note(record)
                return record
            await asyncio.sleep(next(waits))
        raise StoreUnavailable(f"spending/{month} could not be appended to in {TRIES} tries; nothing was submitted.")

    async def _note(self, record: MonthRecord) -> None:
        """Where to begin looking: a hint, so it may fail or be overtaken."""
        with contextlib.suppress(StoreUnavailable, BadStore):
            await self.store.write(newest_path(record.month), str(record.number).encode())


def _pauses(a_try: float) -> Iterator[float]:
    """The pauses of one who lost a number in a try that took so many seconds."""
    least, most = FIRST_PAUSE
    return pauses(min(max(WRITERS * a_try, least), most), LONGEST_PAUSE, least=0.0)
