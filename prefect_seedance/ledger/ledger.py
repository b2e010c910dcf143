"""The history of every key, kept in a store: one immutable record per step, created exclusively at the next number.

The append is the lock. Whoever loses the race reads again and decides again, so each key has one agreed history across
processes and machines, with no lock, no database and no lease. The protocol and its model are in PROTOCOL.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from pydantic import ValidationError

from prefect_seedance.errors import BadStore, LedgerUnreadable, LostRace, Missing, StoreUnavailable, Taken
from prefect_seedance.ledger.pauses import pauses
from prefect_seedance.ledger.readable import readable
from prefect_seedance.ledger.record import Record, Step, next_step
from prefect_seedance.ledger.rescue import rescue, without_a_place
from prefect_seedance.ledger.rules import OPEN, ClaimObservation, History
from prefect_seedance.ledger.writer import is_gone
from prefect_seedance.storage.reads import some_at_a_time
from prefect_seedance.storage.store import Store

log = logging.getLogger(__name__)
RECORD_NAME = re.compile(r"(\d{4,})\.json")
FEWEST_TO_STORED = 4
"""claimed, accepted, completed, stored: so few records are of one attempt, hold no stray and get none, since their one
claim has named its job."""
MARKER_NAME = re.compile(r"(.+)-(\d{4,})")
CLAIM_TRIES = 3
RESCUE_AFTER = 3.0
"""Seconds of silence of the store after which what is known is told outside of it."""
UNREADABLE_TRIES = 4
"""Records appear whole: what can't be read after so many looks, some seconds in all, waits for a person."""


