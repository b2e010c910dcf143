"""Runs a flow so that Ctrl-C, SIGTERM and SIGHUP cancel it in good order.

On the main thread Prefect raises from a handler of its own for SIGTERM, wherever that thread just is, and a callback
can swallow that. On another thread it has no handler, so here every signal is a cancellation.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import httpx
from prefect.exceptions import PrefectException

from prefect_seedance.cli import terminal

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_stoppable(work: Coroutine[Any, Any, T]) -> T:
    """What *work* comes to in a thread of its own.

    The first signal cancels it; when it has ended, `SystemExit` carries 128 + the number of the signal. A Ctrl-C after
    another signal raises `KeyboardInterrupt` at once.
    """
    stopped_by: list[int] = []
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)
    outcome: Future[T] = Future()

    def stop(number: int) -> None:
        if stopped_by and number == signal.SIGINT:
            raise KeyboardInterrupt
        stopped_by.append(number)
        with suppress(RuntimeError):  # it has just ended by itself
            loop.call_soon_threadsafe(task.cancel)

    def to_its_end() -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: loop):
                result = loop.run_until_complete(task)
        except BaseException as error:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)

    with _handled_by(stop):
        threading.Thread(target=to_its_end, daemon=True).start()
        try:
            return outcome.result()
        except (asyncio.CancelledError, PrefectException, httpx.HTTPError):  # Prefect's server may be gone
            if not stopped_by:
                raise
            terminal.say(terminal.STOPPED)
            raise SystemExit(128 + stopped_by[0]) from None


@contextmanager
def _handled_by(stop: Callable[[int], None]) -> Iterator[None]:
    """*stop* in place of the handlers of `SIGNALS`, but of those that are ignored, as under nohup."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: stop(number))
    try:
        yield
    finally:
        for number in SIGNALS:
            signal.signal(number, before[number])
