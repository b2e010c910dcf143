"""What the shots of one run share: client, ledger, budget, polling, places in flight. Open the client around it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Collection

from prefect_seedance.budget.run_budget import RunBudget
from prefect_seedance.catalog.endpoints import KNOWN, Catalog
from prefect_seedance.generation.poll_times import SharedPolling, Waiting
from prefect_seedance.generation.sender import AT_ONCE
from prefect_seedance.ledger import durable, rules
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.notes import Notes
from prefect_seedance.ledger.record import Record, RefusalReason, Step, Writer
from prefect_seedance.ledger.rules import History
from prefect_seedance.ledger.writer import this_writer
from prefect_seedance.production.at_hand import AtHand
from prefect_seedance.runpod.client import RunpodClient

LINK_SECONDS = 24 * 3600
"""How long the provider can fetch a picture: longer than a job may queue."""


class RenderSession:
    """One run over a ledger: what it shares between its shots. Open the client around it.

    A plain class on purpose: Prefect walks through dataclasses that it is given as task parameters.
    """

    def __init__(
        self,
        client: RunpodClient,
        ledger: Ledger,
        *,
        catalog: Catalog = KNOWN,
        budget: RunBudget | None = None,
        waiting: Waiting | None = None,
        max_in_flight: int = 10,
        retry_failed: int = 0,
        flow_run_id: str | None = None,
        writer: Writer | None = None,
        on_step: Callable[[Record], None] = lambda _: None,
        continued: Collection[str] = (),
        at_hand: AtHand | None = None,
    ) -> None:
        """*continued* are the keys whose last frame another shot begins with."""
        self.client = client
        self.ledger = ledger
        self.catalog = catalog
        self.budget = budget or RunBudget()
        self.waiting = waiting or Waiting.at(client.account.kind)
        self.polling = SharedPolling(self.waiting)
        self.notes = Notes(ledger.store, run=secrets.token_hex(8))
        self.max_in_flight = max_in_flight
        """What is asked for; of a limit that is shared a run may get less."""
        self.retry_failed = retry_failed
        self.writer = writer or this_writer(flow_run_id)
        self.on_step = on_step
        self.continued = continued
        self.at_hand = at_hand or AtHand()
        self.planned: dict[str, History] = {}
        """What the plan has read. A first claim is made on that: it is exclusive, so that a stale one only loses."""
        self.claims: set[str] = set()
        self.in_doubt: dict[str, Record] = {}
        """Claims, by key, that were perhaps sent and whose history can't be read."""
        self._left: dict[str, History] = {}
        self._slots = asyncio.Semaphore(max_in_flight)
        self._claims_at_once = asyncio.Semaphore(AT_ONCE)  # whoever is let through does not queue elsewhere
        self._in_flight: set[str] = set()
        self._finished: set[str] = set()
        self._nothing_to_fetch = asyncio.Event()
        self._nothing_to_fetch.set()

    def take_places(self, places: int) -> None:
        """Have so many places in flight. Nothing is out yet."""
        self._slots = asyncio.Semaphore(places)

    @contextlib.asynccontextmanager
    async def slot(self, key: str) -> AsyncIterator[None]:
        """One of the run's places in flight, from before the claim until the download begins, or nothing is to come."""
        await self._slots.acquire()
        self._in_flight.add(key)
        try:
            yield
        finally:
            self.fetching(key)

    @contextlib.asynccontextmanager
    async def turn_to_claim(self) -> AsyncIterator[None]:
        """Finished jobs go first: no claim begins while one of them waits for its download."""
        async with self._claims_at_once:
            await self._nothing_to_fetch.wait()
            await self.client.turn_to_submit()
            yield

    def finished(self, key: str) -> None:
        """The job of *key*, which holds a place, has ended, and its clip is to be fetched."""
        self._finished.add(key)
        self._nothing_to_fetch.clear()

    def fetching(self, key: str) -> None:
        """The download of *key* has begun, or will not: its place in flight, if it has one, is for the next shot."""
        self._finished.discard(key)
        if not self._finished:
            self._nothing_to_fetch.set()
        if key in self._in_flight:
            self._in_flight.remove(key)
            self._slots.release()

    async def history_of(self, record: Record) -> History:
        """The history that *record* ends, as this run has left it a moment ago or as the ledger has it now."""
        left = self._left.pop(record.key, None)
        return left if left is not None and left.last == record else await self.ledger.load(record.key)

    async def append(self, record: Record, known: History | None = None) -> History:
        """Append a record that must not be lost; *known* is where the history stood a moment ago."""
        return self.taken(await durable.append_until_in(self.ledger, record, known))

    def taken(self, history: History) -> History:
        """Take note of a step that was just taken: what it cost, whether the account works, who wants to know."""
        if history.last is not None:
            if history.state in rules.OPEN:
                self._left[history.key] = history
            self.budget.correct(history.last)
            if history.last.kind == RefusalReason.ACCOUNT and history.state is Step.REFUSED:
                self.budget.stop(f"not submitted, since the API had just said: {history.last.reason}")
            self.on_step(history.last)
        return history

    async def link(self, place: str | None) -> str | None:
        """A link under which the provider can fetch *place*, a path in the store or a link already."""
        if place is None or "://" in place:
            return place
        return await self.ledger.store.link(place, LINK_SECONDS)
