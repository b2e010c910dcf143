"""Campaigns of ROWS rows on 1, 2 and 4 workers that each render one shard at a time: what a clip costs, and where.

For each number of workers a site of its own. In the middle a worker is killed with its shard and a new one comes, then
the campaign's run is killed and begun again. Before and after it a small campaign in the same store says what grows
with history. By environment: ROWS, CLIP, WORKERS, LATENCY (seconds of a job), SHARD (clips), IN_FLIGHT (of a worker).
The table is printed again after each number of workers, with what there is.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.benchmarks import ordinary
from tests.benchmarks.campaign_site import LATENCY, Site, site

ROWS = int(os.environ.get("ROWS", "10000"))
WORKERS = [int(word) for word in os.environ.get("WORKERS", "1 2 4").split()]
SHARD = int(os.environ.get("SHARD", "0")) or min(200, max(10, ROWS // 8))
CLIP = os.environ.get("CLIP", "noisy")
"""Or `calm`, see `ordinary.of_kind`."""
IN_FLIGHT = int(os.environ.get("IN_FLIGHT", "100"))
SMALL = max(10, ROWS // 20)
"""Rows of the campaigns before and after."""
FLUSHED = 8.0
"""Seconds after which Prefect has written its events."""
MOST_STARTS = 6
BOARD = """
title: Mugs
defaults: {size: 854x480, duration: 5}
shots:
  - {id: turn, prompt: "A {product} turns."}
