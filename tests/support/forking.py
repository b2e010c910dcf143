"""Renderings in processes of their own, forked from one that has imported everything, and what was charged."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from threading import Barrier
from typing import Any

from prefect_seedance.storage import open_store
from tests.support.emulating import RunningEmulator
from tests.support.renderer import Killer, Rendering

PRELOADED = [f"prefect_seedance.{name}" for name in ("generation.collect", "storage.local", "storage.s3")]

Faults = list[dict[str, Any]]


def in_child(
    gate: Barrier,
    say: Connection,
    rendering: Rendering,
    base_url: str,
    store_url: str,
    environment: dict[str, str],
    prompt: str,
    die_at: str | None = None,
) -> None:
    """What a forked process does: one rendering, whose account goes to whoever listens."""
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    async def one() -> None:
        store = open_store(store_url)
        try:
            say.send(await rendering(base_url, store, prompt, Killer(die_at)))
        finally:
            await store.aclose()

    gate.wait(60)
    asyncio.run(one())


@dataclass
class Tally:
    """What all the killing came to."""

    runs: int = 0
    kills: int = 0
    keys: int = 0
    charges: int = 0
    double_charges: int = 0
    unclear: int = 0
    stored: int = 0
    failures: list[str] = field(default_factory=list)


@dataclass
class Ended:
    """How a process ended, and what it said."""

    exit_code: int
    said: dict[str, Any] | None

    @property
    def killed(self) -> bool:
        """Killed, as far as the fork server could see: it says 255 where the status of a child got lost on the way."""
        return self.exit_code in (-signal.SIGKILL, 255)


class Harness:
    """Runs renderings in processes of their own, forked from one that has imported everything, which is quick."""

    def __init__(self, emulator: RunningEmulator, rendering: Rendering, environment: dict[str, str]) -> None:
        self.emulator, self.rendering, self.environment = emulator, rendering, environment
        self.tally = Tally()
        self._forking = multiprocessing.get_context("forkserver")
        self._forking.set_forkserver_preload(PRELOADED)

    def process(self, store_url: str, prompt: str, *moment: str) -> Ended:
        """One rendering in a process of its own, killed at the moment if one is named."""
        return self.together(store_url, [(self.rendering, prompt, *moment)])[0]

    def together(self, store_url: str, renderings: list[tuple[Any, ...]]) -> list[Ended]:
        """Renderings in processes of their own that begin at the same moment: (what, its prompt, moment to die at)."""
        gate = self._forking.Barrier(len(renderings))
        where = (self.emulator.base_url, store_url, self.environment)
        begun = [self._begin(gate, rendering, where, words) for rendering, *words in renderings]
        return [self._end(process, hear) for process, hear in begun]

    def _begin(
        self, gate: Barrier, rendering: Rendering, where: tuple[Any, ...], words: list[str]
    ) -> tuple[BaseProcess, Connection]:
        hear, say = self._forking.Pipe(duplex=False)
        process = self._forking.Process(target=in_child, args=(gate, say, rendering, *where, *words))
        process.start()
        say.close()
        return process, hear

    def _end(self, process: BaseProcess, hear: Connection) -> Ended:
        try:
            said = hear.recv()
        except EOFError:
            said = None
        process.join()
        self.tally.runs += 1
        ended = Ended(process.exitcode or 0, said)
        self.tally.kills += ended.killed
        return ended

    def bill(self, prompt: str) -> list[str]:
        """The jobs that were charged for *prompt*."""
        return [charge["job_id"] for charge in self.emulator.charges if charge["prompt"] == prompt]

    def told(self, prompt: str, faults: Faults) -> None:
        for fault in faults:
            self.emulator.fault(**fault, prompt=prompt)

    def moments(self, store_url: str, prompt: str, faults: Faults) -> list[str]:
        """Every moment that an unharmed rendering comes by."""
        self.told(prompt, faults)
        said = self.process(store_url, prompt).said
        assert said is not None, prompt
        return [f"{kind} {n}" for kind, times in said["passed"].items() for n in range(1, times + 1)]

    def count(self, prompt: str) -> None:
        charged = len(self.bill(prompt))
        self.tally.keys += 1
        self.tally.charges += charged
        self.tally.double_charges += max(0, charged - 1)
