"""Shows a run in Prefect without waiting for it: a server that is slow or has died ends no run that has paid."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

from prefect_seedance.orchestration.logs import TERMINAL
from prefect_seedance.production.manifest import Manifest

SECONDS = 30.0
"""The longest that one artifact may take to be shown."""

MADE: ContextVar[Callable[[Manifest], None] | None] = ContextVar("MADE", default=None)
"""Called with the manifest as soon as it is written; the flow run's last state never reaches a server that has died."""


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


def made(manifest: Manifest) -> None:
    """Hand *manifest* to whoever waits for it in this process."""
    if (tell := MADE.get()) is not None:
        tell(manifest)
