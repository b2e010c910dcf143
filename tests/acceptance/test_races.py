"""Several processes at the same moment on one store: one charge per key, no limit passed, nobody stuck."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.catalog.pricing import upper
from prefect_seedance.generation.collect import collect
from prefect_seedance.generation.poll import wait
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.generation.submit import submit
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Step
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage.store import Store
from tests.support import renderer
from tests.support.emulating import RunningEmulator
from tests.support.forking import Harness
from tests.support.renderer import API_KEY, QUICK, shots_of, small

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def emulator() -> Iterator[RunningEmulator]:
    with RunningEmulator.start(latency=0.01) as running:
        yield running


@pytest.fixture
def harness(emulator: RunningEmulator, request: pytest.FixtureRequest, store_url: str) -> Harness:
    on_s3 = store_url.startswith("s3://")
    return Harness(emulator, renderer.render_board, request.getfixturevalue("s3_server").environment if on_s3 else {})


async def test_two_renderers_of_one_board_pay_for_each_clip_once_and_both_have_them_all(
    harness: Harness, either_store: Store, store_url: str
) -> None:
    both = harness.together(store_url, [(renderer.render_board, store_url)] * 2)
    assert [ended.said for ended in both] == [{"states": [Step.STORED] * 6}] * 2
    assert [len(harness.bill(prompt)) for prompt in shots_of(store_url)] == [1] * 6
    for prompt in shots_of(store_url):
        history = await Ledger(either_store).load(key_of(small(prompt)))
        assert history.last is not None
        assert await either_store.exists(history.last.clip or "")
        assert harness.bill(prompt) == [history.last.job_id]


async def test_twenty_processes_that_race_for_the_last_of_a_limit_never_pass_it(
    harness: Harness, either_store: Store, store_url: str
) -> None:
    prompts = [f"{store_url}, racer {number}." for number in range(20)]
    price = upper(small(""), KNOWN[small("").model])
    limit = price * 3 + price / 2
    harness.environment["LIMIT"] = str(limit)
    ended = harness.together(store_url, [(renderer.render_within, prompt) for prompt in prompts])
    states = [one.said["state"] for one in ended if one.said]
    assert len(states) == 20
    assert set(states) == {"stored", "over budget"}
    charges = [charge for charge in harness.emulator.charges if charge["prompt"] in prompts]
    assert len(charges) == states.count("stored") >= 3
    spent = sum(Decimal(str(charge["usd"])) for charge in charges)
    assert spent <= limit
    usage = await MonthlySpend(either_store).usage(datetime.datetime.now(datetime.UTC))
    assert (usage.day.spent_usd, usage.day.reserved_usd) == (spent, 0)


async def test_two_collectors_and_a_renderer_bring_home_what_is_open_without_paying_again(
    harness: Harness, either_store: Store, store_url: str
) -> None:
    *submitted, completed, claimed = shots_of(store_url)
    async with RunpodClient(Account(API_KEY, harness.emulator.base_url)) as client:
        run = RenderSession(client, Ledger(either_store), waiting=QUICK)
        for prompt in submitted:
            await submit(run, small(prompt))
        await wait(run, await submit(run, small(completed)))
    harness.rendering = renderer.render
    assert harness.process(store_url, claimed, "before submit 1").killed
    ended = harness.together(
        store_url, [(renderer.bring_home, ""), (renderer.bring_home, ""), (renderer.render_board, store_url)]
    )
    collected: dict[str, Any] = {"errors": {}}
    assert [one.said for one in ended] == [collected, collected, {"states": [Step.STORED] * 5 + [Step.UNCLEAR]}]
    assert [len(harness.bill(prompt)) for prompt in (*submitted, completed, claimed)] == [1] * 5 + [0]
    unclear = await Ledger(either_store).load(key_of(small(claimed)))
    assert [record.step for record in unclear.records] == [Step.CLAIMED, Step.UNCLEAR]
    async with RunpodClient(Account(API_KEY, harness.emulator.base_url)) as client:
        await collect(RenderSession(client, Ledger(either_store), waiting=QUICK), MonthlySpend(either_store))
    assert await Ledger(either_store).markers() == [(unclear.key, 1)]
