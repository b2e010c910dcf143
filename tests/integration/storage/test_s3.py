from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefect_seedance.errors import BadStore, Missing, StoreUnavailable, Taken
from prefect_seedance.storage import open_store
from prefect_seedance.storage.s3 import S3Store
from prefect_seedance.storage.signing import AwsKeys
from prefect_seedance.storage.store import Store
from tests.support.s3_server import Line, RunningS3


async def test_a_link_is_signed_the_new_way_and_needs_no_keys(far_store: Store) -> None:
    await far_store.write("stills/a b.png", b"picture", "image/png")
    link = await far_store.link("stills/a b.png", 60)
    assert link
    assert "X-Amz-Signature=" in link
    assert "X-Amz-Expires=60" in link
    answer = httpx.get(link)
    assert (answer.content, answer.headers["content-type"]) == (b"picture", "image/png")


async def test_a_server_that_ignores_the_condition_is_refused(line: Line, far_store: Store) -> None:
    await far_store.prove()
    line.strips_conditions = True
    with pytest.raises(BadStore, match="paid for twice"):
        await far_store.prove()


async def test_a_server_that_does_not_know_the_condition_is_refused(line: Line, far_store: Store) -> None:
    await far_store.kind()
    line.on_request = lambda method, _: setattr(
        line, "answer_instead", (501, "NotImplemented") if method == "PUT" else None
    )
    with pytest.raises(BadStore):
        await far_store.prove()


@pytest.mark.parametrize("answers", [1, 100], ids=["one", "all"])
async def test_lost_answers_take_nothing_from_who_created_it_and_give_nothing_to_others(
    line: Line, far_store: Store, answers: int
) -> None:
    """The S3 client repeats the PUT, unseen, and is then told "taken" of the writer's own content."""
    line.answers_to_drop = answers
    await far_store.create("a", b"mine")
    line.answers_to_drop = answers
    with pytest.raises(Taken):
        await far_store.create("a", b"another's")
    assert await far_store.read("a") == b"mine"


async def test_what_can_neither_be_written_nor_read_is_left_open(line: Line, far_store: Store) -> None:
    line.answer_instead = (503, "SlowDown")
    with pytest.raises(StoreUnavailable):
        await far_store.create("a", b"mine")
    line.on_request = lambda method, _: setattr(line, "answer_instead", (412, "") if method == "PUT" else (404, ""))
    with pytest.raises(StoreUnavailable):
        await far_store.create("a", b"mine")


async def test_a_lost_answer_does_not_spoil_proof_and_kind(line: Line, far_store: Store) -> None:
    line.answers_to_drop = 1
    await far_store.prove()
    line.answers_to_drop = 1
    await far_store.belongs_to("real")
    assert await far_store.kind() == "real"


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (409, "ConditionalRequestConflict", StoreUnavailable),
        (500, "InternalError", StoreUnavailable),
        (503, "SlowDown", StoreUnavailable),
        (418, "SomethingNew", StoreUnavailable),
        (412, "PreconditionFailed", Taken),
        (403, "AccessDenied", BadStore),
        (403, "SignatureDoesNotMatch", BadStore),
        (400, "ExpiredToken", BadStore),
        (404, "NoSuchBucket", BadStore),
        (404, "NoSuchKey", Missing),
    ],
)
async def test_each_answer_of_s3_has_its_meaning(
    line: Line, far_store: Store, status: int, code: str, error: type[Exception]
) -> None:
    line.answer_instead = (status, code)
    with pytest.raises(error) as raised:
        await far_store.create("a", b"")
    assert type(raised.value) is error
    assert "\n" not in str(raised.value)


