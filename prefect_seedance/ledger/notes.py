"""What has to be seen again before it counts: a job that the API does not know, a dead link, alike damaged bytes.

A note says who saw it first. How long ago that was is told by the store's own clock, so that waits of many runs and
machines add up, and no run has to sit through a grace.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Literal

from pydantic import ConfigDict, Field, ValidationError

from prefect_seedance.errors import BadStore, Missing, StoreUnavailable, Taken
from prefect_seedance.ledger.clocks import Elapsed
from prefect_seedance.ledger.record import Record
from prefect_seedance.models import Frozen
from prefect_seedance.storage.store import Store

FOLDER = "ledger-seen"
NOTE_NAME = re.compile(r"(.+?)-\d{4,}-[a-z].*\.json")


class Note(Frozen):
    """Who saw it first, and when by that observer's clock (for people only)."""

    schema_: Literal["prefect-seedance/seen/1"] = Field("prefect-seedance/seen/1", alias="schema")
    key: str
    number: int
    what: str
    run: str
    at: datetime.datetime

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


class Notes:
    """The notes in *store*, read and made by the run *run*. A store that takes none remembers nothing: never an end."""

    def __init__(self, store: Store, run: str) -> None:
        self.store = store
        self.run = run

    async def seen_again(
        self, record: Record, what: str, *, look: Elapsed, after: float, by_another: bool = False
    ) -> bool:
        """Whether *what* was noted about *record* at least *after* seconds before *look* began; if never, it is now.

        With *by_another* only a note of another run counts. A machine that sleeps within a look makes no old note of a
        young one.
        """
        try:
            if not await self.store.exists(path := note_path(record, what)):
                await self._write(record, what)
                return False
            note = Note.model_validate_json(await self.store.read(path))
            return (not by_another or note.run != self.run) and await self.store.age(path) - look.seconds >= after
        except ValidationError:
            await self.forget(record, what)  # whose it was is not known: it begins anew
            return False
        except (Taken, Missing, StoreUnavailable, BadStore):
            return False

    async def _write(self, record: Record, what: str) -> None:
        now = datetime.datetime.now(datetime.UTC)
        note = Note(key=record.key, number=record.number, what=what, run=self.run, at=now)
        await self.store.create(note_path(record, what), note.model_dump_json(indent=1).encode())

    async def forget(self, record: Record, what: str) -> None:
        """It was seen otherwise since: what was noted counts no longer."""
        with suppress(StoreUnavailable, BadStore):
            if await self.store.exists(path := note_path(record, what)):
                await self.store.delete(path)

    async def forget_all_but(self, record: Record, what: str) -> None:
        """Of all that was noted about *record*, only *what* can still be so."""
        about, kept = note_path(record, "").removesuffix(".json"), note_path(record, what)
        with suppress(StoreUnavailable, BadStore):
            for path in [f"{FOLDER}/{name}" for name in await self.store.names(FOLDER)]:
                if path.startswith(about) and path != kept:
                    await self.store.delete(path)

    async def sweep(self, markers: Callable[[], Awaitable[Iterable[tuple[str, int]]]]) -> None:
        """Remove the notes about keys that have no marker."""
        names = await self.store.names(FOLDER)
        open_keys = {key for key, _ in await markers()} if names else set()
        for name in names:
            match = NOTE_NAME.fullmatch(name)
            if match and match[1] not in open_keys:
                await self.store.delete(f"{FOLDER}/{name}")


def note_path(record: Record, what: str) -> str:
    return f"{FOLDER}/{record.key}-{record.number:04d}-{what}.json"
