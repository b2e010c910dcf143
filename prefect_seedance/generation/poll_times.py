"""How the waits of a run take turns: a first look after part of a job's usual time, then rising pauses with jitter.

Waits that share a run learn from one another: once a job of a kind was seen to end, others of that kind are looked at
as soon as they are as old. That only ever brings a look forward: no pause is longer than `longest`, none passes the
deadline. The API forgets a job half an hour after its end, so that a look left out is a clip lost.
"""

from __future__ import annotations

import asyncio
import datetime
import random
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from prefect_seedance.ledger import rules
from prefect_seedance.ledger.clocks import Elapsed
from prefect_seedance.ledger.notes import Notes
from prefect_seedance.ledger.record import Record

LOOKS_PER_SECOND = 100.0
"""What all waits of a run make together, as far as their longest pause allows: a thousand see an end 5 s late."""


@dataclass(frozen=True)
class Waiting:
    """When to look first, how the pauses grow, when to stop looking. All in seconds."""

    first: float | None = None
    """Before the first look; None for half of the model's usual time."""
    pause: float = 3.0
    growth: float = 1.4
    longest: float = 10.0
    deadline: float = 3600.0
    grace: float = rules.GRACE_SECONDS

    @classmethod
    def at(cls, kind: str, deadline: float = 3600.0) -> Waiting:
        """For the real API, or for a pretend one on this machine, which is looked at sooner."""
        if kind == "real":
            return cls(deadline=deadline)
        return cls(first=0.2, pause=0.2, growth=1.3, deadline=deadline)


class SharedPolling:
    """What the waits of one run share: how many they are, and how long the quickest job of each kind took."""

    def __init__(self, waiting: Waiting) -> None:
        self.waiting = waiting
        self.waits = 0
        self._quickest: dict[tuple[str, str, int], float] = {}
        self._news = asyncio.Event()

    def ended(self, record: Record) -> None:
        """A job that was watched has just ended: others of its kind are worth a look when they are as old."""
        age, known = _age(record), self.quickest(record)
        if known is None or age < known:
            self._quickest[_kind(record)] = age
            self._news.set()
            self._news = asyncio.Event()

    def quickest(self, record: Record) -> float | None:
        """Seconds that the quickest job of its kind took, of those that were watched."""
        return self._quickest.get(_kind(record))

    async def poll_times(
        self, record: Record, usual_seconds: float, *, at_once: bool, until: float = float("inf")
    ) -> AsyncGenerator[None, None]:
        """The moments to look at a job; the last of them is *until*, a moment of `time.monotonic`."""
        first = usual_seconds / 2 - _age(record) if self.waiting.first is None else self.waiting.first
        pause = self.waiting.pause
        self.waits += 1
        try:
            if first > self.waiting.longest and not at_once:
                await asyncio.sleep(min(first, max(0.0, until - time.monotonic())))
            elif not at_once:
                await self._until_worth_a_look(record, first, until)
            while True:
                yield
                await self._until_worth_a_look(record, pause * random.uniform(0.8, 1.2), until)
                pause = min(pause * self.waiting.growth, self.waiting.longest)
        finally:
            self.waits -= 1

    async def _until_worth_a_look(self, record: Record, pause: float, until: float) -> None:
        """Sleep for *pause*, or longer where many wait, never past `longest` or *until*.

        What other jobs teach only brings the look forward: to the age at which one of this kind has ended.
        """
        # Without chance those that began together would look together.
        spread = random.uniform(0, 2) * self.waits / LOOKS_PER_SECOND
        now = time.monotonic()
        at = min(now + min(max(pause, spread), self.waiting.longest), until)
        while (now := time.monotonic()) < at:
            ripens_in = (self.quickest(record) or 0.0) - _age(record)
            try:
                async with asyncio.timeout(min(at - now, ripens_in) if ripens_in > 0 else at - now):
                    await self._news.wait()
            except TimeoutError:
                return
            known = self.quickest(record)
            if known is not None and _age(record) >= known:
                return


class Watch:
    """What one wait has seen of its job. A 404 is noted in the store and counts only when it is seen again."""

    def __init__(self, record: Record, notes: Notes, waiting: Waiting) -> None:
        self.record = record
        self.notes = notes
        self.waiting = waiting
        self._known_at: float | None = None
        self._gone_at: float | None = None

    @property
    def was_near(self) -> bool:
        """Was the job seen to run so lately that its age now tells how long it took?"""
        return self._known_at is not None and time.monotonic() - self._known_at <= 2 * self.waiting.longest

    @property
    def summary(self) -> str:
        if self._gone_at is not None:
            return "is not known to the API (404)"
        return "can't be asked about now" if self._known_at is None else "still runs"

    async def known(self) -> None:
        """The API knows the job: no earlier 404 counts."""
        if self._known_at is None or self._gone_at is not None:
            await self.notes.forget(self.record, "gone")
        self._known_at, self._gone_at = time.monotonic(), None

    async def gone_for_good(self, look: Elapsed) -> bool:
        """Has the API not known the job for the whole grace, by the store's clock? A job's first 404 only begins it.

        The note is about the record of acceptance and younger than it, so that the grace since acceptance has passed.
        """
        now = time.monotonic()
        if self._gone_at is None and self._known_at is not None:
            await self.notes.forget(self.record, "gone")  # another run may have noted it before this one knew better
        elif self._gone_at is not None and now - self._gone_at < self.waiting.grace:
            return False
        self._gone_at = now if self._gone_at is None else self._gone_at
        return await self.notes.seen_again(self.record, "gone", look=look, after=self.waiting.grace)


def _kind(record: Record) -> tuple[str, str, int]:
    return record.request.model, record.request.size, record.request.duration


def _age(record: Record) -> float:
    """Seconds since the job was accepted; never negative, whatever clock dated it."""
    since = record.accepted_at or record.at
    return max(0.0, (datetime.datetime.now(datetime.UTC) - since).total_seconds())
