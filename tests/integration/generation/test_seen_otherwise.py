"""What ends a paid clip is seen alike by two runs, hours apart, with nothing seen in between that contradicts it."""

from __future__ import annotations

import sys

import pytest

from prefect_seedance.errors import BadInput, DownloadFailed
from prefect_seedance.generation.persist import persist
from prefect_seedance.generation.poll import wait
from prefect_seedance.generation.resolve import settle
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.generation.submit import submit
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Step
from prefect_seedance.ledger.rules import History
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage.store import Store
from prefect_seedance.video import decoder
from tests.support.emulating import RunningEmulator
from tests.support.one_clip import charges
from tests.support.renderer import QUICK, age_the_notes, small

HOURS = 3600.0


class Runs:
    """One run after the other over one completed job, each of its own, with what the media host does to it."""

    def __init__(self, emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str) -> None:
        self.emulator, self.store, self.client, self.prompt = emulator, store, client, prompt

    def another(self) -> RenderSession:
        return RenderSession(self.client, Ledger(self.store), waiting=QUICK)

    async def completed(self) -> History:
        run = self.another()
        return await wait(run, await submit(run, small(self.prompt)))

    def media(self, fault: str | None) -> None:
        self.emulator.clear_faults()
        if fault is not None:
            self.emulator.fault("media", fault, times=100, prompt=self.prompt)

    async def look(self, history: History) -> Step | None:
        """What another run makes of *history*; six hours and more pass when it has looked twice."""
        try:
            return (await persist(self.another(), history)).state
        except DownloadFailed:
            age_the_notes(self.store, 3.5 * HOURS)
            return (await Ledger(self.store).load(history.key)).state


@pytest.fixture
def runs(emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str) -> Runs:
    return Runs(emulator, store, client, prompt)


async def test_a_clip_whose_link_is_dead_at_a_withdrawn_endpoint_is_lost_hours_later_and_not_open_for_ever(
    runs: Runs, emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    history = await runs.completed()
    runs.media("gone")
    emulator.fault("status", "status", code=404, detail="endpoint not found", times=1000, prompt=prompt)
    assert [await runs.look(history) for _ in range(2)] == [Step.COMPLETED, Step.COMPLETED]
    assert history.last is not None
    with pytest.raises(BadInput, match="or finds it lost"):
        await settle(Ledger(store), f"{history.key}@{history.last.number}", "charged", client=client)
    assert await runs.look(history) is Step.LOST
    assert charges(emulator, prompt) == 1


@pytest.mark.parametrize("between", ["corrupt", "decoder"])
async def test_bytes_that_came_over_a_link_contradict_that_it_was_dead(
    runs: Runs, emulator: RunningEmulator, prompt: str, between: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = await runs.completed()
    runs.media("gone")
    assert await runs.look(history) is Step.COMPLETED
    with monkeypatch.context() as machine:
        runs.media("corrupt" if between == "corrupt" else None)
        if between == "decoder":
            for process in decoder._idle:
                process.kill()
                process.wait()
            machine.setattr(sys, "executable", "/bin/false")
        assert await runs.look(history) is Step.COMPLETED
    runs.media("gone")
    assert await runs.look(history) is Step.COMPLETED
    assert await runs.look(history) is Step.COMPLETED
    assert await runs.look(history) is Step.LOST
    assert charges(emulator, prompt) == 1


async def test_bytes_that_come_damaged_otherwise_contradict_that_they_come_alike(
    runs: Runs, emulator: RunningEmulator, prompt: str
) -> None:
    history = await runs.completed()
    for fault in ("corrupt", "short", "corrupt"):
        runs.media(fault)
        assert await runs.look(history) is Step.COMPLETED, fault
    runs.media(None)
    assert await runs.look(history) is Step.STORED
    assert charges(emulator, prompt) == 1
