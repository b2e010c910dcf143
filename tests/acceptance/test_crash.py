"""Processes are killed at every moment of bringing a clip home. The bill is the judge: each key is charged once."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from unittest.mock import ANY

import pytest

from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.errors import BadInput
from prefect_seedance.generation.collect import collect
from prefect_seedance.generation.resolve import settle
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.ledger import Ledger, record_path
from prefect_seedance.ledger.record import Step
from prefect_seedance.ledger.rules import History
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage import open_store
from prefect_seedance.storage.store import Store
from tests.support import naive, renderer
from tests.support.emulating import RunningEmulator
from tests.support.forking import Faults, Harness
from tests.support.renderer import API_KEY, QUICK, small
from tests.support.s3_server import RunningS3

AT_ONCE = 3
CHANGING = ("after write", "after create", "after submit", "after put", "after delete")
"""What leaves something behind, here or at the API: until the next of these a kill finds the same world."""

STORIES: dict[str, Faults] = {
    "plain": [],
    "busy": [{"on": "run", "fault": "status", "code": 429, "retry_after": 0}],
    "lost answer": [{"on": "run", "fault": "drop_after"}],
    "dead link": [{"on": "media", "fault": "gone"}],
}


@pytest.fixture(scope="module")
def emulator() -> Iterator[RunningEmulator]:
    with RunningEmulator.start(latency=0.01) as running:
        yield running


@pytest.fixture
def tell(
    record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> Callable[[Harness], None]:
    """Put the figures of a harness on the terminal and into the report."""

    def told(harness: Harness) -> None:
        figures = {name: value for name, value in asdict(harness.tally).items() if name != "failures"}
        record_property(harness.rendering.__module__, figures)
        with capsys.disabled():
            sys.stdout.write(
                "\n" + harness.rendering.__module__ + ": " + ", ".join(f"{v} {k}" for k, v in figures.items())
            )

    return told


class Recovery:
    """What a person and the program do after a kill, until the clip is stored, and what must hold on the way."""

    def __init__(self, harness: Harness, store_url: str, prompt: str) -> None:
        self.harness, self.store_url, self.prompt = harness, store_url, prompt
        self.key = key_of(small(prompt))

    async def __call__(self) -> None:
        store = open_store(self.store_url)
        try:
            await self._recover(store)
        finally:
            await store.aclose()

    async def _recover(self, store: Store) -> None:
        while (said := self.harness.process(self.store_url, self.prompt).said or {}).get("state") == "unclear":
            self.harness.tally.unclear += 1
            bill = self.harness.bill(self.prompt)
            assert self.harness.process(self.store_url, self.prompt).said == said | {"passed": ANY}
            assert self.harness.bill(self.prompt) == bill, "an unclear submission was submitted again"
            await self._settle(store, await Ledger(store).load(self.key), bill)
            if not self._can_be_settled(store, bill):
                return
        assert said.get("state") == "stored", said
        await self._is_home(store)

    def _can_be_settled(self, store: Store, bill: list[str]) -> bool:
        """A claim in S3 can't be made an hour old, as one on disk can."""
        return bool(bill) or not store.url.startswith("s3://")

    async def _settle(self, store: Store, history: History, bill: list[str]) -> None:
        """By the job id where one was charged, else as not charged, for which the claim has to be an hour old."""
        ledger, handle = Ledger(store), f"{history.key}@{history.number}"
        async with RunpodClient(Account(API_KEY, self.harness.emulator.base_url)) as client:
            if bill:
                settled = await settle(ledger, handle, "job id", job_id=bill[0], client=client)
                assert settled.step is Step.ACCEPTED
                return
        with pytest.raises(BadInput, match="too early"):
            await settle(ledger, handle, "not charged")
        if self._can_be_settled(store, bill):
            claim = next(r for r in reversed(history.records) if r.step is Step.CLAIMED)
            file, then = Path(store.url) / record_path(claim.key, claim.number), time.time() - 7200
            os.utime(file, (then, then))
            assert (await settle(ledger, handle, "not charged")).step is Step.REFUSED

    async def _is_home(self, store: Store) -> None:
        """One clip, one charge, and nothing left open once somebody has collected."""
        history = await Ledger(store).load(self.key)
        assert history.last is not None
        assert history.last.clip is not None
        assert await store.exists(history.last.clip)
        assert self.harness.bill(self.prompt) == [history.last.job_id]
        async with RunpodClient(Account(API_KEY, self.harness.emulator.base_url)) as client:
            await collect(RenderSession(client, Ledger(store), waiting=QUICK), MonthlySpend(store))
        assert await Ledger(store).markers() == []
        assert len(self.harness.bill(self.prompt)) == 1
        self.harness.tally.stored += 1


