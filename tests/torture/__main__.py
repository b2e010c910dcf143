"""Rounds of storm, peace and books. Ends with a row of figures, and with exit code 1 if a promise was broken.

    python -m tests.torture --rounds 4 --seed 1 --store local|s3|badline [--limit|--no-limit] [--kills 30]

Without --limit or --no-limit every other round has a limit per day. The seed draws what happens, not the moments at
which the machine gets there: a round can't be told again exactly, so what is wrong is printed with all its records.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

from prefect_seedance.storage import open_store
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator
from tests.support.s3_server import RunningS3
from tests.torture.books import Fields, Files, Verdict, judge
from tests.torture.peace import left_by_the_dead, make_peace
from tests.torture.storm import Counts, storm
from tests.torture.trouble import ApiTrouble, BadLine
from tests.torture.worker import Place, Task

KEYS = 12
SPEED = 2.0
KINDS = ("render",) * 9 + ("render_scaled",) * 6 + ("collect",) * 4 + ("person",) * 2
WRONG: tuple[str, ...] = (
    "double",
    "silent loss",
    "lost without cause",
    "over the limit",
    "marker wrong",
    "month wrong",
    "clip wrong",
)
WRONG += ("history wrong", "stored unpaid", "never home", "never ends", "unforeseen")
COLUMNS = (
    "keys",
    "charges",
    "stored",
    "unclear",
    "lost",
    "failed",
    "refused",
    "nothing",
    "once unclear",
    "late",
    "strays",
)

TOLD = ("number", "step", "at", "claim_id", "job_id", "kind", "reason", "by", "cost_usd", "reservation", "attempt")


class Torture:
    """One API, one kind of store, and rounds on them."""

    def __init__(self, words: argparse.Namespace, folder: Path, stack: ExitStack) -> None:
        self.words = words
        self.folder = folder
        self.chance = random.Random(words.seed)
        self.emulator = stack.enter_context(RunningEmulator.start(speed=SPEED, latency=2))
        self.environment = {"XDG_STATE_HOME": str(folder / "state"), "TMPDIR": str(folder / "scratch")}
        (folder / "scratch").mkdir()
        self.server = self.line = None
        if words.store != "local":
            self.server = RunningS3().start()
            stack.callback(self.server.stop)
            self.environment |= self.server.environment
        if words.store == "badline" and self.server is not None:
            self.line = BadLine(self.server, self.chance)
            stack.callback(self.line.stop)
            self.environment["AWS_ENDPOINT_URL"] = self.line.endpoint_url
        self.counts = Counts()
        self.figures: Counter[str] = Counter()
        self.over: list[str] = []

    def round(self, number: int) -> Verdict:
        """One storm on a fresh store, peace, and the books."""
        tag = f"Torture {self.words.seed}.{number}"
        prompts = [f"{tag}, key {key:02d}." for key in range(KEYS)]
        limited = number % 2 == 1 if self.words.limit is None else self.words.limit
        per_day = str(Decimal("0.05") * self.chance.randrange(4, 9)) if limited else None
        name, log = f"round-{number}", self.folder / f"round-{number}.log"
        url = f"s3://{self.server.new_bucket()}/{name}" if self.server else str(self.folder / name)
        place = Place(self.emulator.base_url, url, self.environment, log)
        trouble = ApiTrouble(self.emulator, self.chance, SPEED)
        trouble.begin(prompts, tag)
        if self.line:
            self.line.begin()
        self.over, first_day = [], _day()
        storm(
            place,
            self.tasks(prompts, per_day),
            self.chance,
            self.counts,
            kills=self.words.kills,
            look=lambda: self.look(prompts, per_day),
        )
        trouble.end()
        if self.line:
            self.line.end()
        store = open_store(url, endpoint_url=self.server.endpoint_url if self.server else None)
        endless = make_peace(place, store, prompts, per_day, self.counts)
        self.look(prompts, per_day)
        limit = Decimal(per_day) if per_day else None
        files = asyncio.run(_read(store))
        verdict = judge(files, self.emulator.bill()["charges"], prompts, trouble.may_be_lost, limit)
        for kind in endless:
            verdict.says("never ends", name, f"{kind} did not come to its end")
        for why in left_by_the_dead(log):
            verdict.says("unforeseen", name, why)
        if self.over and first_day == _day():  # what was reserved before midnight may be charged after it
            verdict.says("over the limit", name, self.over[-1])
        self.tell(number, files, verdict)
        return verdict

    def tasks(self, prompts: list[str], per_day: str | None) -> Iterator[Task]:
        """What the processes of a round do: boards that overlap, collecting, answering."""
        while True:
            size = self.chance.randrange(2, 6) if per_day else self.chance.randrange(3, 8)
            board = tuple(self.chance.sample(prompts, size))
            kind, retries = self.chance.choice(KINDS), self.chance.choice((0, 0, 1, 2))
            in_flight = self.chance.choice((1, 2, 5))
            yield Task(kind, board, per_day, retries, in_flight, self.chance.randrange(2**32))

    def look(self, prompts: list[str], per_day: str | None) -> None:
        """Is the limit kept at this moment of the bill?"""
        if per_day is None:
            return
        mine = [charge for charge in self.emulator.bill()["charges"] if charge["prompt"] in prompts]
        total = sum((Decimal(str(charge["usd"])) for charge in mine), Decimal(0))
        if total > Decimal(per_day):
            self.over.append(f"${total} of ${per_day} a day are charged")

    def tell(self, number: int, files: Files, verdict: Verdict) -> None:
        self.figures += verdict.figures
        counts = self.counts
        figures = ", ".join(f"{verdict.figures[name]} {name}" for name in COLUMNS)
        wrong = "; ".join(f"{verdict.figures[name]} {name}" for name in WRONG if verdict.figures[name]) or "all well"
        so_far = (
            f"{counts.kills} kills, {counts.stops} stops, {counts.terms} SIGTERMs, {counts.processes} processes so far"
        )
        _say(f"{time.strftime('%H:%M:%S')} seed {self.words.seed} round {number}: {figures}: {wrong} ({so_far})")
        for rule, where, why in verdict.wrong:
            _say(f"  BROKEN, seed {self.words.seed}, round {number}: {rule}: {where}: {why}")
            for key, records in files.keys.items():
                if where in (key, records[0]["request"]["prompt"]):
                    _say("\n".join(f"    {_short(record)}" for record in records))

    def row(self, rounds: int) -> str:
        """The figures of all rounds as a row of docs/ledger/torture.md."""
        counts, words = self.counts, self.words
        limits = {None: "half", True: "all", False: "none"}[words.limit]
        figures = [words.seed, words.store, limits, rounds, counts.kills, counts.stops, counts.terms, counts.processes]
        figures += [self.figures[name] for name in ("keys", "charges", "stored", "once unclear", "unclear", "lost")]
        figures += [self.figures[name] for name in ("double", "silent loss", "lost without cause", "over the limit")]
        figures += [self.figures["marker wrong"] + self.figures["month wrong"]]
        figures += [sum(self.figures[name] for name in WRONG[6:])]
        return f"| {' | '.join(map(str, figures))} |"


def _short(record: Fields) -> str:
    told = {name: record[name] for name in TOLD if record[name] is not None}
    return json.dumps(told | {"pid": record["writer"]["pid"]}, default=str)


async def _read(store: Store) -> Files:
    try:
        return await Files.of(store)
    finally:
        await store.aclose()


def _day() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--store", choices=("local", "s3", "badline"), default="local")
    parser.add_argument("--limit", action=argparse.BooleanOptionalAction, default=None)
    parser.add_argument("--kills", type=int, default=30, help="of each round")
    parser.add_argument("--keep", type=Path, help="a folder that is to keep stores and logs")
    words = parser.parse_args(arguments)
    wrong = 0
    with ExitStack() as stack:
        folder = words.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["AWS_ACCESS_KEY_ID"] = os.environ["AWS_SECRET_ACCESS_KEY"] = "testing"
        torture = Torture(words, folder, stack)
        for number in range(words.rounds):
            wrong += len(torture.round(number).wrong)
        _say(torture.row(words.rounds))
        _say(f"kinds of processes: {torture.counts.kinds}; {wrong} promises broken")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
