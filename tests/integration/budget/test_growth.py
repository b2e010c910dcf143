"""What the months cost, in operations and bytes, does not grow with what is done; only with what is at hand."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

from prefect_seedance.budget.limits import Limits
from prefect_seedance.budget.months import KEYS_AT_ONCE, MonthlySpend
from prefect_seedance.budget.records import Totals, month_of
from prefect_seedance.budget.report import report_of
from prefect_seedance.errors import StoreUnavailable
from prefect_seedance.generation.collect import collect
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.generation.submit import submit
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Step, Writer
from prefect_seedance.ledger.rules import History
from prefect_seedance.ledger.writer import this_writer
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage.reads import READS_AT_ONCE
from prefect_seedance.storage.store import Store
from tests.support.counting import CountedStore
from tests.support.emulating import RunningEmulator
from tests.support.ledgers import stored_keys
from tests.support.one_clip import charges
from tests.support.renderer import QUICK, HookedStore, budget_of, small
from tests.support.virtual_time import VirtualTime

NOW = datetime.datetime.now(datetime.UTC)
PRICE = Decimal("0.123456")
MUCH = Limits(per_day=Decimal(1_000_000))
IN_A_FLOW = this_writer("4b3f8a52-7d1e-4a53-9b0c-0a4f6a7c1f2e")


def keys(run: int, number: int) -> dict[str, Decimal]:
    return {f"sd1-{run}-{n}": PRICE for n in range(number)}


def gone() -> Writer:
    """A process of this machine that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return this_writer().model_copy(update={"pid": process.pid, "started": "1"})


async def nothing_known(key: str) -> History:
    return History(key)


async def last_number(store: Store) -> int:
    last = await MonthlySpend(store).last(month_of(NOW))
    return last.number if last else 0


async def test_a_month_with_a_hundred_open_runs_of_a_thousand_keys_is_fifty_kilobytes(store: Store) -> None:
    spend = MonthlySpend(store)
    for run in range(100):
        await spend.reserve(keys(run, 1000), MUCH, IN_A_FLOW, NOW)
    newest = max(Path(store.url).glob("spending/2*/*.json"))
    assert newest.name == "00100.json"
    assert b"sd1-" not in newest.read_bytes()
    assert len(newest.read_bytes()) <= 50_000
    assert (await spend.usage(NOW)).month == Totals(reserved_usd=100_000 * PRICE)


def test_a_hundred_runs_that_reserve_at_once_all_end_after_few_operations(store: Store) -> None:
    counted = CountedStore(store)

    async def reserve() -> None:
        runs = [MonthlySpend(counted).reserve(keys(run, 10), MUCH, IN_A_FLOW, NOW) for run in range(100)]
        made = await asyncio.gather(*runs)
        assert counted.operations.total() <= 1500
        assert (await MonthlySpend(store).usage(NOW)).month == Totals(reserved_usd=1000 * PRICE)
        assert len(await MonthlySpend(store).open(NOW)) == len({one.id for one in made}) == 100

    with asyncio.Runner(loop_factory=VirtualTime) as runner:
        runner.run(reserve())


async def test_the_newest_of_thousands_of_steps_is_found_at_once_and_without_its_note(store: Store) -> None:
    made = await MonthlySpend(store).reserve(keys(0, 1), MUCH, IN_A_FLOW, NOW)
    folder = Path(store.url) / "spending" / month_of(NOW)
    first = (folder / "00001.json").read_text()
    for number in range(2, 301):
        (folder / f"{number:05d}.json").write_text(first.replace('"number": 1,', f'"number": {number},', 1))
    assert await MonthlySpend(store).extend(made, NOW)
    counted = CountedStore(store)
    assert await last_number(counted) == 301
    assert counted.operations.total() <= 3
    note = Path(store.url) / "spending" / "newest" / month_of(NOW)
    for wrong in ("7", "99999", "?"):
        note.write_text(wrong)
        assert await last_number(store) == 301
    note.unlink()
    assert await last_number(store) == 301


async def test_dead_runs_are_settled_several_in_one_step_and_read_in_portions(store: Store) -> None:
    spend, dead, each = MonthlySpend(store), gone(), 300
    runs = 2 * KEYS_AT_ONCE // each
    for run in range(runs):
        await spend.reserve(keys(run, each), MUCH, dead, NOW)
    reading, most = 0, 0

    async def load(key: str) -> History:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        await asyncio.sleep(0)
        reading -= 1
        return History(key)

    await MonthlySpend(store).release_ended(load)
    assert await spend.open(NOW) == []
    assert most <= READS_AT_ONCE
    assert await last_number(store) <= runs + 3
    assert (await spend.usage(NOW)).month == Totals()


