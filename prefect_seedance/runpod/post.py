"""One POST over a connection of its own: open it, take the last look, then send. Nothing is repeated or followed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.request import getproxies

import h11
import httpx

from prefect_seedance.runpod.connections import certificates
from prefect_seedance.runpod.responses import whole

PORTS = {"http": 80, "https": 443}
PIECE = 64 * 1024
NEXT_ADDRESS_AFTER = 0.25
"""Seconds until the next address of a host is tried as well, as httpx does."""
USUAL = {"Accept-Encoding": "gzip, deflate", "User-Agent": f"python-httpx/{httpx.__version__}"}
"""What httpx says of itself: all calls come from one client, as far as the API can see."""


async def post(
    url: httpx.URL, body: dict[str, Any], headers: dict[str, str], *, last_look: Callable[[], None], patience: float
) -> httpx.Response:
    """The whole answer to one POST of *body*. *last_look* is called when nothing is sent yet; what it raises ends it.

    Raises `httpx.ConnectError` or `httpx.ConnectTimeout` when surely nothing was sent, another `httpx.HTTPError` when
    nobody knows. *patience* is seconds: for the connection and for each wait for a piece of the answer.
    """
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    headers = USUAL | headers | {"Content-Type": "application/json"}
    if _needs_httpx(url):
        return await _by_httpx(url, content, headers, last_look, patience)
    connection = h11.Connection(h11.CLIENT)
    request = _request(connection, url, content, headers)
    reader, writer = await _connected(url, patience)
    try:
        last_look()
        writer.write(request)  # at once: whoever is suspended in between wakes to a connection that was closed
        async with asyncio.timeout(patience):
            await writer.drain()
        return await whole(await _answer(connection, reader, patience))
    except TimeoutError as error:
        raise httpx.ReadTimeout(f"no answer within {patience:.0f} s") from error
    except OSError as error:
        raise httpx.ReadError(f"the connection broke ({error})") from error
    except h11.ProtocolError as error:
        raise httpx.RemoteProtocolError(str(error)) from error
    finally:
        writer.transport.abort()


def _needs_httpx(url: httpx.URL) -> bool:
    """Whether httpx has to find the way: by a proxy that the environment names, or with a name in the address."""
    proxies = getproxies()
    return bool(url.userinfo or proxies.get(url.scheme) or proxies.get("all"))


async def _by_httpx(
    url: httpx.URL, content: bytes, headers: dict[str, str], last_look: Callable[[], None], patience: float
) -> httpx.Response:
    async def look(event: str, _: dict[str, Any]) -> None:
        if event.endswith("send_request_headers.started"):
            last_look()

    async with (
        httpx.AsyncClient(verify=certificates(), timeout=patience) as fresh,
        fresh.stream("POST", url, content=content, headers=headers, extensions={"trace": look}) as streamed,
    ):
        return await whole(streamed)


def _request(connection: h11.Connection, url: httpx.URL, content: bytes, headers: dict[str, str]) -> bytes:
    host = {"Host": url.netloc.decode("ascii"), "Connection": "close", "Content-Length": str(len(content))}
    try:
        head = h11.Request(method="POST", target=url.raw_path, headers=list((host | headers).items()))
        events = (head, h11.Data(data=content), h11.EndOfMessage())
        return b"".join(connection.send(event) or b"" for event in events)
    except h11.LocalProtocolError as error:
        raise httpx.LocalProtocolError(str(error)) from error


async def _connected(url: httpx.URL, patience: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if url.scheme not in PORTS:
        raise httpx.UnsupportedProtocol(f"{url.scheme}:// is no address of an API")
    host, port = url.raw_host.decode("ascii"), url.port or PORTS[url.scheme]
    secure = certificates() if url.scheme == "https" else None
    try:
        async with asyncio.timeout(patience):
            return await asyncio.open_connection(host, port, ssl=secure, happy_eyeballs_delay=NEXT_ADDRESS_AFTER)
    except TimeoutError as error:
        raise httpx.ConnectTimeout(f"no connection within {patience:.0f} s") from error
    except (OSError, UnicodeError) as error:
        raise httpx.ConnectError(str(error)) from error


async def _answer(connection: h11.Connection, reader: asyncio.StreamReader, patience: float) -> httpx.Response:
    """The head of the answer, whose body is still on its way."""
    event = await _next(connection, reader, patience)
    while isinstance(event, h11.InformationalResponse):
        event = await _next(connection, reader, patience)
    if not isinstance(event, h11.Response):
        raise httpx.RemoteProtocolError("the connection was closed without an answer")
    body = _Body(connection, reader, patience)
    return httpx.Response(event.status_code, headers=list(event.headers), stream=body)


class _Body(httpx.AsyncByteStream):
    def __init__(self, connection: h11.Connection, reader: asyncio.StreamReader, patience: float) -> None:
        self._rest = (connection, reader, patience)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while isinstance(event := await _next(*self._rest), h11.Data):
            yield bytes(event.data)


async def _next(connection: h11.Connection, reader: asyncio.StreamReader, patience: float) -> h11.Event | type:
    while (event := connection.next_event()) is h11.NEED_DATA:
        async with asyncio.timeout(patience):
            connection.receive_data(await reader.read(PIECE))
    return event
