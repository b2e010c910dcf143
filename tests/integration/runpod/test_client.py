from __future__ import annotations

import asyncio
import contextlib
import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefect_seedance.errors import (
    ApiUnreachable,
    BadInput,
    DownloadFailed,
    JobGone,
    LinkDead,
    NeedsAttention,
    Refused,
    SubmissionUnclear,
    TooLate,
    TryAgainLater,
)
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import ANSWER_SECONDS, NEVER_LEFT, RunpodClient
from tests.support.emulating import RunningEmulator
from tests.support.raw_server import RawServer

FIELDS = {"prompt": "A lighthouse.", "size": "640x640", "duration": 2, "fps": 24, "image": ""}
SLUG = "seedance-1-0-pro"

NOBODY_KNOWS = (
    *(httpx.ReadTimeout, httpx.WriteTimeout, httpx.ReadError, httpx.WriteError, httpx.CloseError),
    *(httpx.LocalProtocolError, httpx.RemoteProtocolError),
)
"""Raised when the request may have arrived: it may have been accepted and charged."""


def _below(error: type[Exception]) -> list[type[Exception]]:
    return [leaf for child in error.__subclasses__() for leaf in (_below(child) or [child])]


@pytest.mark.parametrize("error", _below(httpx.TransportError))
def test_every_transport_error_is_sure_or_unclear(error: type[Exception]) -> None:
    assert issubclass(error, NEVER_LEFT) != issubclass(error, NOBODY_KNOWS)


async def test_a_job_is_submitted_once_and_charged_once(account: Account, emulator: RunningEmulator) -> None:
    async with RunpodClient(account) as client:
        answer = await client.submit(SLUG, FIELDS)
        assert answer.ended is None
        assert (await client.status(SLUG, answer.job_id)) is not None
    assert [charge["job_id"] for charge in emulator.charges] == [answer.job_id]


async def test_runsync_gives_the_final_answer_or_goes_on_by_status(account: Account, emulator: RunningEmulator) -> None:
    async with RunpodClient(account) as client:
        done = await client.submit(SLUG, FIELDS, wait_seconds=20)
        assert done.ended == "completed"
        emulator.fault("runsync", "never")
        going_on = await client.submit(SLUG, FIELDS, wait_seconds=1)
        assert going_on.ended is None
        assert (await client.status(SLUG, going_on.job_id)) is not None
    assert len(emulator.charges) == 2


BY_BOTH = pytest.mark.parametrize(("road", "waits"), [("run", None), ("runsync", 1.0)], ids=["run", "runsync"])


@BY_BOTH
@pytest.mark.parametrize(
    ("fault", "error", "charges"),
    [
        ({"fault": "status", "code": 429, "retry_after": 7}, TryAgainLater, 0),
        ({"fault": "status", "code": 400}, Refused, 0),
        ({"fault": "status", "code": 401}, Refused, 0),
        ({"fault": "status", "code": 404}, Refused, 0),
        ({"fault": "status", "code": 500}, SubmissionUnclear, 0),
        ({"fault": "status", "code": 502, "html": True}, SubmissionUnclear, 0),
        ({"fault": "drop"}, SubmissionUnclear, 0),
        ({"fault": "drop_after"}, SubmissionUnclear, 1),
        ({"fault": "half"}, SubmissionUnclear, 1),
        ({"fault": "silent"}, SubmissionUnclear, 1),
        ({"fault": "no_id"}, SubmissionUnclear, 1),
        ({"fault": "redirect"}, SubmissionUnclear, 1),
        ({"fault": "html"}, SubmissionUnclear, 0),
    ],
    ids=str,
)
async def test_only_what_surely_was_not_accepted_is_called_so(
    fault: dict[str, object],
    error: type[Exception],
    charges: int,
    road: str,
    waits: float | None,
    account: Account,
    emulator: RunningEmulator,
) -> None:
    emulator.fault(road, **fault)  # type: ignore[arg-type]
    patience = 1 if fault["fault"] == "silent" else ANSWER_SECONDS
    async with RunpodClient(account, answer_seconds=patience) as client:
        with pytest.raises(error):
            await client.submit(SLUG, FIELDS, wait_seconds=waits)
    assert len(emulator.charges) == charges
    calls = emulator.calls()
    assert (calls[road], calls["run"] + calls["runsync"]) == (1, 1)


