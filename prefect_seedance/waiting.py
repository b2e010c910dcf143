"""How to wait for a job: a first look after part of its usual time, then rising pauses with jitter to a ceiling."""

from __future__ import annotations

import asyncio
import datetime
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

from prefect_seedance import lifecycle


@dataclass(frozen=True)
class Waiting:
    """When to look first, how the pauses grow, when to stop looking. All in seconds."""

    first: float | None = None
    """Before the first look; None for half of the model's usual time."""
    pause: float = 3.0
    growth: float = 1.4
    longest: float = 15.0
    deadline: float = 3600.0
    grace: float = lifecycle.GRACE_SECONDS

    @classmethod
    def at(cls, kind: str, deadline: float = 3600.0) -> Waiting:
        """For the real API, or for a pretend one on this machine, which is looked at more often."""
        if kind == "real":
            return cls(deadline=deadline)
        return cls(first=0.2, pause=0.2, growth=1.3, longest=5.0, deadline=deadline)

    async def looks(self, submitted: datetime.datetime, usual_seconds: float, *, at_once: bool) -> AsyncIterator[None]:
        """The moments to look at a job that was submitted then and usually takes so long."""
        first = 0.0 if at_once else self.first
        if first is None:
            elapsed = (datetime.datetime.now(datetime.UTC) - submitted).total_seconds()
            first = max(0.0, usual_seconds / 2 - max(0.0, elapsed))  # whatever clock dated it
        await asyncio.sleep(first)
        pause = self.pause
        while True:
            yield
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            pause = min(pause * self.growth, self.longest)
