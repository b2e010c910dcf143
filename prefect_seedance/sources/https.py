"""Fetching a link that a stranger wrote, without being led into private networks."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator

import httpx

from prefect_seedance.errors import BadInput
from prefect_seedance.sources.public_internet import addresses_of, is_public

MOST_REDIRECTS = 3
CONNECTING = httpx.Timeout(None, connect=6)  # leaves time for the next address


async def fetch(url: str, *, most_bytes: int, seconds: float = 20, allow_private: bool = False) -> bytes:
    """What lies at *url*, or `BadInput` with the reason.

    Each host is looked up once per step, every address of it must be public, and the connection goes to an address
    that was checked, so a name that changes its address in between gains nothing. *allow_private* is for rehearsals
    against an emulator.
    """
    try:
        async with asyncio.timeout(seconds):
            target = httpx.URL(url)
            for _ in range(MOST_REDIRECTS + 1):
                answer = await _ask(target, most_bytes, allow_private)
                if isinstance(answer, bytes):
                    return answer
                target = target.join(answer)
    except TimeoutError as error:
        raise BadInput(f"it did not arrive within {seconds:g} s; put the file beside the storyboard") from error
    except (httpx.InvalidURL, UnicodeError, ValueError) as error:
        raise BadInput("it is not a link that can be followed; write it as https://host/path") from error
    except httpx.HTTPError as error:
        raise BadInput(f"it can't be fetched ({type(error).__name__}); check the link") from error
    raise BadInput(f"it redirects more than {MOST_REDIRECTS} times; give the final link")


async def _ask(url: httpx.URL, most_bytes: int, allow_private: bool) -> bytes | str:
    """The body at *url*, or the address it redirects to."""
    if url.scheme != "https" and not (allow_private and url.scheme == "http"):
        raise BadInput("only https:// links are fetched; give one, or put the file beside the storyboard")
    if not url.host:
        raise BadInput("it is not a link that can be followed; write it as https://host/path")
    if url.userinfo:
        raise BadInput("a link must not hold a user name or password; use a public or presigned link")
    refused: httpx.TransportError | None = None
    for address in await _addresses(url, allow_private):
        try:
            return await _ask_at(address, url, most_bytes)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            refused = error
    raise refused or httpx.ConnectError("no address")


async def _addresses(url: httpx.URL, allow_private: bool) -> list[str]:
    host = url.raw_host.decode("ascii")
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        addresses = await addresses_of(host, port)
    except OSError as error:
        raise BadInput("its host is not known; check the link") from error
    if not allow_private and not all(is_public(address) for address in addresses):
        raise BadInput("its host is not on the public internet; put the file beside the storyboard")
    return addresses


async def _ask_at(address: str, url: httpx.URL, most_bytes: int) -> bytes | str:
    # A client of its own per link: no connection, cookie or TLS session is shared between hosts that share an address.
    # No proxy and no .netrc of ours (trust_env), and no compressed body, which could grow to gigabytes.
    headers = {"Host": url.netloc.decode("ascii"), "Accept-Encoding": "identity", "User-Agent": "prefect-seedance"}
    host = url.raw_host.decode("ascii")
    async with (
        httpx.AsyncClient(verify=_certificates(), trust_env=False, timeout=CONNECTING) as client,
        client.stream(
            "GET", url.copy_with(host=address, fragment=None), headers=headers, extensions={"sni_hostname": host}
        ) as answer,
    ):
        if answer.has_redirect_location:
            return answer.headers["location"]
        if answer.status_code != 200:
            raise BadInput(f"its host answered {answer.status_code}; check the link, it may have expired")
        if int(answer.headers.get("content-length", 0)) > most_bytes:
            raise _too_large(most_bytes)
        return await _body(answer.aiter_raw(), most_bytes)


async def _body(pieces: AsyncIterator[bytes], most_bytes: int) -> bytes:
    body = bytearray()
    async for piece in pieces:
        body += piece
        if len(body) > most_bytes:
            raise _too_large(most_bytes)
    return bytes(body)


def _too_large(most_bytes: int) -> BadInput:
    return BadInput(f"it has more than {most_bytes / 1_000_000:g} MB; make it smaller")


@functools.cache
def _certificates() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # 46 ms each, so one for all
