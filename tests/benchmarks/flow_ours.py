"""The flow of the scale benchmark: `storyboard_to_shots` over a board of many shots."""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import sys
import time
from pathlib import Path

from prefect_seedance import Defaults, RunpodCredentials, ShotSpec, Storyboard, VideoStore, storyboard_to_shots
from prefect_seedance.orchestration.logs import TERMINAL
from tests.benchmarks.counting import Lags, PrefectCalls, StoreRequests

AT_ONCE = 1000
"""The most there may be in flight."""


class Ends(logging.Handler):
    """When the last shot ended: the film and the page come after."""

    def __init__(self) -> None:
        super().__init__()
        self.last = time.perf_counter()
        TERMINAL.setLevel(logging.INFO)
        TERMINAL.propagate = False
        TERMINAL.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.last = time.perf_counter()


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(count: int, store: str, latency: float) -> None:
    shots = tuple(ShotSpec(id=f"shot-{n}", prompt=f"Scene {n}.") for n in range(count))
    board = Storyboard(title="Scale", defaults=Defaults(size="854x480", duration=5), shots=shots)
    import av  # noqa: F401 - so that it counts as idle

    calls, requests, ends, lags = PrefectCalls(), StoreRequests(), Ends(), Lags()
    idle, begun = megabytes(), time.perf_counter()
    account, max_in_flight = RunpodCredentials.from_environment(), min(count, AT_ONCE)
    manifest = asyncio.run(storyboard_to_shots(board, account, VideoStore(url=store), max_in_flight=max_in_flight))
    figures = {
        "begun": time.time() - (time.perf_counter() - begun),
        "prefect_calls": calls.count,
        "store_requests": requests.count,
        "last_clip": ends.last - begun,
        "seconds": time.perf_counter() - begun,
        "megabytes": megabytes() - idle,
        "stored": sum(shot.status == "stored" for shot in manifest.shots),
        "lags": lags.medians(Path(store), latency),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
