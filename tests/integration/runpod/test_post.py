"""The one POST: connected, looked at the clocks, sent at once on that very connection, read in whatever shape."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from prefect_seedance.errors import Refused, SubmissionUnclear, TooLate, TryAgainLater
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from tests.support.places import ROOT
from tests.support.raw_server import RawServer
from tests.support.web_host import certificate

FIELDS = {"prompt": "A lighthouse — über.", "size": "640x640", "duration": 2, "fps": 24, "image": ""}
SLUG = "seedance-1-0-pro"
SAID = json.dumps({"id": "job-1", "status": "IN_QUEUE"}).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = b"".join(b"1\r\n%c\r\n" % byte for byte in SAID) + b"0\r\nX-Trailer: 1\r\n\r\n"

READABLE = {
    "by its length": HEAD + b"Content-Length: %d\r\n\r\n" % len(SAID) + SAID,
    "in chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED,
    "to the end": HEAD + b"\r\n" + SAID,
    "of HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n" + SAID,
    "packed": HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(SAID),
    "packed by deflate": HEAD + b"Content-Encoding: deflate\r\n\r\n" + zlib.compress(SAID),
    "packed by deflate without its head": HEAD + b"Content-Encoding: Deflate\r\n\r\n" + zlib.compress(SAID, wbits=-15),
    "packed by nothing": HEAD + b"Content-Encoding: identity, aws-chunked\r\n\r\n" + SAID,
    "after others": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + HEAD + b"\r\n" + SAID,
}
UNREADABLE = {
    "nothing": b"",
    "not HTTP": b"220 mail.example.com ESMTP\r\n",
    "half a head": HEAD,
    "less than its length": HEAD + b"Content-Length: 1000\r\n\r\n" + SAID,
    "half a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED[:30],
    "a chunk of no size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "two lengths": HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    "a head without an end": b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 2**20,
    "wrongly packed": HEAD + b"Content-Encoding: gzip\r\n\r\n" + SAID,
    "packed twice": HEAD + b"Content-Encoding: gzip, gzip\r\n\r\n" + gzip.compress(gzip.compress(SAID)),
    "packed as nobody asked": HEAD + b"Content-Encoding: br\r\n\r\n" + SAID,
    "a bomb": HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(SAID + b" " * 64 * 2**20),
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + SAID,
}


@asynccontextmanager
async def answering(
    said: bytes, piece: int = 2**20, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that takes a whole request, says *said* in pieces and closes; its port and what it took."""
    taken: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            taken.append(head + await reader.readexactly(length))
            for start in range(0, len(said), piece):
                writer.write(said[start : start + piece])
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1], taken


async def submitted(
    port: int, late: Callable[[], bool] = lambda: False, waits: float | None = None, key: str = "k"
) -> str:
    async with RunpodClient(Account(key, f"http://127.0.0.1:{port}/v2"), answer_seconds=10) as client:
        return (await client.submit(SLUG, FIELDS, late=late, wait_seconds=waits)).job_id


@pytest.mark.parametrize("piece", [1, 2**20], ids=["byte by byte", "at once"])
@pytest.mark.parametrize("said", READABLE.values(), ids=list(READABLE))
async def test_an_answer_is_read_in_whatever_shape_it_comes(said: bytes, piece: int) -> None:
    async with answering(said, piece) as (port, taken):
        assert await submitted(port) == "job-1"
    assert len(taken) == 1


@pytest.mark.parametrize("waits", [None, 1.0], ids=["run", "runsync"])
@pytest.mark.parametrize("said", UNREADABLE.values(), ids=list(UNREADABLE))
async def test_an_answer_that_can_not_be_read_is_unclear_and_nothing_is_sent_again(
    said: bytes, waits: float | None
) -> None:
    async with answering(said) as (port, taken):
        with pytest.raises(SubmissionUnclear):
            await submitted(port, waits=waits)
    assert len(taken) == 1


NAMES_A_JOB = {
    "half a chunked one": HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + CHUNKED.removesuffix(b"0\r\nX-Trailer: 1\r\n\r\n"),
    "less than its length": HEAD + b"Content-Length: 1000\r\n\r\n" + SAID,
    "a gateway's": b"HTTP/1.1 504 Gateway Time-out\r\n\r\n" + SAID,
    "a page": b"HTTP/1.1 502 Bad Gateway\r\n\r\n<style>b {}</style>\n<p>job-1</p>",
    "elsewhere": HEAD
    + b"\r\n"
    + json.dumps({"input": {"image": "https://b/a.png?sig=S"}, "data": {"id": "job-1"}}).encode(),
    "a link before it": HEAD + b'\r\n{"input": {"image": "https://b/a.png?sig=S"}, "id": "job-1", ',
    "a list": HEAD + b"\r\n" + json.dumps([{"id": "job-1"}]).encode(),
    "not packed as it says": HEAD + b"Content-Encoding: gzip\r\n\r\n" + SAID,
    "half of a packed one": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 1000\r\n\r\n" + gzip.compress(SAID),
}


