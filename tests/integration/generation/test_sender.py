"""A claim that has begun ends with its outcome written down, whoever cancels it and whatever ends its process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from functools import partial

import pytest

from prefect_seedance.generation.sender import AT_ONCE, settled
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.generation.submit import submit
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Step
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator
from tests.support.one_clip import charges
from tests.support.places import ROOT
from tests.support.renderer import API_KEY, QUICK, HookedClient, HookedStore, small

MOMENTS = {
    "before its marker": "before write",
    "during the claim": "before create",
    "claimed": "after create",
    "during the POST": "before submit",
    "answered": "after submit",
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=list(MOMENTS))
async def test_a_cancelled_caller_leaves_a_begun_claim_to_its_outcome(
    emulator: RunningEmulator, store: Store, prompt: str, moment: str
) -> None:
    loop, reached, go_on = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    passed: Counter[str] = Counter()

    async def hold(now: str, _: str) -> None:
        passed[now] += 1
        if (now, passed[now]) == (moment, 1):
            loop.call_soon_threadsafe(reached.set)
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(go_on.wait(), loop))

    async with HookedClient(Account(API_KEY, emulator.base_url), hold) as client:
        run = RenderSession(client, Ledger(HookedStore(store, hold)), waiting=QUICK)
        task = asyncio.create_task(submit(run, small(prompt)))
        await reached.wait()
        for _ in range(3):
            task.cancel()
            await asyncio.wait({task}, timeout=0.05)
        assert not task.done()  # a cancellation goes on once the outcome is written down
        go_on.set()
        await asyncio.wait({task})
    assert task.cancelled()
    history = await Ledger(store).load(key_of(small(prompt)))
    assert [record.step for record in history.records] == [Step.CLAIMED, Step.ACCEPTED]
    assert charges(emulator, prompt) == 1


async def test_only_so_many_claims_are_under_way_at_once_and_what_waits_is_dropped_unclaimed() -> None:
    begun: list[int] = []
    loop, full, go_on = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    async def claim(number: int) -> int:
        begun.append(number)
        if len(begun) == AT_ONCE:
            loop.call_soon_threadsafe(full.set)
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(go_on.wait(), loop))
        return number

    tasks = [asyncio.create_task(settled(partial(claim, n))) for n in range(AT_ONCE + 20)]
    await full.wait()
    waiting = [number for number in range(AT_ONCE + 20) if number not in begun]
    for number in waiting[:10]:
        tasks[number].cancel()
    await asyncio.wait([tasks[number] for number in waiting[:10]])
    assert len(begun) == AT_ONCE
    go_on.set()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [n for n, end in enumerate(ends) if isinstance(end, asyncio.CancelledError)] == waiting[:10]
    assert sorted(begun) == [end for end in ends if isinstance(end, int)]


HELD = """
    import asyncio, signal, sys, threading
    from prefect_seedance.generation.session import RenderSession
    from prefect_seedance.generation.submit import submit
    from prefect_seedance.ledger.ledger import Ledger
    from prefect_seedance.runpod.account import Account
    from prefect_seedance.storage import open_store
    from tests.support.renderer import API_KEY, QUICK, HookedClient, HookedStore, small, stop

    held_at, base_url, store_url, prompt = sys.argv[1:]
    held = threading.Event()

    async def hold(moment, path):
        if moment == held_at and not held.is_set():
            print("held", flush=True)
            held.set()
            await asyncio.to_thread(sys.stdin.read)

    async def main():
        async with HookedClient(Account(API_KEY, base_url), hold) as client:
            ledger = Ledger(HookedStore(open_store(store_url), hold))
            await submit(RenderSession(client, ledger, waiting=QUICK), small(prompt))
"""
WAITS_FOR_IT = """
    signal.signal(signal.SIGTERM, stop)
    asyncio.run(main())
"""
LEAVES_IT_ALONE = """
    threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
    held.wait()
"""


def held_process(program: str, *words: str) -> subprocess.Popen[str]:
    """A process that has begun a claim and is held at a moment of it, until its input ends."""
    command = [sys.executable, "-c", textwrap.dedent(HELD + program), *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipe, quiet = subprocess.PIPE, subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, stderr=quiet, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def exit_code(process: subprocess.Popen[str]) -> int:
    """Of a process that ends when it is let go, and not before."""
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.5)
    process.communicate(timeout=60)
    return process.returncode


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before create", "before submit"], ids=["claiming", "posting"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
async def test_a_process_that_is_asked_to_stop_writes_the_outcome_of_its_claim_down(
    emulator: RunningEmulator, store: Store, prompt: str, moment: str, number: signal.Signals
) -> None:
    process = held_process(WAITS_FOR_IT, moment, emulator.base_url, store.url, prompt)
    process.send_signal(number)
    assert exit_code(process) != 0
    await is_accepted(store, prompt)
    assert charges(emulator, prompt) == 1


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before create", "before submit"], ids=["claiming", "posting"])
async def test_a_process_ends_after_the_claims_that_it_has_begun_though_nobody_waits_for_them(
    emulator: RunningEmulator, store: Store, prompt: str, moment: str
) -> None:
    process = held_process(LEAVES_IT_ALONE, moment, emulator.base_url, store.url, prompt)
    assert exit_code(process) == 0
    await is_accepted(store, prompt)
    assert charges(emulator, prompt) == 1


async def is_accepted(store: Store, prompt: str) -> None:
    history = await Ledger(store).load(key_of(small(prompt)))
    assert [record.step for record in history.records] == [Step.CLAIMED, Step.ACCEPTED]


def test_a_forked_process_has_a_sender_of_its_own() -> None:
    program = """
        import asyncio, os
        from prefect_seedance.generation.sender import settled

        async def one():
            async def number():
                return os.getpid()
            return await settled(number)

        assert asyncio.run(one()) == os.getpid()
        if (child := os.fork()) == 0:
            os._exit(asyncio.run(one()) != os.getpid())
        raise SystemExit(os.waitpid(child, 0)[1])
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, timeout=60, check=False)
    assert ended.returncode == 0
