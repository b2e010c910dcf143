"""How the waits of a run take turns: a first look after part of a job's usual time, then rising pauses with jitter.

Waits that share a run learn from one another: once a job of a kind has ended, others of that kind are looked at when
they are as old, and hardly before. So thousands of waits need few status calls and still notice an end at once.
"""

from __future__ import annotations

import asyncio
import datetime
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

from prefect_seedance.ledger import rules
from prefect_seedance.ledger.record import Record

LOOKS_PER_SECOND = 50.0
"""What all waits of a run make together while they know nothing, however many they are."""


@dataclass(frozen=True)
class Waiting:
    """When to look first, how the pauses grow, when to stop looking. All in seconds."""

    first: float | None = None
    """Before the first look; None for half of the model's usual time."""
    pause: float = 3.0
    growth: float = 1.4
    longest: float = 15.0
    deadline: float = 3600.0
    grace: float = rules.GRACE_SECONDS

    @classmethod
    def at(cls, kind: str, deadline: float = 3600.0) -> Waiting:
        """For the real API, or for a pretend one on this machine, which is looked at more often."""
        if kind == "real":
            return cls(deadline=deadline)
        return cls(first=0.2, pause=0.2, growth=1.3, longest=5.0, deadline=deadline)


class Turns:
    """What the waits of one run share: how many they are, and how long the quickest job of each kind took."""

    def __init__(self, waiting: Waiting) -> None:
        self.waiting = waiting
        self.waits = 0
        self._quickest: dict[tuple[str, str, int], float] = {}
        self._news = asyncio.Event()

    def ended(self, record: Record) -> None:
        """A job has just been seen to end: others of its kind are worth a look when they are as old."""
        age = _age(record)
        if age < self._quickest.get(_kind(record), float("inf")):
            self._quickest[_kind(record)] = age
            self._news.set()
            self._news = asyncio.Event()

    async def looks(self, record: Record, usual_seconds: float, *, at_once: bool) -> AsyncIterator[None]:
        """The moments to look at a job."""
        first = 0.0 if at_once else self.waiting.first
        await asyncio.sleep(max(0.0, usual_seconds / 2 - _age(record)) if first is None else first)
        pause = self.waiting.pause
        self.waits += 1
        try:
            while True:
                yield
                await self._until_worth_a_look(record, pause * random.uniform(0.8, 1.2))
                pause = min(pause * self.waiting.growth, self.waiting.longest)
        finally:
            self.waits -= 1

    async def _until_worth_a_look(self, record: Record, pause: float) -> None:
        known = self._quickest.get(_kind(record))
        if known is None:
            # Without chance those that began together would look together.
            spread = random.uniform(0, 2) * self.waits / LOOKS_PER_SECOND
            try:
                async with asyncio.timeout(max(pause, spread)):
                    await self._news.wait()
            except TimeoutError:
                return
            known = self._quickest.get(_kind(record), 0.0)
            pause = 0.0
        await asyncio.sleep(max(pause, known - _age(record)))


def _kind(record: Record) -> tuple[str, str, int]:
    return record.request.model, record.request.size, record.request.duration


def _age(record: Record) -> float:
    """Seconds since the job was accepted; never negative, whatever clock dated it."""
    since = record.accepted_at or record.at
    return max(0.0, (datetime.datetime.now(datetime.UTC) - since).total_seconds())
