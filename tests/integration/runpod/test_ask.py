"""Questions go over few connections, each kept for as long as the API keeps it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.ask import KeptConnections
from prefect_seedance.runpod.client import RunpodClient
from tests.integration.runpod.test_post import HEAD, READABLE, SAID, SLUG, UNREADABLE
from tests.support.raw_server import RawServer

KEPT = {name: said for name, said in READABLE.items() if name in ("by its length", "in chunks")}
CLOSED = HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(SAID) + SAID


@asynccontextmanager
async def saying(said: list[bytes], *, closes_after: int = 10**9) -> AsyncIterator[tuple[Account, list[list[bytes]]]]:
    """A server that answers the questions with *said*, in turn; the account there, and what came on each connection."""
    came: list[list[bytes]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine: list[bytes] = []
        came.append(mine)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while len(mine) < closes_after:
                mine.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(said[(sum(map(len, came)) - 1) % len(said)])
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield Account("k", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v2"), came
        server.close()


@pytest.mark.parametrize("said", KEPT.values(), ids=list(KEPT))
async def test_one_question_after_the_other_goes_over_one_connection(said: bytes) -> None:
    async with saying([said]) as (account, came), RunpodClient(account, answer_seconds=10) as client:
        for _ in range(5):
            assert await client.status(SLUG, "job-1") is not None
    assert [len(asked) for asked in came] == [5]
    head = came[0][0].decode()
    assert head.startswith(f"GET /v2/{SLUG}/status/job-1 HTTP/1.1\r\n")
    assert "Authorization: Bearer k\r\n" in head


async def test_no_more_than_twenty_connections_are_opened_at_once() -> None:
    async with saying([READABLE["by its length"]]) as (account, came), RunpodClient(account) as client:
        assert None not in await asyncio.gather(*(client.status(SLUG, "job-1") for _ in range(200)))
    assert len(came) <= 20


@pytest.mark.parametrize("said", [CLOSED, READABLE["to the end"], READABLE["of HTTP/1.0"]], ids=["close", "end", "1.0"])
async def test_a_connection_that_an_answer_ends_is_not_asked_again(said: bytes) -> None:
    async with saying([said], closes_after=1) as (account, came), RunpodClient(account) as client:
        for _ in range(3):
            assert await client.status(SLUG, "job-1") is not None
    assert [len(asked) for asked in came] == [1, 1, 1]


async def test_a_connection_that_the_api_has_closed_meanwhile_is_not_asked_again() -> None:
    async with saying([READABLE["by its length"]], closes_after=1) as (account, came), RunpodClient(account) as client:
        for _ in range(3):
            assert await client.status(SLUG, "job-1") is not None
            await asyncio.sleep(0.1)  # its end arrives
    assert len(came) == 3


async def test_a_connection_that_was_idle_for_long_is_closed() -> None:
    async with saying([READABLE["by its length"]]) as (account, came):
        api = KeptConnections(account.base_url, 20, headers={}, patience=5, within=5, kept_seconds=0)
        for _ in range(2):
            assert (await api.ask("GET", f"{account.base_url}/{SLUG}/status/job-1")).is_success
        await api.aclose()
    assert len(came) == 2


@pytest.mark.parametrize("said", UNREADABLE.values(), ids=list(UNREADABLE))
async def test_an_answer_that_can_not_be_read_says_nothing_and_the_next_is_asked_for_on_a_new_connection(
    said: bytes,
) -> None:
    good = READABLE["in chunks"]
    async with (
        saying([said, good], closes_after=1) as (account, came),
        RunpodClient(account, answer_seconds=10) as client,
    ):
        assert await client.status(SLUG, "job-1") is None
        assert await client.status(SLUG, "job-1") is not None
    assert [len(asked) for asked in came] == [1, 1]


async def test_who_gives_up_on_an_answer_leaves_its_rest_to_nobody() -> None:
    slow = HEAD + b"Content-Length: %d\r\n\r\n" % len(SAID)  # and nothing after it
    other = json.dumps({"id": "job-2", "status": "IN_QUEUE"}).encode()
    good = HEAD + b"Content-Length: %d\r\n\r\n" % len(other) + other
    async with saying([slow, good]) as (account, came), RunpodClient(account) as client:
        given_up = asyncio.create_task(client.status(SLUG, "job-1"))
        while not came or not came[0]:
            await asyncio.sleep(0.01)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        answer = await client.status(SLUG, "job-2")
        assert answer is not None
        assert answer.job_id == "job-2"
    assert len(came) == 2


async def test_the_time_of_an_answer_begins_with_its_turn() -> None:
    silent = HEAD + b"Content-Length: 1\r\n\r\n"
    async with saying([silent, READABLE["by its length"]]) as (account, _):
        api = KeptConnections(account.base_url, 1, headers={}, patience=60, within=3)
        url = f"{account.base_url}/{SLUG}/status/job-1"
        first, second = await asyncio.gather(api.ask("GET", url), api.ask("GET", url), return_exceptions=True)
        await api.aclose()
    assert isinstance(first, httpx.ReadTimeout)
    assert isinstance(second, httpx.Response)


async def test_a_proxy_that_the_environment_names_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with RawServer() as proxy:
        monkeypatch.setenv("http_proxy", proxy.base_url.removesuffix("/v2"))
        async with RunpodClient(Account("k", "http://api.example/v2")) as client:
            await client.status(SLUG, "job-1")
    assert proxy.received[0].startswith(b"GET http://api.example/v2/")
