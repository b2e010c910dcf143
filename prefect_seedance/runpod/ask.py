"""Questions that cost nothing and may be asked again, over connections that are kept from one to the next."""

from __future__ import annotations

import asyncio
import time

import httpx

from prefect_seedance.runpod.connections import Connections
from prefect_seedance.runpod.responses import whole
from prefect_seedance.runpod.wire import USUAL, Wire, needs_httpx

KEPT_SECONDS = 15.0
"""An idle connection is closed after: what stands between may forget it sooner than it says."""


class Kept:
    """At most *most* connections to the API at *base_url*, and a queue of those who wait for one."""

    def __init__(
        self,
        base_url: str,
        most: int,
        *,
        headers: dict[str, str],
        patience: float,
        kept_seconds: float = KEPT_SECONDS,
    ) -> None:
        self._kept_seconds = kept_seconds
        self._headers = USUAL | headers
        self._patience = patience
        self._turns = asyncio.Semaphore(most)
        self._free: list[tuple[float, Wire]] = []
        by_httpx = needs_httpx(httpx.URL(base_url))
        self._clients = Connections(most, timeout=patience, headers=headers) if by_httpx else None

    async def ask(self, method: str, url: str) -> httpx.Response:
        """The whole answer, or an `httpx.HTTPError`; no redirect is followed."""
        if self._clients is not None:
            async with self._clients.one() as client, client.stream(method, url) as streamed:
                return await whole(streamed)
        async with self._turns:
            return await self._exchange(method, httpx.URL(url))

    async def _exchange(self, method: str, url: httpx.URL) -> httpx.Response:
        wire = self._idle() or await Wire.open(url, self._patience)
        answered = False
        try:
            response = await wire.exchange(wire.encoded(method, url, self._headers))
            answered = True
        finally:
            if answered and wire.is_kept:
                self._free.append((time.monotonic(), wire))
            else:
                wire.close()
        return response

    def _idle(self) -> Wire | None:
        """The connection that was used last, if the API still keeps it; the others are closed when their time is up."""
        while self._free and time.monotonic() - self._free[0][0] > self._kept_seconds:
            self._free.pop(0)[1].close()
        while self._free:
            wire = self._free.pop()[1]
            if wire.is_kept:
                return wire
            wire.close()
        return None

    async def aclose(self) -> None:
        for _, wire in self._free:
            wire.close()
        if self._clients is not None:
            await self._clients.aclose()
