"""Shows a run in Prefect without waiting for it: nothing that can't be shown ends a run that has paid."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from prefect_seedance.orchestration.logs import TERMINAL

SECONDS = 30.0
"""The longest that one artifact may take to be shown."""

_MADE: ContextVar[list[Any] | None] = ContextVar("what the flows of this process have made", default=None)


class Display:
    """Shows what a run has to show, until the Prefect server fails to take something."""

    def __init__(self) -> None:
        self._gone = False

    async def show(self, showing: Coroutine[Any, Any, object]) -> None:
        """Await *showing* for at most `SECONDS`. The first failure is logged, and nothing is shown after it."""
        if self._gone:
            showing.close()
            return
        try:
            async with asyncio.timeout(SECONDS):
                await showing
        except Exception as error:
            if not self._gone:
                self._gone = True
                TERMINAL.info(
                    "The Prefect server does not take what this run shows (%s); the run goes on, and clips, film and "
                    "manifest do not need it.",
                    type(error).__name__,
                )


@contextmanager
def watching() -> Iterator[list[Any]]:
    """What the flows within have made, the newest last, also where their last state never reaches a dead server."""
    results: list[Any] = []
    token = _MADE.set(results)
    try:
        yield results
    finally:
        _MADE.reset(token)


def made(result: object) -> None:
    """Hand a manifest, or the JSON of a report, to whoever waits for it in this process."""
    if (results := _MADE.get()) is not None:
        results.append(result)