@pytest.mark.parametrize("way", ["straight", "by a proxy"])
@pytest.mark.parametrize("said", NAMES_A_JOB.values(), ids=list(NAMES_A_JOB))
async def test_what_came_of_an_unclear_answer_is_told_for_who_settles_it(
    said: bytes, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with answering(said) as (port, taken):
        if way == "by a proxy":
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
            monkeypatch.setenv("no_proxy", "")
        with pytest.raises(SubmissionUnclear, match=r"; what came: .*job-1") as unclear:
            await submitted(port)
    assert "sig=S" not in str(unclear.value)
    assert str(unclear.value).isprintable()
    assert len(taken) == 1


KEY = "key-of-the-tests"
SPELT = "".join(f"\\u{ord(letter):04x}" for letter in KEY)
REPEATS_THE_KEY = {
    "an error": b'HTTP/1.1 401 Said\r\n\r\n{"error": "bad token %s"}' % KEY.encode(),
    "an error in its own spelling": b'HTTP/1.1 401 Said\r\n\r\n{"error": "bad token %s"}' % SPELT.encode(),
    "a page": b"HTTP/1.1 403 Said\r\n\r\n<p>%s %s</p>" % (b"x" * 290, KEY.encode()),
    "a gateway": b"HTTP/1.1 504 Said\r\n\r\n%s %s" % (b"x" * 290, KEY.encode()),
    "no job id": HEAD + b'\r\n{"said": "%s"}' % SPELT.encode(),
    "half an answer": HEAD + b'Content-Length: 1000\r\n\r\n{"said": "%s"}' % SPELT.encode(),
    "no HTTP": b"220 mail.example.com %s\r\n\r\n" % KEY.encode(),
}


@pytest.mark.parametrize("said", REPEATS_THE_KEY.values(), ids=list(REPEATS_THE_KEY))
async def test_a_server_that_repeats_the_key_gets_it_into_no_reason(said: bytes) -> None:
    async with answering(said) as (port, taken):
        with pytest.raises((Refused, SubmissionUnclear), match="…") as told:
            await submitted(port, key=KEY)
    assert "key-of" not in str(told.value)
    assert len(taken) == 1


async def test_a_connection_that_closes_without_an_answer_is_told_in_these_words() -> None:
    async with answering(b"") as (port, taken):
        with pytest.raises(SubmissionUnclear, match="lost: the connection was closed without an answer"):
            await submitted(port)
        assert len(taken) == 1


async def test_no_more_than_the_beginning_of_an_unclear_answer_is_told() -> None:
    async with answering(b"HTTP/1.1 504 Gateway Time-out\r\n\r\n" + SAID + b"\0\x1b[2J " * 2**20) as (port, taken):
        with pytest.raises(SubmissionUnclear, match="job-1") as unclear:
            await submitted(port)
    assert str(unclear.value).isprintable()
    assert len(str(unclear.value).partition("; what came: ")[2]) == 300
    assert len(taken) == 1


async def test_an_answer_that_unpacks_to_a_quarter_of_a_gigabyte_takes_no_such_memory() -> None:
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(256)) + packer.flush()
    tracemalloc.start()
    try:
        async with answering(HEAD + b"Content-Encoding: gzip\r\n\r\n" + bomb) as (port, taken):
            with pytest.raises(SubmissionUnclear):
                await submitted(port)
        assert tracemalloc.get_traced_memory()[1] < 128 * 2**20
    finally:
        tracemalloc.stop()
    assert len(taken) == 1


async def test_what_is_sent_is_one_whole_request_with_the_key() -> None:
    async with answering(READABLE["by its length"]) as (port, taken):
        await submitted(port)
    head, _, body = taken[0].partition(b"\r\n\r\n")
    first, *headers = head.decode().split("\r\n")
    named = dict(line.split(": ", 1) for line in headers)
    assert first == f"POST /v2/{SLUG}/run HTTP/1.1"
    assert (named["Host"], named["Authorization"]) == (f"127.0.0.1:{port}", "Bearer k")
    assert (named["Content-Type"], named["Accept"]) == ("application/json", "application/json")
    assert json.loads(body) == {"input": FIELDS}


