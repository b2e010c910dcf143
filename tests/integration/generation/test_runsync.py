"""A job submitted by /runsync: its answer may be final, or it goes on by /status; it is forgotten after a minute."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.catalog.loading import VARIABLE
from prefect_seedance.errors import StoreUnavailable
from prefect_seedance.generation.collect import collect
from prefect_seedance.generation.poll import wait
from prefect_seedance.generation.poll_times import Waiting
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.generation.submit import new_claim, submit
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Step
from prefect_seedance.ledger.rescue import rescue_file
from prefect_seedance.ledger.rules import History
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import ANSWER_SECONDS, RunpodClient
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator
from tests.support.generating import generate
from tests.support.one_clip import charges
from tests.support.raw_server import RawServer
from tests.support.renderer import API_KEY, QUICK, HookedStore, age_the_notes, small
from tests.support.roads import ROADS, WAITS, rows_file

BY_RUNSYNC = ROADS["runsync"]


def session(client: RunpodClient, store: Store, **changed: Any) -> RenderSession:
    usual: dict[str, Any] = {"waiting": QUICK, "catalog": BY_RUNSYNC}
    return RenderSession(client, Ledger(store), **usual | changed)


def steps(history: History) -> str:
    return " ".join(record.step for record in history.records)


async def test_a_final_answer_is_recorded_as_accepted_and_as_completed_and_needs_no_look(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    before = emulator.calls()
    history = await submit(session(client, store), small(prompt))
    assert steps(history) == "claimed accepted completed"
    accepted, completed = history.records[1:]
    assert accepted.answer is None
    assert completed.answer is not None
    assert completed.job_id == accepted.job_id
    assert (await generate(session(client, store), small(prompt))).state is Step.STORED
    calls = emulator.calls()
    assert (calls["runsync"] - before["runsync"], calls["run"], calls["status"]) == (1, before["run"], before["status"])
    assert charges(emulator, prompt) == 1


async def test_a_job_that_outlives_its_wait_goes_on_by_status(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    emulator.fault("runsync", "never", prompt=prompt)
    run = session(client, store)
    assert steps(await submit(run, small(prompt))) == "claimed accepted"
    emulator.fault("status", "failed", prompt=prompt)  # what never ends by itself ends so
    assert steps(await generate(session(client, store), small(prompt))) == "claimed accepted failed"
    assert emulator.charges == [] or charges(emulator, prompt) == 0


@pytest.mark.parametrize("road", ["run", "runsync"])
async def test_an_observer_gives_a_claim_as_long_as_its_post_may_take(
    road: str, client: RunpodClient, store: Store, prompt: str
) -> None:
    run = session(client, store, catalog=ROADS[road])
    claim = new_claim(run, History(key_of(small(prompt))), small(prompt))
    assert claim.submit_timeout_seconds == 30 + 2 * (ANSWER_SECONDS + (WAITS if road == "runsync" else 0))


async def test_what_was_accepted_is_looked_at_at_once_and_never_a_minute_apart(
    emulator: RunningEmulator, store: Store, prompt: str
) -> None:
    """By /run the first look at a model that takes minutes comes after half of them: too late here."""

    class Busy(RawServer):
        looks = 0

        def answer(self, request: bytes) -> dict[str, Any]:
            self.looks += request.startswith(b"GET")
            return {"id": "sync-1", "status": "COMPLETED" if self.looks > 1 else "IN_PROGRESS", "output": {"cost": 0}}

    slow = {slug: row.model_copy(update={"usual_seconds": 600}) for slug, row in BY_RUNSYNC.items()}
    patient = Waiting(pause=0.05, longest=0.3, grace=1.0)
    async with (server := Busy()), RunpodClient(Account(API_KEY, server.base_url)) as client:
        run = session(client, store, catalog=slow, waiting=patient)
        async with asyncio.timeout(30):
            history = await submit(run, small(prompt))
            assert (await wait(run, history)).state is Step.COMPLETED


@pytest.mark.parametrize(("seconds", "state"), [(50, "stored"), (70, "lost")], ids=["in time", "too late"])
async def test_a_minute_after_its_end_its_answer_is_gone_and_it_is_lost_and_never_paid_again(
    seconds: int, state: str, store: Store, prompt: str
) -> None:
    with RunningEmulator.start(latency=30) as emulator:
        async with RunpodClient(Account(API_KEY, emulator.base_url)) as client:
            history = await submit(session(client, store), small(prompt))
            assert steps(history) == "claimed accepted"
            emulator.advance(30 + seconds)
            for _ in range(2):
                await collect(session(client, store, catalog=KNOWN), MonthlySpend(store))
                age_the_notes(store, QUICK.grace)
            assert (await generate(session(client, store), small(prompt))).state == state
        assert len(emulator.charges) == 1


async def test_a_final_answer_is_told_outside_of_a_store_that_hangs(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    """A minute later nobody could ask for it."""
    down = True

    async def hanging(moment: str, path: str) -> None:
        if moment == "before create" and path.startswith("ledger/") and not path.endswith("/0001.json") and down:
            raise StoreUnavailable("the store is down.")

    run = RenderSession(client, Ledger(HookedStore(store, hanging)), waiting=QUICK, catalog=BY_RUNSYNC)
    task = asyncio.create_task(submit(run, small(prompt)))
    told: list[str] = []
    async with asyncio.timeout(30):
        while "completed" not in told:
            await asyncio.sleep(0.05)
            lines = rescue_file().read_text().splitlines() if rescue_file().exists() else []
            told = [json.loads(line)["record"]["step"] for line in lines]
    down = False
    assert steps(await task) == "claimed accepted completed"
    assert charges(emulator, prompt) == 1


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before submit 1", "after submit 1", "after create 2", "after create 3"])
async def test_a_process_that_is_killed_anywhere_around_the_post_is_paid_once(
    moment: str, emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "tests.support.renderer", emulator.base_url, store.url, prompt, moment]
    environment = os.environ | {VARIABLE: rows_file(tmp_path)}
    killed = await asyncio.to_thread(subprocess.run, command, env=environment, capture_output=True, check=False)
    assert killed.returncode < 0, killed.stderr
    for _ in range(2):
        history = await generate(session(client, store), small(prompt))
    left_behind = history.state is Step.UNCLEAR
    assert left_behind or history.state is Step.STORED
    assert emulator.calls()["run"] == 0
    assert charges(emulator, prompt) == (0 if moment == "before submit 1" and left_behind else 1)
