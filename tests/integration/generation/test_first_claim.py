"""A first claim is made on what the plan has read, which spares two operations; a stale reading only loses the race."""

from __future__ import annotations

import asyncio

from prefect_seedance.errors import LedgerUnreadable, StoreUnavailable
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Record, Step, next_step
from prefect_seedance.rendering.board_run import BoardRun
from prefect_seedance.rendering.plan import make_plan
from prefect_seedance.rendering.steps import DirectSteps
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator
from tests.support.generating import board_of, generate
from tests.support.one_clip import charges
from tests.support.renderer import QUICK, HookedStore, small


class OnlySubmits(DirectSteps):
    async def wait(self, shot: str, record: Record) -> Record:
        return record


class Watched:
    """A store whose operations are written down, in their order."""

    def __init__(self, store: Store) -> None:
        self.asked: list[str] = []
        self.store = HookedStore(store, self._moment)

    async def _moment(self, moment: str, path: str) -> None:
        if moment.startswith("before"):
            self.asked.append(f"{moment.removeprefix('before ')} {path}")


async def planned_run(session: RenderSession, *prompts: str, steps: type[DirectSteps] = DirectSteps) -> BoardRun:
    board = board_of(*map(small, prompts))
    planned = await make_plan(board, session.ledger, account=session.client.account, catalog=session.catalog)
    return BoardRun(board, planned, session, steps(session), _unheard)


async def _unheard(line: str) -> None:
    """Nobody watches."""


async def test_a_submit_asks_three_things_of_its_store(
    emulator: RunningEmulator, either_store: Store, client: RunpodClient, prompt: str
) -> None:
    """Marker, claim and outcome: neither a listing nor a reading before them."""
    watched = Watched(either_store)
    session = RenderSession(client, Ledger(watched.store), waiting=QUICK)
    run = await planned_run(session, prompt, steps=OnlySubmits)
    watched.asked.clear()
    await run.render()
    key = key_of(small(prompt))
    marker, records = f"write ledger-open/{key}-0001", [f"create ledger/{key}/{n:04d}.json" for n in (1, 2)]
    assert watched.asked == [marker, *records]
    assert run.records[key].step is Step.ACCEPTED
    assert charges(emulator, prompt) == 1


async def test_a_plan_that_has_grown_old_pays_for_nothing_that_was_paid_since(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    """As after an hour of waiting for an approval."""
    old = await planned_run(RenderSession(client, Ledger(store), waiting=QUICK), prompt)
    history = await generate(RenderSession(client, Ledger(store), waiting=QUICK), small(prompt))
    await old.render()
    assert old.records[history.key] == history.last
    assert old.errors == {}
    assert await Ledger(store).markers() == []
    assert charges(emulator, prompt) == 1


async def test_a_retry_is_claimed_on_what_is_there_and_not_on_the_plan(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    """The plan is read once: a second claim of the run follows what the first has become."""
    emulator.fault("run", "status", code=429, retry_after=0, prompt=prompt)
    emulator.fault("run", "failed", prompt=prompt)
    session = RenderSession(client, Ledger(store), waiting=QUICK, retry_failed=1)
    history = await generate(session, small(prompt))
    assert history.state is Step.STORED
    assert charges(emulator, prompt) == 1


async def test_what_was_settled_since_the_plan_is_seen(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    """Only a claim proves that the plan has read all: what the plan would wait for is read again."""
    emulator.fault("run", "drop", prompt=prompt)
    first = await generate(RenderSession(client, Ledger(store), waiting=QUICK), small(prompt))
    assert first.last is not None
    await Ledger(store).append(first, next_step(first.last, Step.REFUSED, by="person", reason="not charged"))
    session = RenderSession(client, Ledger(store), waiting=QUICK)
    session.planned = {first.key: first}  # unclear
    async with asyncio.timeout(60):
        record = await DirectSteps(session).submit("shot", small(prompt), None, None, retry=False)
    assert (record.step, record.attempt) == (Step.ACCEPTED, 2)
    assert charges(emulator, prompt) == 1


async def test_a_shot_that_was_paid_is_told_so_though_its_history_can_not_be_read_any_more(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    away: list[str] = []

    async def gone(moment: str, path: str) -> None:
        if away:
            raise StoreUnavailable("The store is gone.")

    class Interrupted(DirectSteps):
        async def wait(self, shot: str, record: Record) -> Record:
            away.append(shot)
            raise LedgerUnreadable("A record is damaged.")

    session = RenderSession(client, Ledger(HookedStore(store, gone)), waiting=QUICK)
    run = await planned_run(session, prompt, steps=Interrupted)
    await run.render()
    (result,) = run.results()
    assert (result.status, result.job_id) == ("running", emulator.charges[-1]["job_id"])
    assert charges(emulator, prompt) == 1
