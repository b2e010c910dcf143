"""What the answer to a submit means for the money: refused, accepted, or nobody knows."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.generation.collect import collect
from prefect_seedance.generation.poll import wait
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.generation.submit import submit
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Step
from prefect_seedance.ledger.rules import History, remedy
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import ANSWER_SECONDS, RunpodClient
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator
from tests.support.generating import generate
from tests.support.one_clip import charges
from tests.support.raw_server import RawServer
from tests.support.renderer import API_KEY, QUICK, HookedClient, small
from tests.support.roads import ROADS

BY_BOTH = pytest.mark.parametrize("road", ["run", "runsync"])


def steps(history: History) -> str:
    return " ".join(record.step for record in history.records)


async def test_what_an_answer_echoes_of_the_request_is_in_no_record(store: Store, prompt: str) -> None:
    async with RawServer() as server, RunpodClient(Account(API_KEY, server.base_url)) as client:
        history = await generate(RenderSession(client, Ledger(store), waiting=QUICK), small(prompt))
        assert history.state is Step.FAILED
    assert b"no luck" in everything_in(store)
    assert b"secret-link" not in everything_in(store)


async def test_the_key_is_in_no_file_of_the_store_and_never_goes_to_the_media_host(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str, tmp_path: Path
) -> None:
    emulator.fault("run", "status", code=401, detail=f"bad token {prompt}", prompt=f"{prompt} refused")
    emulator.fault("run", "drop_after", prompt=f"{prompt} unclear")
    for one in ("refused", "unclear", "stored"):
        await generate(RenderSession(client, Ledger(store), waiting=QUICK), small(f"{prompt} {one}"))
    assert API_KEY.encode() not in everything_in(store)
    async with RawServer() as server:
        await client.download(server.base_url, tmp_path / "clip")
        assert b"authorization" not in bytes(server.received[0]).lower()
        assert API_KEY.encode() not in server.received[0]
        async with RunpodClient(Account(API_KEY, server.base_url)) as told:
            await told.status("seedance-1-0-pro", "job-u1")
        assert f"Bearer {API_KEY}".encode() in server.received[1]


@pytest.mark.parametrize("status", ["FAILED", "COMPLETED"])
async def test_a_key_that_the_server_repeats_is_in_no_record(status: str, store: Store, prompt: str) -> None:
    class Repeating(RawServer):
        def answer(self, request: bytes) -> dict[str, Any]:
            said = {"error": {"message": f"no luck, {API_KEY}"}, API_KEY: [API_KEY]}
            return {"id": "job-u1", "status": status if request.startswith(b"GET") else "IN_QUEUE"} | said

    async with Repeating() as server, RunpodClient(Account(API_KEY, server.base_url)) as client:
        run = RenderSession(client, Ledger(store), waiting=QUICK)
        ended = await wait(run, await submit(run, small(prompt)))
        assert ended.last is not None
        assert (ended.last.answer or {})["error"] == {"message": "no luck, …"}
        assert API_KEY.encode() not in everything_in(store)


async def test_a_key_that_could_be_a_word_leaves_the_answer_as_it_is(store: Store, prompt: str) -> None:
    async with RawServer() as server, RunpodClient(Account("luck", server.base_url)) as client:
        history = await generate(RenderSession(client, Ledger(store), waiting=QUICK), small(prompt))
        assert history.last is not None
        assert history.last.reason == "no luck"


def everything_in(store: Store) -> bytes:
    files = [file for file in Path(store.url).rglob("*") if file.is_file()]
    assert files
    return b"".join(file.read_bytes() for file in files)


@BY_BOTH
async def test_what_was_surely_not_accepted_is_claimed_anew(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str, road: str
) -> None:
    emulator.fault(road, "status", code=429, retry_after=0, times=2, prompt=prompt)
    submitted = await submit(RenderSession(client, Ledger(store), waiting=QUICK, catalog=ROADS[road]), small(prompt))
    steps_taken = "claimed refused claimed refused claimed accepted"
    assert steps(submitted) == steps_taken + (" completed" if road == "runsync" else "")
    assert len({record.claim_id for record in submitted.records}) == 3
    assert submitted.last is not None
    assert submitted.last.attempt == 3
    assert charges(emulator, prompt) == 1


@BY_BOTH
async def test_a_post_that_could_not_connect_is_refused_and_the_next_run_claims_anew(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str, road: str
) -> None:
    async with RunpodClient(Account(API_KEY, "http://127.0.0.1:9/v2")) as nowhere:
        run = RenderSession(nowhere, Ledger(store), waiting=QUICK, catalog=ROADS[road])
        trying = asyncio.create_task(submit(run, small(prompt)))
        async with asyncio.timeout(30):
            while (await Ledger(store).load(key_of(small(prompt)))).state is not Step.REFUSED:
                await asyncio.sleep(0.01)
        trying.cancel()
    run = RenderSession(client, Ledger(store), waiting=QUICK, catalog=ROADS[road])
    assert (await generate(run, small(prompt))).state is Step.STORED
    assert charges(emulator, prompt) == 1


AMBIGUOUS: list[dict[str, Any]] = [
    {"fault": "drop"},
    {"fault": "drop_after"},
    {"fault": "half"},
    {"fault": "no_id"},
    {"fault": "html"},
    {"fault": "redirect"},
    {"fault": "silent"},
    {"fault": "accept_late"},
    {"fault": "status", "code": 500},
    {"fault": "status", "code": 503, "html": True, "accept": True},
    {"fault": "status", "code": 408, "html": True, "accept": True},
    {"fault": "status", "code": 499, "html": True, "accept": True},
]


@BY_BOTH
@pytest.mark.parametrize("fault", AMBIGUOUS, ids=lambda fault: f"{fault['fault']} {fault.get('code', '')}")
async def test_an_ambiguous_answer_is_unclear_and_never_followed_by_a_second_post(
    emulator: RunningEmulator, store: Store, prompt: str, fault: dict[str, Any], road: str
) -> None:
    emulator.fault(road, **fault, prompt=prompt)
    before = emulator.calls()[road]
    patience = 0.5 if fault["fault"] == "silent" else ANSWER_SECONDS
    async with RunpodClient(Account(API_KEY, emulator.base_url), answer_seconds=patience) as client:
        for retry in (0, 3):
            run = RenderSession(client, Ledger(store), waiting=QUICK, retry_failed=retry, catalog=ROADS[road])
            assert steps(await generate(run, small(prompt))) == "claimed unclear"
        await collect(RenderSession(client, Ledger(store), waiting=QUICK), MonthlySpend(store))
    assert steps(await Ledger(store).load(key_of(small(prompt)))) == "claimed unclear"
    assert emulator.calls()[road] == before + 1


@BY_BOTH
async def test_what_fails_as_nobody_foresaw_once_a_post_is_out_is_unclear_and_not_paid_again(
    emulator: RunningEmulator, store: Store, prompt: str, road: str
) -> None:
    async def failing(moment: str, _: str) -> None:
        if moment == "after submit":
            raise AssertionError(f"what nobody foresaw of {API_KEY}")

    async with HookedClient(Account(API_KEY, emulator.base_url), failing) as client:
        for _ in range(2):
            run = RenderSession(client, Ledger(store), waiting=QUICK, retry_failed=3, catalog=ROADS[road])
            history = await generate(run, small(prompt))
            assert steps(history) == "claimed unclear"
    assert history.last is not None
    assert history.last.reason == "The answer to the POST was lost: AssertionError: what nobody foresaw of …."
    assert charges(emulator, prompt) == 1


@pytest.mark.parametrize("named", [{"data": {"id": "job-in-doubt"}}, {"id": {"of": "job-in-doubt"}}])
async def test_a_job_id_in_an_odd_place_is_in_the_record_for_who_settles_it(
    named: dict[str, Any], store: Store, prompt: str
) -> None:
    class Odd(RawServer):
        posts = 0

        def answer(self, request: bytes) -> dict[str, Any]:
            self.posts += request.startswith(b"POST")
            return {name: said for name, said in super().answer(request).items() if name != "id"} | named

    async with (server := Odd()), RunpodClient(Account(API_KEY, server.base_url)) as client:
        for _ in range(2):
            history = await generate(RenderSession(client, Ledger(store), waiting=QUICK), small(prompt))
            assert steps(history) == "claimed unclear"
        assert history.last is not None
        assert "job-in-doubt" in remedy(history.last)
        assert b"secret-link" not in everything_in(store)
        assert server.posts == 1


@BY_BOTH
async def test_a_final_answer_out_of_measure_makes_no_such_records(store: Store, prompt: str, road: str) -> None:
    class Endless(RawServer):
        posts = 0

        def answer(self, request: bytes) -> dict[str, Any]:
            self.posts += request.startswith(b"POST")
            return super().answer(request) | {
                "logs": ["x"] * 200_000,
                "output": {"cost": 0.04, "frames": ["y"] * 200_000},
                "status": "IN_QUEUE" if b"/run HTTP" in request else "FAILED",
            }

    async with (server := Endless()), RunpodClient(Account(API_KEY, server.base_url)) as client:
        for _ in range(2):
            run = RenderSession(client, Ledger(store), waiting=QUICK, catalog=ROADS[road])
            history = await generate(run, small(prompt))
            assert steps(history) == "claimed accepted lost"
        assert history.last is not None
        assert history.last.answer == {"id": "job-u1", "status": "FAILED", "error": "no luck", "output": {"cost": 0.04}}
        assert max(file.stat().st_size for file in Path(store.url).rglob("*.json")) < 10_000
        assert (history.last.charged_usd, server.posts) == (Decimal("0.04"), 1)


async def test_a_failure_whose_reason_is_nested_beyond_reading_ends_its_job(store: Store, prompt: str) -> None:
    class Nesting(RawServer):
        posts = 0

        def answer(self, request: bytes) -> dict[str, Any]:
            self.posts += request.startswith(b"POST")
            return super().answer(request) | {"error": '{"error": ' + "[" * 5000 + "]" * 5000 + "}"}

    async with (server := Nesting()), RunpodClient(Account(API_KEY, server.base_url)) as client:
        history = await generate(RenderSession(client, Ledger(store), waiting=QUICK), small(prompt))
        assert steps(history) == "claimed accepted failed"
        assert server.posts == 1


ENDS: list[tuple[dict[str, Any], Step, int, int]] = [
    ({"fault": "failed"}, Step.STORED, 2, 1),
    ({"fault": "timed_out"}, Step.STORED, 2, 1),
    ({"fault": "moderated"}, Step.FAILED, 1, 0),
    ({"fault": "failed", "cost": 0.04}, Step.LOST, 1, 1),
    ({"fault": "timed_out", "cost": 0.04}, Step.LOST, 1, 1),
    ({"fault": "cancelled"}, Step.LOST, 1, 1),
    ({"fault": "cancelled", "cost": 0}, Step.LOST, 1, 0),
]


@BY_BOTH
@pytest.mark.parametrize(("fault", "state", "posts", "charged"), ENDS, ids=lambda value: str(value))
async def test_only_a_free_failure_is_claimed_again_and_only_if_allowed(
    emulator: RunningEmulator,
    store: Store,
    client: RunpodClient,
    prompt: str,
    fault: dict[str, Any],
    state: Step,
    posts: int,
    charged: int,
    road: str,
) -> None:
    emulator.fault(road, **fault, prompt=prompt)
    before = emulator.calls()[road]
    for _ in range(2):
        once = RenderSession(client, Ledger(store), waiting=QUICK, catalog=ROADS[road])
        first = await generate(once, small(prompt))
        assert first.state in (Step.FAILED, Step.LOST)
    assert emulator.calls()[road] == before + 1
    allowed = RenderSession(client, Ledger(store), waiting=QUICK, retry_failed=1, catalog=ROADS[road])
    assert (await generate(allowed, small(prompt))).state is state
    assert emulator.calls()[road] == before + posts
    assert charges(emulator, prompt) == charged
