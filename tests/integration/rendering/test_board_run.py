"""The one loop of a board: siblings apart, chains in order, tries bounded alike, nothing begun left behind."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from prefect_seedance.errors import DownloadFailed, OverBudget
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.models import LastFrame, Request
from prefect_seedance.rendering.board_run import TRIES
from prefect_seedance.rendering.steps import DirectSteps
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage import open_store
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator
from tests.support.generating import board_of, rendered, run_of
from tests.support.renderer import QUICK, small


def charges(emulator: RunningEmulator, prompt: str) -> int:
    return sum(charge["prompt"].startswith(prompt) for charge in emulator.charges)


def session_of(client: RunpodClient, store: Store) -> RenderSession:
    return RenderSession(client, Ledger(store), waiting=QUICK)


class Flaky(DirectSteps):
    """Brings no clip home at the first *failures* tries of each shot."""

    def __init__(self, session: RenderSession, failures: int) -> None:
        super().__init__(session)
        self.failures = failures
        self.tries: Counter[str] = Counter()

    async def persist(self, shot: str, record: Record) -> Record:
        self.tries[shot] += 1
        if self.tries[shot] <= self.failures:
            raise DownloadFailed("it could not be had this time")
        return await super().persist(shot, record)


@pytest.mark.parametrize("shots", [1, 33])
async def test_what_another_try_can_mend_is_tried_again_as_often_for_one_shot_as_for_many(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str, shots: int
) -> None:
    session = session_of(client, store)
    steps = Flaky(session, TRIES - 1)
    run = await run_of(session, board_of(*(small(f"{prompt} {n}.") for n in range(shots))), steps)
    assert [result.status for result in run.results()] == ["stored"] * shots
    assert set(steps.tries.values()) == {TRIES}
    assert charges(emulator, prompt) == shots


async def test_tries_are_bounded_and_the_paid_clip_stays_to_be_brought_home(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    session = session_of(client, store)
    steps = Flaky(session, TRIES)
    run = await run_of(session, board_of(small(prompt)), steps)
    (result,) = run.results()
    assert (result.status, result.error, steps.tries["shot-1"]) == ("running", "it could not be had this time", TRIES)
    assert [r.status for r in (await rendered(session_of(client, store), small(prompt))).results()] == ["stored"]
    assert charges(emulator, prompt) == 1


async def test_a_refused_shot_stops_no_sibling(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    emulator.fault("run", "status", code=400, prompt=f"{prompt} two")
    run = await rendered(session_of(client, store), *(small(f"{prompt} {name}") for name in ("one", "two", "three")))
    assert [result.status for result in run.results()] == ["stored", "refused", "stored"]
    assert charges(emulator, prompt) == 2


async def test_a_chained_shot_comes_after_the_clip_it_continues_and_not_without_it(
    emulator: RunningEmulator, tmp_path_factory: pytest.TempPathFactory, client: RunpodClient, prompt: str
) -> None:
    store = open_store(tmp_path_factory.mktemp("served"), public_base_url=f"{emulator.origin}/files")
    first = small(f"{prompt} first")
    chained = small(f"{prompt} chained").model_copy(update={"image": LastFrame(of=key_of(first))})
    emulator.fault("run", "status", code=400, prompt=first.prompt)
    run = await rendered(session_of(client, store), first, chained)
    assert [result.status for result in run.results()] == ["refused", "blocked"]
    assert isinstance(run.errors[key_of(chained)], OverBudget)
    assert charges(emulator, prompt) == 0


async def test_a_cancelled_board_leaves_no_claim_without_its_outcome(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    emulator.fault("run", "slow", seconds=1, times=3, prompt=prompt)
    session = session_of(client, store)
    requests: list[Request] = [small(f"{prompt} {n}.") for n in range(3)]
    before = emulator.calls()["run"]
    rendering = asyncio.create_task(rendered(session, *requests))
    while emulator.calls()["run"] == before:
        await asyncio.sleep(0.02)
    rendering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rendering
    states = [(await session.ledger.load(key_of(request))).state for request in requests]
    assert set(states) <= {Step.ACCEPTED, None}
    assert charges(emulator, prompt) == sum(state is Step.ACCEPTED for state in states) > 0