class Door:
    """A host whose connections the test holds in its hand, in a thread, since the look blocks the loop."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.came: list[socket.socket] = []
        self._one = threading.Semaphore(0)
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.came.append(self._listening.accept()[0])
                self._one.release()

    def next(self) -> socket.socket:
        assert self._one.acquire(timeout=30)
        return self.came[-1]

    def close(self) -> None:
        for one in (*self.came, self._listening):
            one.close()


async def test_the_clocks_are_looked_at_over_an_open_connection_on_which_nothing_was_sent() -> None:
    door, seen = Door(), list[bytes | None]()

    def look() -> bool:
        connection = door.next()
        connection.settimeout(0.3)
        try:
            seen.append(connection.recv(1))
        except TimeoutError:
            seen.append(None)
        return True

    with pytest.raises(TooLate):
        await submitted(door.port, look)
    assert seen == [None]
    door.came[0].settimeout(30)
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.to_thread(door.came[0].recv, 1) == b""
    assert len(door.came) == 1
    door.close()


async def test_who_was_suspended_past_the_look_sends_on_no_other_connection() -> None:
    """The server has closed meanwhile: what is written goes nowhere, and nobody tries again."""
    door = Door()

    def look() -> bool:
        door.next().close()
        return False

    with pytest.raises(SubmissionUnclear):
        await submitted(door.port, look)
    assert len(door.came) == 1
    door.close()


async def test_nobody_looks_at_the_clocks_before_there_is_a_connection() -> None:
    def look() -> bool:
        raise AssertionError("too early")

    with pytest.raises(TryAgainLater):
        await submitted(9, look)


SUBMITS = """
import asyncio, sys
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient

async def main(url):
    async with RunpodClient(Account("k", url), answer_seconds=10) as client:
        try:
            print((await client.submit("seedance-1-0-pro", {"prompt": "x"})).job_id)
        except Exception as error:
            print(type(error).__name__)

asyncio.run(main(sys.argv[1]))
"""


async def said_by_a_process(url: str, **environment: str) -> str:
    words = {"PYTHONPATH": str(ROOT)} | environment
    command = [sys.executable, "-c", SUBMITS, url]
    ended = await asyncio.to_thread(
        subprocess.run, command, env=os.environ | words, capture_output=True, text=True, timeout=60, check=False
    )
    return ended.stdout.strip() or ended.stderr


@pytest.mark.parametrize(
    ("name", "trusted", "said"),
    [("localhost", True, "job-1"), ("localhost", False, "TryAgainLater"), ("api.test", True, "TryAgainLater")],
    ids=["its own", "unknown", "of another host"],
)
async def test_the_certificate_is_checked_before_anything_is_sent(
    name: str, trusted: bool, said: str, tmp_path: Path
) -> None:
    context = certificate(tmp_path, name)
    environment = {"SSL_CERT_FILE": str(tmp_path / "own.pem")} if trusted else {}
    async with answering(READABLE["in chunks"], tls=context) as (port, taken):
        assert await said_by_a_process(f"https://localhost:{port}/v2", **environment) == said
    assert len(taken) == (said == "job-1")


async def test_the_post_goes_by_the_proxy_that_the_environment_names_and_not_where_it_says_so() -> None:
    async with RawServer() as api, RawServer() as proxy:
        by = {"HTTP_PROXY": proxy.base_url.removesuffix("/v2"), "NO_PROXY": ""}
        assert await said_by_a_process(api.base_url, **by) == "job-u1"
        assert api.received == []
        assert proxy.received[0].startswith(f"POST {api.base_url}/{SLUG}/run HTTP/1.1\r\n".encode())
        assert await said_by_a_process(api.base_url, **by | {"NO_PROXY": "127.0.0.1"}) == "job-u1"
        assert (len(api.received), len(proxy.received)) == (1, 1)


async def test_not_a_byte_of_a_late_claim_leaves_by_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with RawServer() as proxy, RunpodClient(Account("k", "http://127.0.0.1:9/v2")) as client:
        monkeypatch.setenv("http_proxy", proxy.base_url.removesuffix("/v2"))
        monkeypatch.setenv("no_proxy", "")
        with pytest.raises(TooLate):
            await client.submit(SLUG, FIELDS, late=lambda: True)
        while not proxy.received:
            await asyncio.sleep(0)
        assert proxy.received == [b""]
