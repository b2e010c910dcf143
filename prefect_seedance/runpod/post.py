"""One POST over a connection of its own: open it, take the last look, then send. Nothing is repeated or followed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx

from prefect_seedance.runpod.bodies import whole
from prefect_seedance.runpod.connections import certificates
from prefect_seedance.runpod.http1 import USUAL, Http1Connection, needs_httpx


async def post(
    url: httpx.URL,
    body: dict[str, Any],
    headers: dict[str, str],
    *,
    last_look: Callable[[], None],
    patience: float,
    came: bytearray,
) -> httpx.Response:
    """The whole answer to one POST of *body*. *last_look* is called when nothing is sent yet; what it raises ends it.

    *came* is given what comes of the answer's body, also where the answer is lost.

    Raises `httpx.ConnectError` or `httpx.ConnectTimeout` when surely nothing was sent, another `httpx.HTTPError` when
    nobody knows. *patience* is seconds: for the connection and for each wait for a piece of the answer.
    """
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    headers = USUAL | headers | {"Content-Type": "application/json", "Connection": "close"}
    if needs_httpx(url):
        return await _by_httpx(url, content, headers, last_look, patience, came)
    connection = await Http1Connection.open(url, patience)
    try:
        request = connection.encoded("POST", url, headers, content)
        last_look()
        # At once: whoever sleeps in between wakes to a connection that was closed.
        return await connection.exchange(request, came)
    finally:
        connection.close()


async def _by_httpx(
    url: httpx.URL,
    content: bytes,
    headers: dict[str, str],
    last_look: Callable[[], None],
    patience: float,
    came: bytearray,
) -> httpx.Response:
    async def look(event: str, _: dict[str, Any]) -> None:
        if event.endswith("send_request_headers.started"):
            last_look()

    async with (
        httpx.AsyncClient(verify=certificates(), timeout=patience) as fresh,
        fresh.stream("POST", url, content=content, headers=headers, extensions={"trace": look}) as streamed,
    ):
        return await whole(streamed, came)
