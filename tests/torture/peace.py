"""What comes after a storm: clean renders, collectors, and a person who knows the truth, until nothing is out."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from prefect_seedance.storage.store import Store
from tests.torture.books import OUT, Files
from tests.torture.storm import Counts, in_peace
from tests.torture.trouble import LONGEST_SECONDS
from tests.torture.worker import SCALED, Place, Task

PATIENCE_SECONDS = 240.0
"""Far more than any of it takes: who is not through by then never ends."""


def make_peace(place: Place, store: Store, prompts: list[str], per_day: str | None, counts: Counts) -> list[str]:
    """Bring everything to its end, each actor in a process of its own; the kinds of those that never ended."""
    time.sleep(LONGEST_SECONDS)
    size = 2 if per_day else len(prompts)  # under a limit perhaps only some boards fit
    boards = [tuple(prompts[n : n + size]) for n in range(0, len(prompts), size)]
    rounds = [
        [
            Task("collect", peace=True),
            *(Task(kind, board, per_day, peace=True) for board in boards),
            Task("person", peace=True),
        ]
        for kind in ("render", "render_scaled")
    ]
    rounds += [[Task("collect", peace=True)]] * 6
    endless = []
    for number, tasks in enumerate(rounds):
        endless += [task.kind for task in tasks if not in_peace(place, task, counts, PATIENCE_SECONDS)]
        if number >= 2 and not asyncio.run(something_is_out(store)):
            break
        time.sleep(SCALED.grace + 1)
    return endless


async def something_is_out(store: Store) -> bool:
    files = await Files.of(store)
    last = [[record for record in records if record["step"] != "stray"][-1:] for records in files.keys.values()]
    return any(record["step"] in OUT for records in last for record in records)


def left_by_the_dead(log: Path) -> list[str]:
    """What processes said that nobody had foreseen."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return [part.strip() for part in text.split("UNFORESEEN")[1:]]
