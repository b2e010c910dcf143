"""The body of an answer: with an end, and unpacked once at most, so that no answer fills the memory."""

from __future__ import annotations

import contextlib
import zlib

import httpx

LARGEST_ANSWER = 32 * 2**20
"""Bytes; the largest documented result is 20 MB (/runsync)."""
BEGINNING = 64 * 1024
"""Bytes of what broke off that are looked at: a person is told some hundred."""
PACKINGS = frozenset({"br", "compress", "dcb", "dcz", "deflate", "gzip", "x-compress", "x-gzip", "zstd"})
"""What HTTP knows; other words in their place, such as the `aws-chunked` of some buckets, pack nothing."""
GZIP = zlib.MAX_WBITS | 16
UNPACKED = {"gzip": (GZIP,), "x-gzip": (GZIP,), "deflate": (zlib.MAX_WBITS, -zlib.MAX_WBITS)}
"""By which windows zlib reads what we ask for; some servers send deflate without its head."""


async def whole(response: httpx.Response, came: bytearray | None = None) -> httpx.Response:
    """A streamed answer with its body read and unpacked. *came* is given what comes, also of one that breaks off.

    Raises `httpx.ReadError` for one that has no end, `httpx.DecodingError` for one that is packed as nobody asked for.
    """
    body = bytearray() if came is None else came
    async for piece in response.aiter_raw():
        body += piece
        _refuse_endless(body)
    content = _unpacked(bytes(body), packings(response))
    _refuse_endless(content)
    headers = [(name, value) for name, value in response.headers.multi_items() if name != "content-encoding"]
    return httpx.Response(response.status_code, headers=headers, content=content)


def unpacked_so_far(came: bytes) -> bytes:
    """What can be read of the beginning of a body that broke off, whatever its head says of it."""
    begun = came[:BEGINNING]
    if begun.startswith(b"\x1f\x8b"):
        with contextlib.suppress(zlib.error):
            return zlib.decompressobj(GZIP).decompress(begun, BEGINNING)
    return begun


def packings(response: httpx.Response) -> list[str]:
    """How its body is packed, layer by layer."""
    named = response.headers.get_list("Content-Encoding", split_commas=True)
    return [word for word in map(str.lower, map(str.strip, named)) if word in PACKINGS]


def _unpacked(packed: bytes, layers: list[str]) -> bytes:
    """At most one byte more than the largest answer has: a few hundred packed twice can be half a gigabyte."""
    if not layers or not packed:
        return packed
    if len(layers) == 1:
        for window in UNPACKED.get(layers[0], ()):
            with contextlib.suppress(zlib.error):
                return zlib.decompressobj(window).decompress(packed, LARGEST_ANSWER + 1)
    raise httpx.DecodingError(f"an answer that can't be unpacked ({', '.join(layers)})")


def _refuse_endless(body: bytes | bytearray) -> None:
    if len(body) > LARGEST_ANSWER:
        raise httpx.ReadError(f"an answer without an end ({len(body):,} bytes)")