@BY_BOTH
async def test_of_all_codes_only_the_documented_refusals_are_refusals(road: str, waits: float | None) -> None:
    """Everything else is a gateway's word about a request that may have gone through: 408, 409, 421, 425, 451, 499."""
    posts = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal posts
        head = await reader.readuntil(b"\r\n\r\n")
        posts += 1
        writer.write(b"HTTP/1.1 %s Said\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % head.split(b"/")[1])
        await writer.drain()
        writer.close()

    async def said_of(code: int) -> str:
        async with RunpodClient(Account("k", f"{origin}/{code}")) as client:
            try:
                await client.submit(SLUG, FIELDS, wait_seconds=waits)
            except (Refused, TryAgainLater, SubmissionUnclear) as error:
                return type(error).__name__
        return "accepted"

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, asyncio.timeout(120):
        said = {code: await said_of(code) for code in range(300, 600)}
    refused = dict.fromkeys((400, 401, 402, 403, 404, 413, 422), "Refused") | {429: "TryAgainLater"}
    assert said == {code: refused.get(code, "SubmissionUnclear") for code in range(300, 600)}
    assert posts == 300


@pytest.mark.parametrize("charset", ["utf-8", "zlib", "hex", "bz2", "base64", "idna", "punycode", "rot13", "no such"])
async def test_a_refusal_is_one_whatever_charset_its_page_names(charset: str) -> None:
    page = b"<h1>No room on this server</h1>\xff"
    head = f"HTTP/1.1 400 Said\r\nContent-Type: text/html; charset={charset}\r\nContent-Length: {len(page)}\r\n\r\n"
    posts: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        posts.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(head.encode() + page)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        account = Account("k", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v2")
        async with RunpodClient(account) as client:
            with pytest.raises(Refused, match="No room on this server"):
                await client.submit(SLUG, FIELDS)
    assert len(posts) == 1


@BY_BOTH
async def test_a_refusal_says_when_to_come_back(
    road: str, waits: float | None, account: Account, emulator: RunningEmulator
) -> None:
    emulator.fault(road, "status", code=429, retry_after=7)
    async with RunpodClient(account) as client:
        with pytest.raises(TryAgainLater) as refusal:
            await client.submit(SLUG, FIELDS, wait_seconds=waits)
    assert refusal.value.retry_after == 7


@BY_BOTH
async def test_a_late_claim_sends_nothing(
    road: str, waits: float | None, account: Account, emulator: RunningEmulator
) -> None:
    async with RunpodClient(account) as client:
        with pytest.raises(TooLate):
            await client.submit(SLUG, FIELDS, late=lambda: True, wait_seconds=waits)
    assert emulator.calls()[road] == 0
    assert emulator.charges == []


async def test_nothing_listens_there_is_surely_not_submitted() -> None:
    nowhere = Account("k", "http://127.0.0.1:9/v2")
    async with RunpodClient(nowhere) as client:
        with pytest.raises(TryAgainLater):
            await client.submit(SLUG, FIELDS)
        with pytest.raises(ApiUnreachable, match="can't be reached"):
            await client.check(SLUG)


@pytest.mark.parametrize("fault", [{"fault": "drop"}, {"fault": "status", "code": 503}, {"fault": "html"}], ids=str)
async def test_a_status_that_says_nothing_ends_nothing(
    fault: dict[str, object], account: Account, emulator: RunningEmulator
) -> None:
    async with RunpodClient(account) as client:
        answer = await client.submit(SLUG, FIELDS)
        emulator.fault("status", **fault)  # type: ignore[arg-type]
        assert await client.status(SLUG, answer.job_id) is None


@pytest.mark.parametrize(("piece", "pause"), [(b"x", 0.1), (b"x" * 2**20, 0.0)], ids=["dripping", "endless"])
async def test_an_answer_without_an_end_is_no_answer(piece: bytes, pause: float) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
            while not writer.is_closing():
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    account = Account("k", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v2")
    async with server, asyncio.timeout(60), RunpodClient(account, answer_seconds=1 if pause else 30) as client:
        assert await client.status(SLUG, "j-1") is None
        assert await client.cancel(SLUG, "j-1") is False
        await client.check(SLUG)
        with pytest.raises(SubmissionUnclear):
            await client.submit(SLUG, FIELDS)


async def test_an_unknown_status_word_is_waited_on(account: Account, emulator: RunningEmulator) -> None:
    async with RunpodClient(account) as client:
        submitted = await client.submit(SLUG, FIELDS)
        emulator.fault("status", "unknown_word")
        answer = await client.status(SLUG, submitted.job_id)
    assert answer is not None
    assert answer.ended is None


@pytest.mark.parametrize(("id_", "usable"), [("j-1", True), ("j-2", False), (None, False), (7, False)])
async def test_an_answer_about_another_job_is_no_answer(id_: object, usable: bool) -> None:
    class Mixed(RawServer):
        def answer(self, request: bytes) -> dict[str, Any]:
            return {"id": id_, "status": "COMPLETED", "output": {"video_url": "https://v/other.mp4"}}

    async with Mixed() as server, RunpodClient(Account("k", server.base_url)) as client:
        answer = await client.status(SLUG, "j-1")
    assert (answer is not None and answer.ended == "completed") is usable


async def test_a_job_that_is_not_there_a_bad_key_and_a_withdrawn_endpoint_are_told_apart(
    account: Account, emulator: RunningEmulator
) -> None:
    async with RunpodClient(account) as client:
        with pytest.raises(JobGone):
            await client.status(SLUG, "no-such-job-u1")
        with pytest.raises(NeedsAttention):
            await client.status("no-such-model", "any-u1")
        with pytest.raises(BadInput, match="withdrawn"):
            await client.check("no-such-model")
        await client.check(SLUG)
    async with RunpodClient(Account("wrong", emulator.base_url)) as client:
        with pytest.raises(BadInput, match="refuses this key"):
            await client.check(SLUG)
        with pytest.raises(NeedsAttention):
            await client.status(SLUG, "any-u1")


async def _finished_link(client: RunpodClient) -> str:
    answer = await client.submit(SLUG, FIELDS, wait_seconds=20)
    return str(answer.body["output"]["video_url"])


@pytest.mark.parametrize("fault", [None, "truncated", "slow"])
async def test_a_download_is_whole_or_goes_on_where_it_broke(
    fault: str | None, account: Account, emulator: RunningEmulator, tmp_path: Path
) -> None:
    async with RunpodClient(account) as client:
        link = await _finished_link(client)
        if fault:
            emulator.fault("media", fault, seconds=0.2)
        sha256 = await client.download(link, tmp_path / "clip.mp4")
    assert hashlib.sha256((tmp_path / "clip.mp4").read_bytes()).hexdigest() == sha256
    again = await asyncio.to_thread(httpx.get, link)
    assert (tmp_path / "clip.mp4").read_bytes() == again.content


async def test_a_dead_link_is_not_a_failed_download(
    account: Account, emulator: RunningEmulator, tmp_path: Path
) -> None:
    async with RunpodClient(account) as client:
        link = await _finished_link(client)
        emulator.fault("media", "gone", times=1)
        with pytest.raises(LinkDead):
            await client.download(link, tmp_path / "clip.mp4")
        emulator.fault("media", "status", code=500, times=20)
        with pytest.raises(DownloadFailed):
            await client.download(link, tmp_path / "clip.mp4")


@pytest.mark.parametrize(
    ("fault", "bounds", "told"),
    [
        (None, {"at_most": 1000}, "has no end"),
        ("slow", {"within": 0.3}, "not here within"),
        (None, {}, "No space left on device"),
    ],
    ids=["endless", "slow", "disk full"],
)
async def test_a_download_ends_whatever_comes_and_says_why(
    fault: str | None, bounds: dict[str, Any], told: str, account: Account, emulator: RunningEmulator, tmp_path: Path
) -> None:
    async with RunpodClient(account) as client:
        link = await _finished_link(client)
        if fault:
            emulator.fault("media", fault, seconds=5)
        path = tmp_path / "clip.mp4" if bounds else Path("/dev/full")
        with pytest.raises(DownloadFailed, match=told):
            await client.download(link, path, **bounds)


@pytest.mark.parametrize(
    "link", ["http://127.0.0.1:99999/x.mp4", "http://127.0.0.1:x/x.mp4", "http://127.0.0.1/\ud83d"]
)
async def test_a_link_that_can_not_be_asked_for_is_a_dead_one(link: str, account: Account, tmp_path: Path) -> None:
    async with RunpodClient(account) as client:
        with pytest.raises(LinkDead, match="no usable link"):
            await client.download(link, tmp_path / "clip.mp4")
