"""Steps that must not be lost, whoever cancels the run and however long the store is down. Only a kill ends trying."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from prefect_seedance.errors import BadStore, StoreUnavailable
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Record
from prefect_seedance.ledger.rescue import rescue
from prefect_seedance.ledger.rules import History

T = TypeVar("T")

SENDERS = ThreadPoolExecutor(32, thread_name_prefix="send")


async def to_the_end(work: Callable[[], Coroutine[Any, Any, T]], *, paid: bool = True) -> T:
    """Run *work* on a loop of its own: once begun, no cancellation, SIGTERM or first Ctrl-C stops it.

    A cancellation goes on after it; only what is queued and has not *paid* yet is dropped. Leaving it to its thread
    would not do: an interpreter that ends gives no new work to any thread, and its records need some.
    """
    running = SENDERS.submit(lambda: asyncio.run(work()))
    cancelled: asyncio.CancelledError | None = None
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    running.add_done_callback(lambda _: loop.call_soon_threadsafe(ended.set))
    while not ended.is_set():
        try:
            await ended.wait()
        except asyncio.CancelledError as error:
            if not paid and running.cancel():
                raise
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return running.result()


async def keep(ledger: Ledger, record: Record, known: History | None = None) -> History:
    """Append a record that must not be lost, then take away the marker of what it closes."""
    keeping = asyncio.create_task(ledger.keep(record, known))
    done, _ = await asyncio.wait({keeping}, timeout=5)
    if done:
        history = await keeping
    else:  # the store is down: from here on only a kill may end it
        keeping.cancel()
        history = await to_the_end(lambda: ledger.keep(record))
    with contextlib.suppress(StoreUnavailable, BadStore):
        await ledger.unmark(history)
    return history


async def put_and_keep(ledger: Ledger, file: Path, path: str, record: Record, known: History) -> History:
    """Publish a verified file and the record that names it. While the store is down, only a kill ends trying."""
    try:
        await ledger.store.put(file, path, "video/mp4")
    except (StoreUnavailable, BadStore) as error:
        rescue(record, error, ledger.store.url, file=str(file))
        return await to_the_end(lambda: _put_and_keep_until_in(ledger, file, path, record))
    return await keep(ledger, record, known)


async def _put_and_keep_until_in(ledger: Ledger, file: Path, path: str, record: Record) -> History:
    pause = 0.5
    while True:
        await asyncio.sleep(pause)
        pause = min(pause * 2, 15.0)
        with contextlib.suppress(StoreUnavailable, BadStore):
            if await asyncio.to_thread(file.exists):  # else it was moved into the store before its answer was lost
                await ledger.store.put(file, path, "video/mp4")
            return await keep(ledger, record)
