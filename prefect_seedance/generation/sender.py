"""The sender: one loop in a thread of its own, where claims are paid for, out of reach of whoever asked for them.

A claim that has begun ends with its outcome written down, whatever happens to the run: nobody outside of the loop holds
its task, and its future can be cancelled only before it begins. The interpreter ends after it: the thread is no daemon
and is waited for first, while there still are threads that write records.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
Work = Callable[[], Coroutine[Any, Any, T]]

AT_ONCE = 64
"""Claims of one process between their record and their outcome. Runpod takes 200 submits of a user at once."""


class _Sender:
    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._places = asyncio.Semaphore(AT_ONCE)
        self._closing = asyncio.Event()
        self._asked: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="send")
        # Not `atexit`, which is later: by then no thread pool takes work, and a record could not be written.
        threading._register_atexit(self.join)  # type: ignore[attr-defined]
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs: not in a process that was forked from the one that began it."""
        return self._thread.is_alive()

    def ask(self, work: Work[T], outcome: Future[T]) -> None:
        """Do *work* as soon as there is a place; it has begun when *outcome* can't be cancelled any more."""
        self._loop.call_soon_threadsafe(self._enter, work, outcome, context=contextvars.Context())

    def _enter(self, work: Work[T], outcome: Future[T]) -> None:
        task = self._loop.create_task(self._settle(work, outcome))
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)

    async def _settle(self, work: Work[T], outcome: Future[T]) -> None:
        async with self._places:
            if self._closing.is_set():
                outcome.cancel()
            if not outcome.set_running_or_notify_cancel():
                return
            try:
                outcome.set_result(await work())
            except BaseException as error:  # whatever it is, who asked has to hear it
                outcome.set_exception(error)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._until_all_is_settled())

    async def _until_all_is_settled(self) -> None:
        await self._closing.wait()
        while self._asked:
            await asyncio.wait(self._asked)

    def join(self) -> None:
        if self.is_alive:
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join()


_beginning = threading.Lock()
_the_sender: _Sender | None = None


def _sender() -> _Sender:
    global _the_sender
    with _beginning:
        if _the_sender is None or not _the_sender.is_alive:
            _the_sender = _Sender()
        return _the_sender


def finish() -> None:
    """Return once the outcome of every claim that has begun is written down. No other may begin."""
    if _the_sender is not None:
        _the_sender.join()


async def settled(work: Work[T]) -> T:
    """What *work* comes to in the sender's loop: once begun, no cancellation, SIGTERM or first Ctrl-C stops it.

    A cancellation goes on after it; what still waits for one of `AT_ONCE` places is dropped at once.
    """
    loop, ended, outcome = asyncio.get_running_loop(), asyncio.Event(), Future[T]()

    def tell(_: Future[T]) -> None:
        with contextlib.suppress(RuntimeError):  # nobody waits any more: that loop is closed
            loop.call_soon_threadsafe(ended.set)

    outcome.add_done_callback(tell)
    _sender().ask(work, outcome)
    cancelled: asyncio.CancelledError | None = None
    while not ended.is_set():
        try:
            await ended.wait()
        except asyncio.CancelledError as error:
            if outcome.cancel():
                raise
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return outcome.result()
