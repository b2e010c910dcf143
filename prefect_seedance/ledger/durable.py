"""Steps that must not be lost, whoever cancels the run and however long the store is down. Only a kill ends trying."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from prefect_seedance.errors import BadStore, LedgerUnreadable, Missing, StoreUnavailable
from prefect_seedance.ledger.ledger import RESCUE_AFTER, Ledger
from prefect_seedance.ledger.pauses import pauses
from prefect_seedance.ledger.record import Record
from prefect_seedance.ledger.rescue import keep_copy
from prefect_seedance.ledger.rules import History
from prefect_seedance.video.endings import content_type

T = TypeVar("T")

SENDERS = ThreadPoolExecutor(32, thread_name_prefix="send")

SLOW_UPLOAD = 2**20
"""Bytes a second: what an upload may take longer before the store counts as silent."""


class Upload:
    """A file on its way into a store that may send others of this process first."""

    last_turn = 0.0
    """When the newest of all of them began to be sent."""

    def __init__(self) -> None:
        self._asked = time.monotonic()
        self._turn: float | None = None

    def begin(self) -> None:
        self._turn = Upload.last_turn = time.monotonic()

    @property
    def silent_for(self) -> float:
        """Seconds since it was begun, or, as long as it waits for that, since another was."""
        return time.monotonic() - (self._turn or max(self._asked, Upload.last_turn))


async def run_to_completion(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run *work* on a loop of its own: once begun, no cancellation, SIGTERM or first Ctrl-C stops it.

    A cancellation goes on after it. Leaving it to its thread would not do: an interpreter that ends gives no new work
    to any thread, and its records need some.
    """
    running = SENDERS.submit(_run, work)
    cancelled: asyncio.CancelledError | None = None
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    running.add_done_callback(lambda _: loop.call_soon_threadsafe(ended.set))
    while not ended.is_set():
        try:
            await ended.wait()
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return running.result()


def _run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    with asyncio.Runner(loop_factory=_loop) as runner:
        return runner.run(work())


def _loop() -> asyncio.AbstractEventLoop:
    """A new loop, as soon as there are file descriptors for one."""
    for pause in pauses(0.1, 2.0):
        with contextlib.suppress(OSError):
            return asyncio.new_event_loop()
        time.sleep(pause)
    raise AssertionError("pauses have no end")


async def append_until_in(ledger: Ledger, record: Record, known: History | None = None) -> History:
    """Append a record that must not be lost, then take away the marker of what it closes.

    Raises `LedgerUnreadable` where the history can't be read; the record is then told and kept outside the store.
    """
    keeping = asyncio.create_task(ledger.append_until_in(record, known))
    cancelled: asyncio.CancelledError | None = None
    try:
        await asyncio.wait({keeping}, timeout=5)
    except asyncio.CancelledError as error:
        cancelled = error
    if keeping.done():
        history = await keeping
    else:  # cancelled, or the store is down: from here on only a kill may end it
        keeping.cancel()
        history = await run_to_completion(lambda: ledger.append_until_in(record, known))
    await _unmark(ledger, history)
    if cancelled is not None:
        raise cancelled
    return history


async def _unmark(ledger: Ledger, history: History) -> None:
    with contextlib.suppress(StoreUnavailable, BadStore):  # the collector removes what is left
        await ledger.unmark(history)


async def publish_and_append(ledger: Ledger, file: Path, path: str, record: Record, known: History) -> History:
    """Publish a verified file and the record that names it. While the store is down or silent, only a kill ends trying.

    What is known is told outside the store then, and the file kept there too, until both are in.
    """
    patience = RESCUE_AFTER + (await asyncio.to_thread(file.stat)).st_size / SLOW_UPLOAD
    upload, cancelled = Upload(), None
    putting = asyncio.ensure_future(ledger.store.put(file, path, content_type(path), on_turn=upload.begin))
    try:
        while not putting.done() and (left := patience - upload.silent_for) > 0:
            await asyncio.wait({putting}, timeout=left)
    except asyncio.CancelledError as error:
        if not putting.done():
            putting.cancel()
            raise
        cancelled = error
    why = putting.exception() if putting.done() else StoreUnavailable(f"it took no file for {patience:.0f} s.")
    if why is None:
        history = await append_until_in(ledger, record, known)
        if cancelled is not None:
            raise cancelled
        return history
    if not isinstance(why, StoreUnavailable | BadStore):
        raise why
    copy = keep_copy(file, Path(path).name)
    if copy is None:
        why = StoreUnavailable(f"{why} No copy of the clip could be kept either; it can be had while its link lives.")
    ledger.rescue(record, why, copy)
    cancelled = await _ended(putting) or cancelled
    is_in = putting.exception() is None
    history = await run_to_completion(lambda: _publish_until_in(ledger, file, path, record, known, copy, is_in=is_in))
    if cancelled is not None:
        raise cancelled
    return history


async def _ended(work: asyncio.Future[None]) -> asyncio.CancelledError | None:
    """Wait for the end of *work*, whoever cancels meanwhile; a cancellation is handed back to go on after it."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError as error:
            cancelled = error
    return cancelled


async def _publish_until_in(
    ledger: Ledger, file: Path, path: str, record: Record, known: History, copy: Path | None, *, is_in: bool
) -> History:
    for pause in pauses(0.5, 15.0):
        await asyncio.sleep(pause)
        try:
            # A file that is no more was moved into the store before its answer was lost.
            if not is_in and await asyncio.to_thread(file.exists):
                await ledger.store.put(file, path, content_type(path))
            # In this very thread: the others may all wait as well.
            history = await ledger.append_until_in(record, known)
            await _unmark(ledger, history)
            if copy is not None:
                await asyncio.to_thread(copy.unlink, missing_ok=True)
            return history
        except LedgerUnreadable:
            raise
        except (StoreUnavailable, BadStore, Missing):
            continue
    raise AssertionError("pauses have no end")