async def test_what_was_read_of_a_run_stands_while_others_take_their_numbers(store: Store) -> None:
    mine = await MonthlySpend(store).reserve(keys(0, 50), MUCH, IN_A_FLOW, NOW)
    came: list[str] = []
    loaded: list[str] = []

    async def meanwhile(moment: str, path: str) -> None:
        if moment == "before create" and path.startswith("spending/2") and len(came) < 3:
            came.append(path)
            await MonthlySpend(store).reserve(keys(len(came), 1), MUCH, IN_A_FLOW, NOW)

    async def load(key: str) -> History:
        loaded.append(key)
        return History(key)

    await MonthlySpend(HookedStore(store, meanwhile)).reconcile(mine, load, NOW, by_its_run=True)
    assert len(came) == 3
    assert len(loaded) == 50
    assert (await MonthlySpend(store).usage(NOW)).month == Totals(reserved_usd=3 * PRICE)


async def test_what_was_read_of_a_run_is_read_again_when_a_step_about_it_came_first(store: Store) -> None:
    mine = await MonthlySpend(store).reserve(keys(0, 50), MUCH, IN_A_FLOW, NOW)
    came: list[str] = []
    loaded: list[str] = []

    async def meanwhile(moment: str, path: str) -> None:
        if moment == "before create" and path.startswith("spending/2") and not came:
            came.append(path)
            await MonthlySpend(store).extend(mine, NOW)

    async def load(key: str) -> History:
        loaded.append(key)
        return History(key)

    await MonthlySpend(HookedStore(store, meanwhile)).reconcile(mine, load, NOW, by_its_run=True)
    assert len(loaded) == 100
    assert (await MonthlySpend(store).usage(NOW)).month == Totals()


async def test_the_keys_of_a_reservation_are_there_before_the_month_says_that_it_is_open(store: Store) -> None:
    async def dies(moment: str, path: str) -> None:
        if moment == "before create" and path.startswith("spending/2"):
            raise asyncio.CancelledError

    with contextlib.suppress(asyncio.CancelledError):
        await MonthlySpend(HookedStore(store, dies)).reserve(keys(0, 5), MUCH, IN_A_FLOW, NOW)
    assert len(await store.names("spending/reservations")) == 1
    assert (await MonthlySpend(store).usage(NOW)).month == Totals()
    assert await MonthlySpend(store).open(NOW) == []


async def test_a_reservation_whose_keys_cannot_be_read_counts_in_full_and_keeps_no_other_from_being_settled(
    store: Store,
) -> None:
    spend, dead = MonthlySpend(store), gone()
    lost, damaged, whole = [await spend.reserve(keys(run, 2), MUCH, dead, NOW) for run in range(3)]
    folder = Path(store.url) / "spending" / "reservations"
    (folder / f"{lost.id}.json").unlink()
    (folder / f"{damaged.id}.json").write_text("{")
    await spend.release_ended(nothing_known)
    assert {entry.id for entry in await spend.open(NOW)} == {lost.id, damaged.id} != {whole.id}
    assert (await spend.usage(NOW)).month == Totals(reserved_usd=4 * PRICE)


async def test_a_collect_that_took_one_step_asks_little_however_much_is_stored(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    await stored_keys(store, runs=25, each=8)
    budget = budget_of(store, small(prompt), limits=MUCH)
    await budget.reserve()
    mine = RenderSession(client, Ledger(store), waiting=QUICK, budget=budget)
    assert (await submit(mine, small(prompt))).state is Step.ACCEPTED
    counted, patient = CountedStore(store), dataclasses.replace(QUICK, longest=30.0)
    found = None
    while not found or not found.of(Step.STORED):
        counted.clear()
        found = await collect(RenderSession(client, Ledger(counted), waiting=patient), MonthlySpend(counted))
    report = await report_of(counted)
    assert sum(day.count.stored for day in report.days) == 25 * 8 + 1
    assert report.missing == []
    assert counted.operations.total() <= 30, "\n".join(counted.asked)
    assert charges(emulator, prompt) == 1


async def test_a_collect_gives_back_what_was_reserved_in_months_long_past_and_asks_a_few_times_for_each(
    store: Store, client: RunpodClient
) -> None:
    ended, dead = [NOW - datetime.timedelta(days=31 * n) for n in range(3, 13)], gone()
    for at in ended:
        await MonthlySpend(store).reserve(keys(0, 2), MUCH, dead, at)
    spoilt = Path(store.url) / "spending" / month_of(ended[-1]) / "00001.json"
    spoilt.write_text("{")
    await collect(RenderSession(client, Ledger(store), waiting=QUICK), MonthlySpend(store))
    assert [(await MonthlySpend(store).usage(at)).month for at in ended[:-1]] == [Totals()] * 9
    counted = CountedStore(store)
    found = await collect(RenderSession(client, Ledger(counted), waiting=QUICK), MonthlySpend(counted))
    assert found.unreadable == {}
    assert counted.operations.total() <= 10 + 3 * len(ended), "\n".join(counted.asked)


async def test_a_note_that_can_not_be_written_keeps_nobody_from_reserving(store: Store) -> None:
    async def failing(moment: str, path: str) -> None:
        if moment == "before write":
            raise StoreUnavailable("the store answers 503.")

    await MonthlySpend(HookedStore(store, failing)).reserve(keys(0, 2), MUCH, IN_A_FLOW, NOW)
    assert (await MonthlySpend(store).usage(NOW)).month == Totals(reserved_usd=2 * PRICE)
