"""Operations and bytes that must not grow with what is done: of a store with many stored keys and many runs."""

from __future__ import annotations

import asyncio
import datetime
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from pathlib import Path

from prefect_seedance.budget.limits import Limits
from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.budget.report import report_of
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.writer import this_writer
from prefect_seedance.storage import open_store
from prefect_seedance.storage.store import Store
from tests.support.counting import CountedStore
from tests.support.ledgers import stored_keys

MUCH = Limits(per_day=Decimal(10**6))
NOW = datetime.datetime.now(datetime.UTC)
WRITER = this_writer("4b3f8a52-7d1e-4a53-9b0c-0a4f6a7c1f2e")

Measure = Callable[[Store, int], Awaitable[str]]


def run() -> Iterator[str]:
    for stored in (100, 1_000, 10_000):
        yield asyncio.run(_in_a_store(_report, stored))
    yield asyncio.run(_in_a_store(_month, 100))
    for writers in (20, 100, 300):
        yield asyncio.run(_in_a_store(_at_once, writers))


async def _in_a_store(measure: Measure, size: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return await measure(open_store(folder), size)


async def _report(store: Store, stored: int) -> str:
    keys = await stored_keys(store, runs=stored // 100, each=100)
    counted = CountedStore(store)
    await report_of(counted)
    report = counted.operations.total()
    await Ledger(counted).load(keys[0])
    return f"{stored:>6} stored keys: report {report} operations, reuse of one {counted.operations.total() - report}"


async def _month(store: Store, runs: int) -> str:
    for number in range(runs):
        await _reserve(store, number, 1000)
    size = max(Path(store.url).glob("spending/2*/*.json")).stat().st_size
    return f"month record at {runs} open runs of 1,000 keys: {size / 1000:.0f} kB"


async def _at_once(store: Store, writers: int) -> str:
    counted = CountedStore(store)
    await asyncio.gather(*(_reserve(counted, number, 100) for number in range(writers)))
    return f"{writers} runs that reserve at once: {counted.operations.total():,} operations, all end"


async def _reserve(store: Store, number: int, keys: int) -> None:
    prices = {f"sd1-{number}-{key}": Decimal("0.12") for key in range(keys)}
    await MonthlySpend(store).reserve(prices, MUCH, WRITER, NOW)
