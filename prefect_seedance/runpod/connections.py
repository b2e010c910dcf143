"""Connections to one host, each with a client of its own."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from prefect_seedance.runpod.public_only import PublicOnly


class Connections:
    """So many connections to one host, each with a client of its own, and a queue of those who wait for one.

    For every request httpx looks at each connection of its pool, down to the socket: at twenty of them that took a
    quarter of the event loop's time.
    """

    def __init__(self, most: int, *, public_only: bool = False, **options: Any) -> None:
        self._options = options
        self._public_only = public_only
        self._turns = asyncio.Semaphore(most)
        self._all: list[httpx.AsyncClient] = []
        self._free: list[httpx.AsyncClient] = []

    @asynccontextmanager
    async def one(self) -> AsyncIterator[httpx.AsyncClient]:
        async with self._turns:
            client = self._free.pop() if self._free else self._new()
            try:
                yield client
            finally:
                self._free.append(client)

    def _new(self) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=1)
        transport = PublicOnly(certificates()) if self._public_only else None
        self._all.append(httpx.AsyncClient(verify=certificates(), limits=limits, transport=transport, **self._options))
        return self._all[-1]

    async def aclose(self) -> None:
        for client in self._all:
            await client.aclose()


@functools.cache
def certificates() -> ssl.SSLContext:
    """Loaded once: a fresh client costs 46 ms of CPU otherwise."""
    return httpx.create_ssl_context()