"""
OURS = ("parent", "worker", "shard run", "decoders", "Prefect server", "PostgreSQL")
STAND_INS = ("S3 server", "emulator")

Column = dict[str, str]


def run() -> Iterator[str]:
    os.environ.setdefault("MOTO_S3_DEFAULT_KEY_BUFFER_SIZE", "65536")  # so that clips are not in its memory
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    columns: dict[str, Column] = {}
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)  # PostgreSQL is another user
        card = ordinary.of_kind(CLIP, Path(name) / "card.mp4")
        yield f"{ROWS} rows, shards of {SHARD}, jobs of {LATENCY:.0f} s, clips of {card.stat().st_size / 1e6:.1f} MB"
        for workers in WORKERS:
            column = columns[f"{workers} worker{'s' * (workers > 1)}"] = {}
            ended: BaseException | None = None
            try:
                with site(Path(name) / f"{workers}", card) as place:
                    yield from _measure(place, workers, column, wrong)
            except (KeyboardInterrupt, Exception) as error:
                ended = error
                wrong.append(f"!!! {workers} workers: {type(error).__name__}: {error}")
                column["not measured to its end"] = f"**{type(error).__name__}**"
            yield from _table(columns)
            if isinstance(ended, KeyboardInterrupt) or isinstance(
                getattr(ended, "__context__", None), KeyboardInterrupt
            ):
                break
    if wrong:
        raise SystemExit("\n".join(wrong))


def _measure(place: Site, workers: int, column: Column, wrong: list[str]) -> Iterator[str]:
    for _ in range(workers):
        place.start_worker()
    yield f"-- {workers}: a site stands; a campaign of {SMALL} rows in an empty store"
    _small(place, workers, "before", column)
    before, asked, rows = place.costs.seconds(), place.requests(), place.rows_of_prefect()
    campaign = _Campaign(place, workers, "large", ROWS)
    try:
        yield from campaign.render_with_kills()
    finally:
        campaign.tell(column)
        _costs(place, before, column, campaign.submitted)
        _per_clip(column, place.requests() - asked, max(1, campaign.submitted))
    time.sleep(FLUSHED)
    _prefect(column, place.rows_of_prefect() - rows)
    _sizes(column, place.objects())
    yield f"-- {workers}: a campaign of {SMALL} rows in the store that has {ROWS} more clips"
    _small(place, workers, "after", column)
    paid, due = len(place.emulator.charges), ROWS + 2 * SMALL
    column["charges, of clips asked for"] = f"{paid} of {due}"
    told = f"{workers} workers: {paid} charges for {due} clips; of the large campaign {column['clips']}"
    unclear = campaign.statuses.get("unclear", 0)  # submissions that were killed before they could be noted
    if not due - unclear <= paid <= due or campaign.statuses.get("stored", 0) + unclear != ROWS:
        wrong.append(f"!!! {told}: PAID TWICE OR LOST")
        yield wrong[-1]
    elif unclear:
        yield f"!!! {told}: the unclear ones wait for a person, as they should"


class _Campaign:
    """A campaign of *count* rows that nobody has rendered before."""

    def __init__(self, place: Site, workers: int, name: str, count: int) -> None:
        with (place.folder / f"{name}.csv").open("w", newline="") as table:
            rows = ((f"{name}-{number:05d}", f"{name} mug number {number}") for number in range(count))
            csv.writer(table).writerows([("id", "product"), *rows])
        (place.folder / f"{name}.yaml").write_text(BOARD.replace("Mugs", f"Mugs {name}"))
        size = min(SHARD, max(1, count // workers))
        self.words = [f"{name}.yaml", "--table", f"{name}.csv", "--shard-size", str(size), "--per-day", "1000000"]
        self.words += ["--shards-at-once", str(workers), "--max-in-flight", str(min(1000, workers * IN_FLIGHT))]
        self.count = count
        self.document: dict[str, Any] = {}
        self.kills: list[str] = []
        self._workers = workers
        self._place = place
        self._posted = place.emulator.calls().get("run", 0)
        self._begun = time.perf_counter()
        self._seconds: float | None = None

    @property
    def submitted(self) -> int:
        """How many jobs of it were submitted; once it has ended all of them."""
        with suppress(Exception):  # an interrupt may have ended the emulator
            self._last = self._place.emulator.calls().get("run", 0) - self._posted
        return getattr(self, "_last", 0)

    def render(self) -> None:
        for line in self._until_done([]):
            print(f"   {line}", flush=True)

    def render_with_kills(self) -> Iterator[str]:
        yield from self._until_done([(self.count // 3, self._kill_worker), (self.count * 2 // 3, self._kill_parent)])

    def _until_done(self, kills: list[tuple[int, Callable[[Any], None]]]) -> Iterator[str]:
        self._begun, told = time.perf_counter(), time.monotonic()
        for _ in range(MOST_STARTS):
            parent = self._place.start_parent(*self.words)
            try:
                while parent.poll() is None:
                    time.sleep(0.3)
                    if kills and self.submitted >= kills[0][0]:
                        time.sleep(LATENCY / 3)  # or all that has just been submitted is unclear
                        kills.pop(0)[1](parent)
                        yield f"killed: {self.kills[-1]} after {self.seconds:.0f} s"
                    if time.monotonic() - told > 60:
                        told = time.monotonic()
                        yield f"{self.submitted} of {self.count} submitted after {self.seconds:.0f} s"
            finally:
                if parent.poll() is None:
                    parent.kill()
            with suppress(ValueError):  # one that was killed has said nothing
                self.document = json.loads(parent.communicate()[0])
            if sum(self.statuses.values()) == self.count:
                self._seconds = self.seconds
                return
            yield f"the campaign's run ended with {parent.returncode} and is begun again"
        raise RuntimeError((self._place.folder / "parent.log").read_text()[-3000:])

    def _kill_worker(self, _: Any) -> None:
        self._place.kill_worker(-self._workers)
        self._place.start_worker()
        self.kills.append(f"a worker and its shard at {self.submitted} submitted")

    def _kill_parent(self, parent: Any) -> None:
        self._place.costs.look()
        parent.kill()
        parent.wait()
        self.kills.append(f"the campaign's run at {self.submitted}")

    @property
    def statuses(self) -> dict[str, int]:
        """Of its clips, once it has said so."""
        return dict(self.document.get("statuses", {}))

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._begun if self._seconds is None else self._seconds

    def tell(self, column: Column) -> None:
        statuses = ", ".join(f"{count} {status}" for status, count in self.statuses.items())
        column["clips"] = statuses or f"{self.submitted} submitted"
        column["killed"] = "; ".join(self.kills) or "nothing"
        column["wall, kills included"] = f"{self.seconds:.0f} s"
        column["clips per second"] = f"{self.submitted / self.seconds:.2f}"


def _small(place: Site, workers: int, name: str, column: Column) -> None:
    asked, before = place.requests(), place.costs.seconds()
    campaign = _Campaign(place, workers, name, SMALL)
    campaign.render()
    found = (place.requests() - asked).total() / SMALL
    after = place.costs.seconds()
    spent = sum(after[one] - before[one] for one in OURS) / SMALL
    column[f"{SMALL} rows {name}: store requests per clip"] = f"{found:.1f}"
    column[f"{SMALL} rows {name}: CPU per clip"] = f"{1000 * spent:.0f} ms"


def _costs(place: Site, before: dict[str, float], column: Column, clips: int) -> None:
    after = place.costs.seconds()
    spent = {one: 1000 * (after[one] - before.get(one, 0.0)) / max(1, clips) for one in OURS + STAND_INS}
    for one in OURS:
        column[f"CPU per clip: {one}"] = f"{spent[one]:.0f} ms"
    column["CPU per clip: all of these"] = f"**{sum(spent[one] for one in OURS):.0f} ms**"
    for one in STAND_INS:
        column[f"CPU per clip: {one} (a stand-in)"] = f"{spent[one]:.0f} ms"
    most = place.costs.megabytes()
    for one in ("parent", "shard run", "decoders", "worker", "Prefect server"):
        column[f"memory at most: {one}"] = f"{most[one]:.0f} MB"


def _per_clip(column: Column, asked: Counter[str], clips: int) -> None:
    by_method = ", ".join(f"{method} {count / clips:.1f}" for method, count in sorted(asked.items()))
    column["store requests per clip"] = f"{asked.total() / clips:.1f} ({by_method})"


def _prefect(column: Column, rows: Counter[str]) -> None:
    column["Prefect: flow runs"] = str(rows["flow_run"])
    column["Prefect: task runs per clip"] = f"{rows['task_run'] / ROWS:.3f}"
    column["Prefect: events per clip"] = f"{rows['events'] / ROWS:.3f}"
    column["Prefect: log lines per clip"] = f"{rows['log'] / ROWS:.3f}"
    column["Prefect: database grew by, per clip"] = f"{rows['bytes'] / ROWS / 1000:.1f} kB"


def _sizes(column: Column, objects: dict[str, int]) -> None:
    """Of both campaigns that have ended."""
    clips = ROWS + SMALL
    for name, what in (("spending", "money's records"), ("campaigns", "campaign's files"), ("ledger", "ledger")):
        sizes = [size for key, size in objects.items() if key.split("/")[1] == name]
        most = max(sizes, default=0) / 1000
        total = sum(sizes) / 1000
        column[what] = f"{len(sizes)} files, {total:.0f} kB, {total / clips:.2f} kB per clip, the largest {most:.0f} kB"


def _table(columns: dict[str, Column]) -> Iterator[str]:
    labels = list(dict.fromkeys(label for column in columns.values() for label in column))
    yield ""
    yield f"| {ROWS} rows | {' | '.join(columns)} |"
    yield f"| --- |{' ---: |' * len(columns)}"
    for label in labels:
        yield f"| {label} | {' | '.join(column.get(label, '') for column in columns.values())} |"
    yield ""
