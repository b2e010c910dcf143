"""Who lives, stops and dies when: several processes at once, killed and suspended at random moments."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess

from tests.torture.worker import UNFORESEEN, Place, Task, live

FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(["tests.torture.worker"])
KILLED = (-signal.SIGKILL, 255)
"""Exit codes; the fork server says 255 where the status of a child got lost on the way."""
LOOK_EVERY = 0.01


@dataclass
class Counts:
    """What happened to the processes."""

    processes: int = 0
    kills: int = 0
    stops: int = 0
    terms: int = 0
    unforeseen: int = 0
    kinds: dict[str, int] = field(default_factory=dict)


class Life:
    """One process, and when it is stopped and killed: by time, or shortly after a step. Some get a SIGTERM first."""

    def __init__(self, place: Place, task: Task, chance: random.Random, *, mortal: bool) -> None:
        self.task = task
        self._hear, say = FORKING.Pipe(duplex=False)
        self.process: BaseProcess = FORKING.Process(target=live, args=(place, task, say), daemon=True)
        self.process.start()
        say.close()
        self.born = time.monotonic()
        self.steps = 0
        self.stopped = self.told_to_end = self.was_killed = False
        self.dies_after_steps = chance.choice((1, 1, 2, 3, 4, 6, 9)) if chance.random() < 0.5 else None
        self.dies_at = self.born + 0.05 * 200 ** chance.random() if mortal else float("inf")
        self._linger = chance.choice((0, chance.uniform(0, 0.05), chance.uniform(0, 0.5)))
        self.mortal = mortal
        self.warned_before = chance.uniform(0, 3) if chance.random() < 0.2 else 0.0
        begins = self.born + 0.05 * 100 ** chance.random()
        self.stop_at, self.go_on_at = begins, begins + 0.5 * 28 ** chance.random()
        self.will_stop = chance.random() < 0.3

    @property
    def over(self) -> bool:
        return not self.process.is_alive()

    def look(self, now: float) -> None:
        """Do to it what is due."""
        self._listen(now)
        if self.will_stop and not self.stopped and self.stop_at <= now < self.go_on_at:
            self.signal(signal.SIGSTOP)
            self.stopped = True
        if self.stopped and now >= self.go_on_at:
            self.signal(signal.SIGCONT)
            self.will_stop = False
        if now >= self.dies_at and self.warned_before and not self.told_to_end:
            self.told_to_end = True
            self.dies_at = now + self.warned_before
            self.signal(signal.SIGTERM)
        if now >= self.dies_at and not self.was_killed:
            self.was_killed = True
            self.signal(signal.SIGKILL)

    def _listen(self, now: float) -> None:
        try:
            while self._hear.poll():
                self._hear.recv()
                self.steps += 1
                if self.mortal and self.steps == self.dies_after_steps:
                    self.dies_at = min(self.dies_at, now + self._linger)
        except (EOFError, OSError):
            pass

    def signal(self, number: signal.Signals) -> None:
        if self.process.is_alive() and self.process.pid is not None:
            with suppress(ProcessLookupError):  # it has ended a moment ago
                os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.was_killed = True
        self.signal(signal.SIGKILL)

    def close(self, counts: Counts) -> int | None:
        """Count an ended life and let go of it; its exit code."""
        self.process.join(30)
        code = self.process.exitcode
        counts.processes += 1
        counts.kills += self.was_killed and code in KILLED
        counts.stops += self.stopped
        counts.terms += self.told_to_end
        counts.unforeseen += code == UNFORESEEN
        counts.kinds[self.task.kind] = counts.kinds.get(self.task.kind, 0) + 1
        self._hear.close()
        self.process.close()
        return code


def storm(
    place: Place,
    tasks: Iterator[Task],
    chance: random.Random,
    counts: Counts,
    *,
    kills: int,
    at_once: int = 4,
    look: Callable[[], None] = lambda: None,
    seconds: float = 240,
) -> None:
    """Let processes live until so many were killed, then kill the rest. *look* is called about twice a second."""
    lives: list[Life] = []
    wanted, ends, looked = counts.kills + kills, time.monotonic() + seconds, time.monotonic()
    try:
        while counts.kills < wanted and time.monotonic() < ends:
            while len(lives) < at_once:
                lives.append(Life(place, next(tasks), chance, mortal=chance.random() < 0.9))
            time.sleep(LOOK_EVERY)
            now = time.monotonic()
            for life in lives:
                life.look(now)
            for life in [life for life in lives if life.over]:
                lives.remove(life)
                life.close(counts)
            if now - looked > 0.5:
                look()
                looked = now
    finally:
        for life in lives:
            life.kill()
        for life in lives:
            life.close(counts)


def in_peace(place: Place, task: Task, counts: Counts, seconds: float) -> bool:
    """Let one process live to its end; False if it does not come to one within *seconds*."""
    life = Life(place, task, random.Random(0), mortal=False)
    life.process.join(seconds)
    if ended := life.over:
        life.close(counts)
    else:
        life.kill()
        life.close(counts)
    return ended
