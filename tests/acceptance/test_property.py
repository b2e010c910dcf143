"""Random lives of a few keys: several actors, a store that fails and lies, an API that misbehaves, people, crashes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import itertools
import os
import tempfile
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.errors import BadInput, SeedanceError, StoreUnavailable, Taken
from prefect_seedance.generation.collect import collect
from prefect_seedance.generation.resolve import settle
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.ledger import Ledger, record_path
from prefect_seedance.ledger.record import Record, RefusalReason, Step, Writer, next_step
from prefect_seedance.ledger.rules import History
from prefect_seedance.ledger.writer import this_writer
from prefect_seedance.models import Request
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage import open_store
from tests.support.emulating import RunningEmulator
from tests.support.generating import generate
from tests.support.renderer import API_KEY, QUICK, HookedClient, HookedStore, Moment, small

pytestmark = pytest.mark.slow

WAITING = dataclasses.replace(QUICK, first=0.03, grace=0.1)
ENDS = {Step.STORED, Step.LOST, Step.FAILED, Step.REFUSED, Step.UNCLEAR}
API_FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("run", {"fault": "drop_after"}),
    ("run", {"fault": "drop"}),
    ("run", {"fault": "status", "code": 500}),
    ("run", {"fault": "status", "code": 429, "retry_after": 0}),
    ("run", {"fault": "status", "code": 400}),
    ("run", {"fault": "no_id"}),
    ("run", {"fault": "failed"}),
    ("run", {"fault": "failed", "cost": 0.04}),
    ("run", {"fault": "cancelled"}),
    ("run", {"fault": "moderated"}),
    ("status", {"fault": "purged"}),
    ("status", {"fault": "hidden"}),
    ("media", {"fault": "corrupt", "times": 3}),
    ("media", {"fault": "short"}),
]
STORE_FAULTS = ["fails before", "fails after", "taken though ours", "crash before", "crash after"]

store_faults = st.lists(st.tuples(st.integers(1, 24), st.sampled_from(STORE_FAULTS)), max_size=2)
api_faults = st.sampled_from([None, *API_FAULTS])
prompts = st.integers(0, 1)


class Crash(BaseException):
    """The actor is no more. Not an Exception, since nothing survives a kill."""


class Trouble:
    """What befalls one actor: at which of its moments the store fails or lies, or the actor dies."""

    def __init__(self, faults: list[tuple[int, str]]) -> None:
        self.faults = dict(faults)
        self.operations = 0
        self.dead = False

    async def __call__(self, moment: str, path: str) -> None:
        when, kind = moment.split()
        self.operations += when == "before"
        fault = self.faults.get(self.operations, "")
        if fault == f"crash {when}":
            self.dead = True
        if self.dead:
            raise Crash
        if kind in ("submit", "status", "download"):
            return
        if fault == f"fails {when}":
            del self.faults[self.operations]
            raise StoreUnavailable(f"{path} may be there or not.")
        if fault == "taken though ours" and moment == "after create":
            raise Taken(f"{path} exists already.")


async def as_usual(session: RenderSession, request: Request) -> None:
    """Nothing comes before a render."""


def gone() -> Writer:
    """A process that always passes for gone, so that its claims grow old at once, even too early."""
    return this_writer().model_copy(update={"started": "long ago"})


class Lives(RuleBasedStateMachine):
    """Two keys and whoever cares for them."""

    emulator: ClassVar[RunningEmulator]
    before: ClassVar[Any] = staticmethod(as_usual)
    hooked: ClassVar[type[HookedStore]] = HookedStore
    numbers: ClassVar[Iterator[int]] = itertools.count()
    met: ClassVar[Counter[Step]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.emulator.clear_faults()
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.store = open_store(self.folder.name)
        self.ledger = Ledger(self.store)
        number = next(self.numbers)
        self.prompts = [f"life {number}, key {name}." for name in "ab"]
        self.seen: dict[Path, bytes] = {}

    @rule(which=prompts, on_disk=store_faults, at_api=api_faults, retries=st.integers(0, 1))
    def render(
        self, which: int, on_disk: list[tuple[int, str]], at_api: tuple[str, dict[str, Any]] | None, retries: int
    ) -> None:
        self.misbehave(which, at_api)
        self.live(self.generate(which, on_disk, retries))

    @rule(which=prompts, on_disk=store_faults, elsewhere=store_faults, at_api=api_faults)
    def render_twice_at_once(
        self,
        which: int,
        on_disk: list[tuple[int, str]],
        elsewhere: list[tuple[int, str]],
        at_api: tuple[str, dict[str, Any]] | None,
    ) -> None:
        self.misbehave(which, at_api)
        self.live(self.generate(which, on_disk, 0), self.generate(which, elsewhere, 0))

    @rule(on_disk=store_faults)
    def bring_home(self, on_disk: list[tuple[int, str]]) -> None:
        self.live(self.collect(on_disk))

    @rule(which=prompts, on_disk=store_faults, knows_id=st.booleans())
    def settle_truthfully(self, which: int, on_disk: list[tuple[int, str]], knows_id: bool) -> None:
        self.live(self.settle(which, on_disk, knows_id))

    def misbehave(self, which: int, fault: tuple[str, dict[str, Any]] | None) -> None:
        if fault is not None:
            self.emulator.fault(fault[0], **fault[1], prompt=self.prompts[which])

    def live(self, *doings: Coroutine[Any, Any, None]) -> None:
        """Each actor does its thing, until it ends, gives up or dies."""

        async def one(doing: Coroutine[Any, Any, None]) -> None:
            with contextlib.suppress(SeedanceError, Crash):
                await doing

        async def all_of_them() -> None:
            await asyncio.gather(*map(one, doings))

        asyncio.run(all_of_them())

    def actors(self, trouble: Moment) -> tuple[HookedClient, Ledger]:
        return HookedClient(Account(API_KEY, self.emulator.base_url), trouble), Ledger(self.hooked(self.store, trouble))

    async def generate(self, which: int, on_disk: list[tuple[int, str]], retries: int) -> None:
        client, ledger = self.actors(Trouble(on_disk))
        async with client:
            session = RenderSession(client, ledger, waiting=WAITING, retry_failed=retries, writer=gone())
            await self.before(session, small(self.prompts[which]))
            await generate(session, small(self.prompts[which]))

    async def collect(self, on_disk: list[tuple[int, str]]) -> None:
        client, ledger = self.actors(Trouble(on_disk))
        async with client:
            await collect(RenderSession(client, ledger, waiting=WAITING, writer=gone()), MonthlySpend(ledger.store))

    async def settle(self, which: int, on_disk: list[tuple[int, str]], knows_id: bool) -> None:
        history = await self.ledger.load(key_of(small(self.prompts[which])))
        last = history.last
        if last is None or last.step is not Step.UNCLEAR:
            return
        client, ledger = self.actors(Trouble(on_disk))
        handle = f"{history.key}@{last.number}"
        unnamed = [job for job in self.jobs(which) if not history.names_job(job)]
        if unnamed and knows_id:
            async with RunpodClient(client.account) as plain:
                with contextlib.suppress(BadInput):  # forgotten by the API
                    await settle(ledger, handle, "job id", job_id=unnamed[0], client=plain)
        elif unnamed:
            await settle(ledger, handle, "charged")
        else:
            claim = next(r for r in reversed(history.records) if r.step is Step.CLAIMED)
            file, then = Path(self.folder.name) / record_path(claim.key, claim.number), time.time() - 7200
            os.utime(file, (then, then))
            await settle(ledger, handle, "not charged")

    def jobs(self, which: int) -> list[str]:
        """The jobs that were charged for a key."""
        return [c["job_id"] for c in self.emulator.charges if c["prompt"] == self.prompts[which]]

    @invariant()
    def no_key_is_charged_twice_and_no_charge_is_forgotten(self) -> None:
        for which, prompt in enumerate(self.prompts):
            charged = self.jobs(which)
            assert len(charged) <= 1, f"charged twice: {charged}"
            history = asyncio.run(self.ledger.load(key_of(small(prompt))))
            for job in charged:
                by_person = history.last is not None and history.last.kind == "settled"
                assert (
                    history.names_job(job)
                    or history.state in (Step.CLAIMED, Step.UNCLEAR)
                    or (by_person and history.state is Step.LOST)
                ), f"nobody knows of {job}: {[record.step for record in history.records]}"

    @invariant()
    def no_record_ever_changes_and_every_step_is_legal(self) -> None:
        files = sorted(Path(self.folder.name).glob("ledger/*/*.json"))
        for file in files:
            assert self.seen.setdefault(file, file.read_bytes()) == file.read_bytes()
        for _, group in itertools.groupby(files, key=lambda file: file.parent):
            records = [Record.model_validate_json(file.read_bytes()) for file in group]
            for number, record in enumerate(records):
                before = History(record.key, tuple(records[:number]))
                assert record.step is Step.STRAY or before.allows(record.step, record.claim_id)

    @invariant()
    def what_is_stored_is_there(self) -> None:
        for prompt in self.prompts:
            last = asyncio.run(self.ledger.load(key_of(small(prompt)))).last
            if last is not None and last.clip is not None:
                clip = Path(self.folder.name) / last.clip
                assert hashlib.sha256(clip.read_bytes()).hexdigest() == last.sha256
                assert clip.stat().st_size == last.bytes

    def teardown(self) -> None:
        """Left in peace, everything comes to an end: collected, settled truthfully, nothing open."""
        self.emulator.clear_faults()
        with self.folder:
            if any(len(self.jobs(which)) > 1 for which in (0, 1)):
                return  # an invariant has told it
            for which in (0, 1):
                self.live(self.collect([]))
                self.live(self.settle(which, [], knows_id=True))
                self.live(self.settle(which, [], knows_id=False))
            self.live(self.collect([]))
            for prompt in self.prompts:
                history = asyncio.run(self.ledger.load(key_of(small(prompt))))
                assert history.state is None or history.state in ENDS, history.state
            self.met.update(Record.model_validate_json(content).step for content in self.seen.values())
            assert asyncio.run(self.ledger.markers()) == []
            self.no_key_is_charged_twice_and_no_charge_is_forgotten()
            self.what_is_stored_is_there()


@pytest.fixture(scope="module", autouse=True)
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    state = os.environ["XDG_STATE_HOME"]
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("rescued"))
    with RunningEmulator.start(speed=50, latency=0.2) as Lives.emulator:
        yield
    os.environ["XDG_STATE_HOME"] = state


def lives(examples: int, steps: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )


def test_whatever_happens_no_key_is_charged_twice_and_no_charge_is_forgotten() -> None:
    Lives.met.clear()
    run_state_machine_as_test(Lives, settings=lives(45, 8))
    assert set(Lives.met) >= set(Step) - {Step.STRAY}, "lives in which little happened prove little"


async def calls_unclear_refused(session: RenderSession, request: Request) -> None:
    """As if a submission without an answer had surely not arrived."""
    last = (await session.ledger.load(key_of(request))).last
    if last is not None and last.step is Step.UNCLEAR:
        await session.append(next_step(last, Step.REFUSED, kind=RefusalReason.BUSY))


class Overwriting(HookedStore):
    """Lets a second writer replace what the first created."""

    async def create(self, path: str, content: bytes) -> None:
        await self.moment("before create", path)
        await self.inner.write(path, content)
        await self.moment("after create", path)


class Accounts(Lives):
    """Keeps account of who was charged twice and goes on: a life that is told again may go otherwise."""

    charged_twice: ClassVar[list[str]]
    no_record_ever_changes_and_every_step_is_legal = None  # type: ignore[assignment]
    what_is_stored_is_there = None  # type: ignore[assignment]

    def live(self, *doings: Coroutine[Any, Any, None]) -> None:
        if not self.charged_twice:
            super().live(*doings)
        for doing in doings:
            doing.close()

    @invariant()
    def no_key_is_charged_twice_and_no_charge_is_forgotten(self) -> None:
        self.charged_twice.extend(prompt for which, prompt in enumerate(self.prompts) if len(self.jobs(which)) > 1)

    def teardown(self) -> None:
        self.folder.cleanup()


@pytest.mark.parametrize(
    "broken",
    [{"before": staticmethod(calls_unclear_refused)}, {"hooked": Overwriting}],
    ids=["unclear is refused", "no exclusion"],
)
def test_the_same_lives_show_what_is_broken(broken: dict[str, Any]) -> None:
    machine = type("BrokenLives", (Accounts,), broken | {"charged_twice": []})
    run_state_machine_as_test(machine, settings=lives(120, 12))
    assert machine.charged_twice  # type: ignore[attr-defined]