class Ledger:
    """The histories kept in *store*. Every write is all or nothing, and legal by the table of `rules`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._first_seen: dict[str, float] = {}
        self._rescued: set[tuple[str, Step]] = set()
        self._stored: dict[str, History] = {}
        """Whole histories that this process has brought to their end: what follows can only be a stray."""
        self._asks_for_usual = True
        """Whether the key that was read last was stored: those of a run mostly are, or mostly are not."""

    async def load(self, key: str) -> History:
        """The history of *key*. Raises `LedgerUnreadable`, never guesses. Costs one read or one list among its like.

        After a stored key the record at the number that is usually the last is asked for first: `stored` is for ever,
        whatever follows. After another key it is not.
        """
        if self._asks_for_usual:
            with contextlib.suppress(Missing, LedgerUnreadable):
                usual = await self._record(key, FEWEST_TO_STORED)
                if usual.step is Step.STORED:
                    return History(key, (usual,))
        history = await self.load_open(key)
        self._asks_for_usual = history.state is Step.STORED
        return history

    async def load_open(self, key: str) -> History:
        """As `load`, by the list of the key's records: for one that is seldom stored, as one that has a marker."""
        return await self._load(key, await self.store.names(f"ledger/{key}"), enough=_is_stored)

    async def load_whole(self, key: str) -> History:
        """As `load`, with every attempt and stray also of a stored key: for who counts money or claims."""
        known = self._stored.get(key)
        if known is not None:
            follows = known.number > FEWEST_TO_STORED and await self.store.exists(record_path(key, known.number + 1))
            if not follows:
                return known
        names = await self.store.names(f"ledger/{key}")
        return await self._load(key, names, lambda last: _is_stored(last) and last.number <= FEWEST_TO_STORED)

    async def _load(self, key: str, names: Iterable[str], enough: Callable[[Record], bool]) -> History:
        found = map(RECORD_NAME.fullmatch, names)
        numbers = sorted(int(match[1]) for match in found if match)
        if not numbers:
            return History(key)
        if numbers != list(range(1, len(numbers) + 1)):
            raise LedgerUnreadable(f"Records of {key} are missing below {numbers[-1]}; nothing was submitted for it.")
        last = await self._read(key, numbers[-1])
        if enough(last):
            return History(key, (last,))
        earlier = await asyncio.gather(*(self._read(key, number) for number in numbers[:-1]))
        return History(key, (*earlier, last))

    async def load_many(self, keys: Iterable[str]) -> list[History]:
        """The histories of *keys*, in their order; some at a time, so that a board of a thousand asks for no more."""
        keys = list(keys)
        if not self.store.lists_cheaply:  # the first tells whether the others are stored
            return [await self.load(key) for key in keys[:1]] + await some_at_a_time(self.load, keys[1:])
        listed = dict(zip(keys, await self.store.names_in([f"ledger/{key}" for key in keys]), strict=True))
        begun = [key for key in keys if listed[key]]
        histories = await some_at_a_time(lambda key: self._load(key, listed[key], enough=_is_stored), begun)
        known = dict(zip(begun, histories, strict=True))
        return [known.get(key) or History(key) for key in keys]

    async def load_readable(self, keys: Iterable[str], *, whole: bool = False) -> tuple[list[History], dict[str, str]]:
        """The histories of *keys*, and of those that can't be read why."""
        errors: dict[str, str] = {}

        async def load(key: str) -> History | None:
            try:
                return await (self.load_whole(key) if whole else self.load(key))
            except LedgerUnreadable as error:
                errors[key] = str(error)
                return None

        return [history for history in await some_at_a_time(load, keys) if history is not None], errors

    async def _read(self, key: str, number: int) -> Record:
        try:
            return await self._record(key, number)
        except Missing as error:
            path = record_path(key, number)
            raise LedgerUnreadable(f"The record {path} can't be read; nothing was submitted.") from error

    async def _record(self, key: str, number: int) -> Record:
        path = record_path(key, number)
        try:
            record = Record.model_validate_json(await self.store.read(path))
        except ValidationError as error:
            where = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3])
            raise LedgerUnreadable(f"The record {path} is damaged ({where}); nothing was submitted for it.") from error
        if (record.key, record.number) != (key, number):
            raise LedgerUnreadable(f"The record {path} says it is {record.key}@{record.number}; nothing was submitted.")
        return record

    async def append(self, history: History, record: Record) -> History:
        """Add *record* as the next number, or raise `LostRace`. After `StoreUnavailable` nobody knows: read again."""
        if record.step is not Step.STRAY and not history.allows(record.step, record.claim_id):
            raise LostRace(f"{record.key} is {history.state}; {record.step} may not follow")
        record, content = readable(record.model_copy(update={"number": history.number + 1}))
        if record.step not in (Step.STRAY, Step.STORED) and record.step in OPEN and history.state not in OPEN:
            # The marker goes in before the record that opens the key: a superset of what is open, never the truth.
            await self.store.write(marker_path(record.key, record.number), content)
        try:
            await self.store.create(record_path(record.key, record.number), content)
        except Taken as error:
            raise LostRace(f"{record.key}@{record.number} was taken by another writer") from error
        appended = History(history.key, (*history.records, record))
        if record.step is Step.STORED and len(appended.records) == record.number:
            self._stored[record.key] = appended
        return appended

    async def claim(self, history: History, record: Record) -> History:
        """Claim the next number, or raise `LostRace`; while nobody says which, the same record at the same number.

        An own claim whose answer was lost is known by its bytes, which hold its claim id: see `Store.create`.
        """
        for pause in itertools.islice(pauses(0.1, 1.0), CLAIM_TRIES - 1):
            with contextlib.suppress(StoreUnavailable):
                return await self.append(history, record)
            await asyncio.sleep(pause)
        return await self.append(history, record)

    async def append_until_in(self, record: Record, known: History | None = None) -> History:
        """Append *record* wherever the history has a place for it, repeating until it is in. Only a kill ends this.

        A step that is no longer legal is dropped, since somebody else took it; a job id that no record names becomes a
        stray. What is known goes to stderr, to the log and to the rescue file when the store fails in whatever way, and
        within `RESCUE_AFTER` seconds when it says nothing. A history that can't be read ends it: `LedgerUnreadable`,
        once that is done. *known* is where the history stood a moment ago, which usually spares reading it again.
        """
        rescuing = asyncio.create_task(self._rescue_soon(record))
        try:
            history = await self._append_until_in(record, known)
        finally:
            rescuing.cancel()
        if (record.claim_id, record.step) in self._rescued:
            log.warning("The store has taken the record `%s` of %s now.", record.step, record.key)
        return history

    async def _append_until_in(self, record: Record, known: History | None) -> History:
        if known is not None and known.allows(record.step, record.claim_id):
            with contextlib.suppress(Exception):  # whatever it was is seen again below
                return await self.append(known, record)
        races, outages, unreadable = pauses(0.02, 2.0), pauses(0.5, 15.0), 0
        while True:
            try:
                return await self._append_in_place(record)
            except LostRace:
                await asyncio.sleep(next(races))
            except Exception as error:  # also what nobody foresaw: no other place knows the record
                self.rescue(record, error)
                if "cannot schedule new futures" in str(error):
                    raise  # an interpreter that ends starts nothing more, whatever the store does
                unreadable += isinstance(error, LedgerUnreadable)
                if unreadable == UNREADABLE_TRIES:
                    raise LedgerUnreadable(without_a_place(record, error)) from error
                await asyncio.sleep(next(outages))

    async def _append_in_place(self, record: Record) -> History:
        history = await self.load_whole(record.key)  # an earlier attempt of a stored key may name the job
        if _is_in(history, record):
            return history
        if history.allows(record.step, record.claim_id):
            return await self.append(history, record)
        if record.job_id is None or history.names_job(record.job_id):
            return history
        log.error("Job %s of %s has no place in its history: money at risk.", record.job_id, record.key)
        return await self.append(history, record.model_copy(update={"step": Step.STRAY}))

    async def _rescue_soon(self, record: Record) -> None:
        await asyncio.sleep(RESCUE_AFTER)
        self.rescue(record, StoreUnavailable(f"it has not answered for {RESCUE_AFTER:.0f} s."))

    def rescue(self, record: Record, error: Exception, file: Path | None = None) -> None:
        """Say once, in three places outside the store, what the store does not take now."""
        if (record.claim_id, record.step) not in self._rescued:
            self._rescued.add((record.claim_id, record.step))
            rescue(record, error, self.store.url, file)

    async def call_unclear(self, history: History, *, needed: bool = True) -> History:
        """Say of the overdue claim that ends *history* that nobody knows whether it was paid.

        Tried once: it is an observer's word, which the next observer can say as well. Where the store does not take it,
        raises, or, if it is not *needed*, returns all the same what is true, for showing only.
        """
        assert history.last is not None  # an overdue claim
        reason = "its writer ended between the claim and the answer"
        unclear = next_step(history.last, Step.UNCLEAR, reason=reason, number=history.number + 1)
        try:
            return await self.append(history, unclear)
        except (LostRace, StoreUnavailable, BadStore):
            there = await self.load(history.key)
            if there.number > history.number:
                return there
            if needed:
                raise
            return History(history.key, (*history.records, unclear))

    async def unmark(self, history: History, *numbers: int) -> None:
        """Remove the markers that *history* closes: *numbers*, or all it opened but what a person has answered.

        What is left, the collector removes: it brings a person's answer into its month before.
        """
        if history.state in OPEN or history.last is None:
            return
        for number in numbers or sorted(set(history.openings()) - history.answered):
            if number <= history.number:  # a stray takes a number as well: nothing can open the key there any more
                await self.store.delete(marker_path(history.key, number))

    async def markers(self) -> list[tuple[str, int]]:
        """(key, number) of every marker: all that may be open, from any run."""
        found = (MARKER_NAME.fullmatch(name) for name in await self.store.names("ledger-open"))
        return [(match[1], int(match[2])) for match in found if match]

    async def marker(self, key: str, number: int) -> Record | None:
        """The claim that a marker was written for, or None if the marker has gone."""
        try:
            return Record.model_validate_json(await self.store.read(marker_path(key, number)))
        except Missing:
            return None
        except ValidationError as error:
            raise LedgerUnreadable(f"The marker {marker_path(key, number)} is damaged.") from error

    async def keys(self) -> list[str]:
        """Every key that has a history. A full listing: for reports, never in the course of a run."""
        return await self.store.names("ledger")

    def observation(self, record: Record) -> ClaimObservation:
        """What this process knows of a claim: how long it has watched it, and whether its writer is surely gone."""
        first = self._first_seen.setdefault(record.claim_id, time.monotonic())
        return ClaimObservation(time.monotonic() - first, is_gone(record.writer))


def _is_stored(last: Record) -> bool:
    return last.step is Step.STORED


def record_path(key: str, number: int) -> str:
    return f"ledger/{key}/{number:04d}.json"


def marker_path(key: str, number: int) -> str:
    return f"ledger-open/{key}-{number:04d}"


def _is_in(history: History, record: Record) -> bool:
    """Is this very step there already, by this writer or by another who knew the same?"""
    records = history.records
    if history.state is not Step.LOST:  # what came back goes its way again, and may be lost again
        records = records[max((r.number for r in records if r.step is Step.LOST), default=0) :]
    if any(r.step is Step.STRAY and r.job_id == record.job_id and record.job_id is not None for r in history.records):
        return True
    return any((r.claim_id, r.step, r.job_id) == (record.claim_id, record.step, record.job_id) for r in records)
