"""A site that renders campaigns, all on this machine: PostgreSQL, Prefect, S3, emulator, workers, and for it alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import xml.etree.ElementTree
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.benchmarks.process_costs import Costs
from tests.support.emulating import RunningEmulator
from tests.support.postgres_server import RunningPostgres, programs
from tests.support.prefect_server import RunningPrefect, serving_on
from tests.support.s3_server import RunningS3
from tests.support.workers import kill_tree

POOL = "campaigns"
DEPLOYMENT = f"""
pull: []
deployments:
  - name: shards
    entrypoint: prefect_seedance.flows.campaign_shard.campaign_shard
    work_pool: {{name: {POOL}}}
    enforce_parameter_schema: true
"""
BLOCKS = """
import sys
from prefect_seedance import RunpodCredentials, VideoStore
RunpodCredentials(api_key="k", base_url=sys.argv[1]).save("seedance")
VideoStore(url=sys.argv[2]).save("seedance")
"""
TABLES = ("flow_run", "task_run", "events", "log")
REQUEST = re.compile(r'"[^"/]*?(GET|PUT|POST|HEAD|DELETE) (\S+) HTTP')
LATENCY = float(os.environ.get("LATENCY", "10"))
"""Seconds that a job takes at the emulator."""


class Site:
    """Servers that run, and workers that come and go. `folder` is where its commands find their files."""

    def __init__(
        self, folder: Path, costs: Costs, postgres: RunningPostgres, prefect: RunningPrefect, s3: RunningS3
    ) -> None:
        self.folder = folder
        self.costs = costs
        self.prefect = prefect
        self.workers: list[subprocess.Popen[bytes]] = []
        self._postgres = postgres
        self._s3 = s3
        self.bucket = s3.new_bucket()
        self._emulator: RunningEmulator | None = None
        self._log = folder / "s3.log"

    @property
    def emulator(self) -> RunningEmulator:
        assert self._emulator is not None
        return self._emulator

    def set_up(self, emulator: RunningEmulator) -> None:
        """Save blocks for *emulator*, and deploy the shards."""
        self._emulator = emulator
        self._python("-c", BLOCKS, emulator.base_url, f"s3://{self.bucket}/films")
        (self.folder / "prefect.yaml").write_text(DEPLOYMENT)
        self.prefect.cli("work-pool", "create", POOL, "--type", "process")
        self.prefect.cli("--no-prompt", "deploy", "--all", cwd=self.folder)
        for words in (("seedance-status", "300", "150"), ("seedance-submit", "150", "75")):
            self.prefect.cli("gcl", "create", words[0], "--limit", words[1], "--slot-decay-per-second", words[2])

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | self.prefect.environment | self._s3.environment

    def _python(self, *words: str) -> None:
        subprocess.run([sys.executable, *words], env=self.environment, check=True, cwd=self.folder)

    def start_worker(self) -> None:
        """One more worker, which renders one shard at a time."""
        name = f"worker-{len(self.workers)}"
        words = ["worker", "start", "--pool", POOL, "--name", name, "--limit", "1"]
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "prefect", *words],
                env=self.environment,
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        self.costs.watch(process.pid, _of_a_worker)
        self.workers.append(process)

    def kill_worker(self, number: int) -> None:
        """End it and its shard as a machine that loses its power would."""
        self.costs.look()
        kill_tree(self.workers[number].pid)
        self.workers[number].wait()

    def start_parent(self, *words: str) -> subprocess.Popen[str]:
        """`campaign run` with *words*; its document goes to its stdout."""
        command = [sys.executable, "-m", "prefect_seedance.cli", "campaign", "run", *words]
        blocks = ["--store", "block:seedance", "--account", "block:seedance", "--deployment", "shards", "--json"]
        with (self.folder / "parent.log").open("a") as log:
            parent = subprocess.Popen(
                [*command, *blocks],
                env=self.environment,
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.costs.watch(parent.pid, "parent")
        return parent

    def requests(self) -> Counter[str]:
        """What the S3 server was asked until now, by method; LIST apart from GET."""
        found: Counter[str] = Counter()
        for line in self._log.read_text(errors="replace").splitlines():
            if match := REQUEST.search(line):
                found["LIST" if "list-type" in match[2] else match[1]] += 1
        return found

    def objects(self) -> dict[str, int]:
        """The size of each object of the bucket. Asking is counted among the requests."""
        found: dict[str, int] = {}
        more: dict[str, str] = {"list-type": "2"}
        while more:
            answer = httpx.get(f"{self._s3.endpoint_url}/{self.bucket}", params=more, timeout=120)
            root = xml.etree.ElementTree.fromstring(re.sub(r' xmlns="[^"]*"', "", answer.text, count=1))
            for one in root.iter("Contents"):
                found[one.findtext("Key", "")] = int(one.findtext("Size", "0"))
            token = root.findtext("NextContinuationToken")
            more = {"list-type": "2", "continuation-token": token} if token else {}
        return found

    def rows_of_prefect(self) -> Counter[str]:
        """How many rows each table of Prefect has, and the bytes of all of them."""
        counts = ", ".join(f"(select count(*) from {table})" for table in TABLES)
        answer = subprocess.check_output(
            [
                *(str((programs() or Path()) / "psql"), "-h", "127.0.0.1", "-p", str(self._postgres.port)),
                *("-U", "prefect", "-d", "postgres", "-Atc"),
                f"select {counts}, pg_database_size('postgres')",
            ],
            text=True,
        )
        return Counter(dict(zip((*TABLES, "bytes"), map(int, answer.strip().split("|")), strict=True)))

    def stop_workers(self) -> None:
        for process in self.workers:
            if process.poll() is None:
                kill_tree(process.pid)
                process.wait()


def _of_a_worker(command: str, is_root: bool) -> str:
    if "prefect_seedance.video.decoding" in command:
        return "decoders"
    return "worker" if is_root else "shard run"


@contextmanager
def site(folder: Path, card: Path) -> Iterator[Site]:
    """A site of its own in *folder*, whose emulator answers every job with *card*."""
    folder.mkdir()
    with ExitStack() as stack:
        costs = stack.enter_context(Costs())
        postgres = RunningPostgres(folder / "postgres")
        stack.callback(postgres.stop)
        costs.watch(int((postgres.folder / "data/postmaster.pid").read_text().split()[0]), "PostgreSQL")
        database = {"PREFECT_API_DATABASE_CONNECTION_URL": postgres.url}
        prefect = stack.enter_context(serving_on(folder / "prefect", database, sys.executable))
        assert prefect.process is not None
        costs.watch(prefect.process.pid, "Prefect server")
        s3 = RunningS3(folder / "s3.log").start()
        stack.callback(s3.stop)
        costs.watch(s3.pid, "S3 server")
        made = Site(folder, costs, postgres, prefect, s3)
        stack.callback(made.stop_workers)
        state = folder / "emulator.jsonl"
        emulator = stack.enter_context(RunningEmulator.start(latency=LATENCY, state=state))
        costs.watch(emulator.process.pid, "emulator")
        stack.enter_context(_cards(state, card))
        made.set_up(emulator)
        yield made


@contextmanager
def _cards(state: Path, card: Path) -> Iterator[None]:
    """Put *card* where the emulator looks for the clip of each of its jobs, before it is asked for."""
    ended = threading.Event()
    thread = threading.Thread(target=_put_cards, args=(state, card, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _put_cards(state: Path, card: Path, ended: threading.Event) -> None:
    clips, read = Path(f"{state}.clips"), 0
    clips.mkdir(exist_ok=True)
    while not ended.wait(0.3):
        if not state.exists():
            continue
        with state.open("rb") as file:
            file.seek(read)
            whole, end, _ = file.read().rpartition(b"\n")
        read += len(whole + end)
        for line in filter(None, whole.splitlines()):
            job: dict[str, Any] | None = json.loads(line).get("job")
            if job and not (place := clips / f"{job['id']}.mp4").exists():
                os.link(card, place)