async def test_an_unknown_bucket_and_unknown_keys_are_explained(s3_server: RunningS3) -> None:
    nowhere = open_store("s3://no-such-bucket/x", key="k", secret="s", endpoint_url=s3_server.endpoint_url)
    for asking in (nowhere.prove, nowhere.kind):
        with pytest.raises(BadStore, match="The bucket no-such-bucket does not exist"):
            await asking()
    await nowhere.aclose()
    stranger = open_store(
        f"s3://{s3_server.new_bucket()}", key="wrong", secret="hidden", endpoint_url=s3_server.endpoint_url
    )
    reset = f"{s3_server.endpoint_url}/moto-api/reset-auth"
    httpx.post(reset, content="0").raise_for_status()
    try:
        for asking in (stranger.prove, stranger.kind):
            with pytest.raises(BadStore, match="check keys") as refused:
                await asking()
            assert "hidden" not in str(refused.value)
    finally:
        httpx.post(reset, content="inf").raise_for_status()
        await stranger.aclose()


async def test_without_any_keys_the_sentence_says_so(
    s3_server: RunningS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    store = open_store("s3://bucket", endpoint_url=s3_server.endpoint_url)
    with pytest.raises(BadStore, match="AWS keys"):
        await store.prove()
    await store.aclose()
    with pytest.raises(BadStore, match="correct the address"):
        await open_store("s3://bucket", key="k", secret="s", endpoint_url="no address").prove()


async def test_a_server_that_is_not_there_ends_the_asking() -> None:
    store = open_store("s3://bucket/x", key="k", secret="s", endpoint_url="http://127.0.0.1:9")
    async with asyncio.timeout(60):
        with pytest.raises(StoreUnavailable):
            await store.prove()
    await store.aclose()


async def test_a_download_that_breaks_off_leaves_no_file(line: Line, far_store: Store, tmp_path: Path) -> None:
    await far_store.write("a", b"x" * 2**20)
    line.breaks_after = 2**19
    with pytest.raises(StoreUnavailable):
        await far_store.fetch("a", tmp_path / "a")
    assert not (tmp_path / "a").exists()
    with pytest.raises(StoreUnavailable):
        await far_store.read("a")


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("200 OK\r\nx-amz-object-size: abc\r\nETag: e", b""),
        ("503 Slow Down", b"<Error>" + b"<a>" * 3000 + b"</a>" * 3000 + b"</Error>"),
    ],
    ids=["a size that is none", "three thousand levels"],
)
async def test_an_answer_that_the_client_cannot_read_is_a_store_that_failed(head: str, body: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        store = open_store("s3://bucket/x", key="k", secret="s", endpoint_url=address)
        with pytest.raises(StoreUnavailable, match="may or may not have happened"):
            await store.write("a", b"mine")
        await store.aclose()


async def test_keys_that_cannot_be_had_for_want_of_anything_are_a_store_that_failed() -> None:
    def no_keys() -> AwsKeys:
        raise RuntimeError("can't start new thread")

    with pytest.raises(StoreUnavailable, match="can't start new thread"):
        await S3Store("s3://bucket/x", signing=no_keys).read("a")


async def test_keys_that_a_person_has_to_correct_are_no_store_that_failed() -> None:
    def wrong_keys() -> AwsKeys:
        raise BadStore("The saved keys are of another account; correct them.")

    with pytest.raises(BadStore, match="of another account"):
        await S3Store("s3://bucket/x", signing=wrong_keys).read("a")


@pytest.mark.slow
@pytest.mark.parametrize("hangs", ["at once", "in the middle of an answer", "but for a byte now and then"])
async def test_a_bucket_that_hangs_is_told_of_within_seconds(hangs: str) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            if hangs != "at once":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhalf")
            while hangs == "but for a byte now and then":
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)
            await reader.read(-1)
            await asyncio.sleep(3600)

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    store = open_store("s3://bucket/x", key="k", secret="s", endpoint_url=address)
    await store.link("warm", 60)
    begun = time.monotonic()
    async with asyncio.timeout(300):
        asked: list[Coroutine[Any, Any, object]] = [store.read("a"), store.names("a")]
        asked += [store.create("a", b""), store.delete("a"), store.exists("a")] if hangs == "at once" else []
        answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreUnavailable] * len(asked)
    assert 9 < time.monotonic() - begun < 60  # a create is looked up once more, and then it is known
    await store.aclose()
