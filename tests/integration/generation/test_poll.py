"""Waits of one run take turns: spread while they know nothing, together once one of them has seen an end.

What one has learned only ever brings a look forward: a look left out is a paid clip lost.
"""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from prefect_seedance.errors import StillRunning
from prefect_seedance.generation.poll import wait
from prefect_seedance.generation.poll_times import SharedPolling, Waiting
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.generation.submit import submit
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.ledger.rules import History
from prefect_seedance.models import Request
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator
from tests.support.generating import generate
from tests.support.renderer import QUICK, accepted

WAITS = 20


@pytest.fixture
def emulator(own_emulator: RunningEmulator) -> RunningEmulator:
    return own_emulator


async def first_look(turns: SharedPolling, record: Record) -> float:
    looks = turns.poll_times(record, 0, at_once=False)
    await anext(looks)
    await looks.aclose()
    return time.monotonic()


async def second_look(turns: SharedPolling, record: Record) -> float:
    looks = turns.poll_times(record, 0, at_once=False)
    await anext(looks)
    await anext(looks)
    await looks.aclose()
    return time.monotonic()


@pytest.mark.parametrize("look", [first_look, second_look])
async def test_waits_that_began_together_do_not_look_together(
    look: Callable[[SharedPolling, Record], Awaitable[float]],
) -> None:
    turns = SharedPolling(Waiting(first=0, pause=0.01))
    turns.waits = 400  # so many look every four seconds
    looked = sorted(await asyncio.gather(*(look(turns, accepted(f"{n}")) for n in range(WAITS))))
    assert looked[3 * WAITS // 4] - looked[WAITS // 4] > 0.6  # four seconds are usual; together it would be 0.2


async def test_the_first_end_wakes_the_others() -> None:
    turns = SharedPolling(Waiting(pause=1000, longest=1000))
    record = accepted("known to end")
    looks = [turns.poll_times(record, 0, at_once=True) for _ in range(WAITS)]
    for one in looks:
        await anext(one)
    waiting = asyncio.gather(*(anext(one) for one in looks))
    await asyncio.sleep(0.1)
    turns.ended(record)
    await asyncio.wait_for(waiting, 30)


@pytest.mark.parametrize("old", [60, 3600, 40 * 3600])
async def test_a_slow_job_holds_up_no_look_at_a_later_one(old: float) -> None:
    turns = SharedPolling(Waiting(first=0, pause=0.05, longest=0.2))
    turns.ended(accepted("queued for long, or resumed after a night", old))
    began = time.monotonic()
    await asyncio.wait_for(second_look(turns, accepted("a quick one")), 10)
    assert time.monotonic() - began < 5  # not when it is as old as the slow one


async def test_no_number_of_waits_makes_a_pause_longer_than_the_longest() -> None:
    turns = SharedPolling(Waiting(first=0, pause=0.05, longest=0.2))
    turns.waits = 1_000_000
    await asyncio.wait_for(second_look(turns, accepted("one of many")), 10)


async def test_what_was_learned_brings_a_look_forward() -> None:
    turns = SharedPolling(Waiting(first=0, pause=1000, longest=1000))
    turns.ended(accepted("took a second", 1))
    await asyncio.wait_for(second_look(turns, accepted("is half as old", 0.5)), 30)


@pytest.mark.parametrize("first", [0, None])
async def test_no_wait_passes_the_deadline(first: float | None) -> None:
    turns, until = SharedPolling(Waiting(first=first, pause=1000, longest=1000)), time.monotonic() + 0.3
    looks = turns.poll_times(accepted("takes its time"), 5000, at_once=False, until=until)
    async with asyncio.timeout(30):
        await anext(looks)
        while time.monotonic() < until:
            await anext(looks)
    await looks.aclose()


@pytest.mark.parametrize("watched", [False, True])
async def test_only_a_job_that_was_watched_near_its_end_teaches(
    watched: bool,
    emulator: RunningEmulator,
    account: Account,
    folder_store: Store,
    make_request: Callable[..., Request],
) -> None:
    """One that had ended before this run looked first says nothing about how long it took."""
    async with RunpodClient(account) as client:
        run = RenderSession(
            client, Ledger(folder_store), waiting=Waiting(first=0, pause=0.05, longest=0.3, deadline=60)
        )
        submitted = await submit(run, make_request())
        assert submitted.last is not None
        if watched:
            emulator.fault("status", "unknown_word", times=1)
        else:
            emulator.advance(60)
        assert (await wait(run, submitted)).state is Step.COMPLETED
        assert (run.polling.quickest(submitted.last) is not None) is watched
    assert len(emulator.charges) == 1


async def test_a_slow_job_then_quick_ones_are_all_brought_home_before_the_api_forgets_them(
    emulator: RunningEmulator, account: Account, folder_store: Store, make_request: Callable[..., Request]
) -> None:
    """The one that queued an hour, resumed and seen to end, taught the run to look at no other before it was as old."""
    async with RunpodClient(account) as client:
        run = RenderSession(client, Ledger(folder_store), waiting=QUICK)
        slow = await submit(run, make_request(prompt="Slow."))
        assert slow.last is not None
        hour_ago = slow.last.model_copy(update={"accepted_at": slow.last.at - datetime.timedelta(hours=1)})
        emulator.fault("status", "unknown_word", times=1)
        await wait(run, History(slow.key, (*slow.records[:-1], hour_ago)))
        emulator.fault("status", "unknown_word", times=3)
        async with asyncio.timeout(60):
            quick = await generate(run, make_request(prompt="Quick."))
    assert quick.state is Step.STORED
    assert len(emulator.charges) == 2


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"fault": "status", "code": 500}, "can't be asked about now;"),
        ({"fault": "unknown_word"}, "still runs;"),
        ({"fault": "hidden"}, r"is not known to the API \(404\);"),
    ],
    ids=str,
)
async def test_one_look_says_what_it_saw_and_never_that_a_job_runs_which_it_could_not_ask_about(
    emulator: RunningEmulator,
    account: Account,
    folder_store: Store,
    make_request: Callable[..., Request],
    fault: dict[str, Any],
    told: str,
) -> None:
    async with RunpodClient(account) as client:
        run = RenderSession(client, Ledger(folder_store), waiting=QUICK)
        submitted = await submit(run, make_request())
        emulator.fault("status", **fault, times=100)
        with pytest.raises(StillRunning, match=told):
            await wait(run, submitted, deadline=0)
    assert len(emulator.charges) == 1
