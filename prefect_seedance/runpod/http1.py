"""HTTP/1.1 over one connection, by h11: httpx takes four times as long around each request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Self
from urllib.request import getproxies

import h11
import httpx

from prefect_seedance.runpod.bodies import whole
from prefect_seedance.runpod.connections import certificates

PORTS = {"http": 80, "https": 443}
PIECE = 64 * 1024
NEXT_ADDRESS_AFTER = 0.25
"""Seconds until the next address of a host is tried as well, as httpx does."""
USUAL = {"Accept-Encoding": "gzip, deflate", "User-Agent": f"python-httpx/{httpx.__version__}"}
"""What httpx says of itself: all calls come from one client, as far as the API can see."""


def needs_httpx(url: httpx.URL) -> bool:
    """Whether httpx has to find the way: by a proxy that the environment names, or with a name in the address."""
    proxies = getproxies()
    return bool(url.userinfo or proxies.get(url.scheme) or proxies.get("all"))


class Http1Connection:
    """An open connection: one request after the other, each with its whole answer. *patience* is seconds for a step."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, patience: float) -> None:
        self._reader = reader
        self._writer = writer
        self._patience = patience
        self._state = h11.Connection(h11.CLIENT)

    @classmethod
    async def open(cls, url: httpx.URL, patience: float) -> Self:
        """Raises `httpx.ConnectError`, `httpx.ConnectTimeout` or `httpx.UnsupportedProtocol`: nothing was sent."""
        if url.scheme not in PORTS:
            raise httpx.UnsupportedProtocol(f"{url.scheme}:// is no address of an API")
        host, port = url.raw_host.decode("ascii"), url.port or PORTS[url.scheme]
        secure = certificates() if url.scheme == "https" else None
        try:
            async with asyncio.timeout(patience):
                opened = await asyncio.open_connection(host, port, ssl=secure, happy_eyeballs_delay=NEXT_ADDRESS_AFTER)
        except TimeoutError as error:
            raise httpx.ConnectTimeout(f"no connection within {patience:.0f} s") from error
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(str(error)) from error
        return cls(*opened, patience)

    @property
    def is_kept(self) -> bool:
        """Whether both sides have said all they had to, and the other one has not closed it."""
        return self._state.our_state is h11.IDLE and not self._reader.at_eof()

    def close(self) -> None:
        self._writer.transport.abort()

    def encoded(self, method: str, url: httpx.URL, headers: dict[str, str], content: bytes = b"") -> bytes:
        """The whole request, to be sent next; `httpx.LocalProtocolError` if it is none."""
        headers = {"Host": url.netloc.decode("ascii")} | headers
        if method != "GET":
            headers["Content-Length"] = str(len(content))
        try:
            head = h11.Request(method=method, target=url.raw_path, headers=list(headers.items()))
            events = (head, h11.Data(data=content), h11.EndOfMessage())
            return b"".join(self._state.send(event) or b"" for event in events)
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from error

    async def exchange(self, request: bytes, came: bytearray | None = None) -> httpx.Response:
        """Send *request* at once, and the whole answer to it. Raises `httpx.HTTPError` where nobody knows.

        *came* is given what comes of its body.
        """
        self._writer.write(request)
        try:
            async with asyncio.timeout(self._patience):
                await self._writer.drain()
            response = await whole(await self._answer(), came)
            if self._state.our_state is h11.DONE and self._state.their_state is h11.DONE:
                self._state.start_next_cycle()
            return response
        except TimeoutError as error:
            raise httpx.ReadTimeout(f"no answer within {self._patience:.0f} s") from error
        except OSError as error:
            raise httpx.ReadError(f"the connection broke ({error})") from error
        except h11.ProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error

    async def _answer(self) -> httpx.Response:
        """The head of the answer, whose body is still on its way."""
        event = await self._next()
        while isinstance(event, h11.InformationalResponse):
            event = await self._next()
        if not isinstance(event, h11.Response):
            raise httpx.RemoteProtocolError("the connection was closed without an answer")
        return httpx.Response(event.status_code, headers=list(event.headers), stream=_Body(self))

    async def _next(self) -> h11.Event | type:
        while (event := self._state.next_event()) is h11.NEED_DATA:
            async with asyncio.timeout(self._patience):
                came = await self._reader.read(PIECE)
            if not came and self._state.their_state is h11.SEND_RESPONSE:
                raise httpx.RemoteProtocolError("the connection was closed without an answer")
            self._state.receive_data(came)
        return event


class _Body(httpx.AsyncByteStream):
    def __init__(self, connection: Http1Connection) -> None:
        self._connection = connection

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while isinstance(event := await self._connection._next(), h11.Data):
            yield bytes(event.data)
