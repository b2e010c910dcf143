"""Questions that cost nothing and may be asked again, over connections that are kept from one to the next."""

from __future__ import annotations

import asyncio
import time

import httpx

from prefect_seedance.runpod.bodies import whole
from prefect_seedance.runpod.connections import Connections
from prefect_seedance.runpod.http1 import USUAL, Http1Connection, needs_httpx

KEPT_SECONDS = 15.0
"""An idle connection is closed after: what stands between may forget it sooner than it says."""


class KeptConnections:
    """At most *most* connections to the API at *base_url*, and a queue of those who wait for one.

    *patience* is seconds for a step, *within* for a whole answer once its turn has come.
    """

    def __init__(
        self,
        base_url: str,
        most: int,
        *,
        headers: dict[str, str],
        patience: float,
        within: float,
        kept_seconds: float = KEPT_SECONDS,
    ) -> None:
        self._headers = USUAL | headers
        self._patience = patience
        self._within = within
        self._kept_seconds = kept_seconds
        self._turns = asyncio.Semaphore(most)
        self._free: list[tuple[float, Http1Connection]] = []
        by_httpx = needs_httpx(httpx.URL(base_url))
        self._clients = Connections(most, timeout=patience, headers=headers) if by_httpx else None

    async def ask(self, method: str, url: str) -> httpx.Response:
        """The whole answer, or an `httpx.HTTPError`; no redirect is followed."""
        async with self._turns:
            try:
                async with asyncio.timeout(self._within):
                    if self._clients is None:
                        return await self._exchange(method, httpx.URL(url))
                    async with self._clients.one() as client, client.stream(method, url) as streamed:
                        return await whole(streamed)
            except TimeoutError as error:
                raise httpx.ReadTimeout(f"no whole answer within {self._within:.0f} s") from error

    async def _exchange(self, method: str, url: httpx.URL) -> httpx.Response:
        connection = self._idle() or await Http1Connection.open(url, self._patience)
        answered = False
        try:
            response = await connection.exchange(connection.encoded(method, url, self._headers))
            answered = True
        finally:
            if answered and connection.is_kept:
                self._free.append((time.monotonic(), connection))
            else:
                connection.close()
        return response

    def _idle(self) -> Http1Connection | None:
        """The connection that was used last, if the API still keeps it; the others are closed when their time is up."""
        while self._free and time.monotonic() - self._free[0][0] > self._kept_seconds:
            self._free.pop(0)[1].close()
        while self._free:
            connection = self._free.pop()[1]
            if connection.is_kept:
                return connection
            connection.close()
        return None

    async def aclose(self) -> None:
        for _, connection in self._free:
            connection.close()
        if self._clients is not None:
            await self._clients.aclose()