def all_of(harness: Harness, story: str, moments: list[str], new_store: Callable[[], str]) -> None:
    """Kill one rendering at each of the moments and recover from it, a few at the same time."""

    def one(moment: str) -> None:
        store_url = new_store()
        prompt = f"{story}, {store_url}, killed {moment}."
        harness.told(prompt, STORIES[story])
        ended = harness.process(store_url, prompt, moment)
        try:
            assert ended.killed or ended.said, "it neither died nor ended"
            asyncio.run(Recovery(harness, store_url, prompt)())
        except Exception as error:  # all moments are tried, and told together
            harness.tally.failures.append(f"{prompt} {error!r}")
        harness.count(prompt)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, moments))
    assert harness.tally.failures == []
    assert harness.tally.double_charges == 0
    assert harness.tally.kills >= 0.9 * len(moments), "most moments come in every run"


@pytest.mark.slow
@pytest.mark.parametrize("story", STORIES)
def test_a_clip_is_charged_once_whenever_its_process_is_killed(
    story: str, emulator: RunningEmulator, tmp_path: Path, tell: Callable[[Harness], None]
) -> None:
    harness, folders = Harness(emulator, renderer.render, {}), itertools.count()
    moments = harness.moments(str(tmp_path / "unharmed"), f"{story}, unharmed.", STORIES[story])
    if story != "plain":  # there every moment was tried
        moments = [moment for moment in moments if moment.startswith(CHANGING)]
    all_of(harness, story, moments, lambda: str(tmp_path / f"store-{next(folders)}"))
    tell(harness)


@pytest.mark.slow
def test_a_clip_is_charged_once_on_s3_whenever_its_process_is_killed(
    emulator: RunningEmulator, s3_server: RunningS3, tell: Callable[[Harness], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    harness, folders = Harness(emulator, renderer.render, s3_server.environment), itertools.count()
    bucket = f"s3://{s3_server.new_bucket()}"
    moments = [f"after {kind}" for kind in ("write 1", "create 1", "submit 1", "create 2", "create 3", "put 1")]
    all_of(harness, "plain", ["before submit 1", *moments], lambda: f"{bucket}/{next(folders)}")
    tell(harness)


@pytest.mark.slow
def test_a_naive_client_pays_twice_in_the_same_harness(
    emulator: RunningEmulator, tmp_path: Path, tell: Callable[[Harness], None]
) -> None:
    """The control: were nothing found here either, the harness would find nothing anywhere."""
    harness = Harness(emulator, naive.render, {})
    deaths = ["after submit 1", "before download 1", "before put 1"]
    cases = [("lost answer", ()), *(("plain", (moment,)) for moment in deaths)]
    for number, (story, moment) in enumerate(cases):
        prompt, store_url = f"naive, {story}, {moment}.", str(tmp_path / str(number))
        harness.told(prompt, STORIES[story])
        assert harness.process(store_url, prompt, *moment).killed == bool(moment)
        again = harness.process(store_url, prompt)
        assert again.said is not None
        assert again.said["state"] == "stored"
        harness.count(prompt)
    tell(harness)
    assert harness.tally.charges == harness.tally.keys + harness.tally.double_charges
    assert harness.tally.double_charges == len(cases)
