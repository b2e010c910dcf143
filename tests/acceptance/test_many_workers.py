"""Two workers, one PostgreSQL-backed Prefect server, one bucket: overlapping storyboards, one charge per key."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.emulating import RunningEmulator
from tests.support.places import ROOT
from tests.support.postgres_server import HOW_TO_INSTALL, RunningPostgres, programs
from tests.support.prefect_server import RunningPrefect, serving_on
from tests.support.processes import until
from tests.support.s3_server import RunningS3
from tests.support.workers import kill_tree, tree_of, worker

pytestmark = [pytest.mark.slow, pytest.mark.skipif(programs() is None, reason=HOW_TO_INSTALL)]

LIMIT = 6
IN_FLIGHT = 3

DEPLOY = """
import asyncio, sys
from prefect.blocks.core import Block
from prefect_seedance import RunpodCredentials, VideoStore, storyboard_to_shots

async def main(base_url, bucket, key, secret, endpoint_url, root):
    await RunpodCredentials(api_key="k", base_url=base_url).save("many", overwrite=True)
    store = VideoStore(url=bucket, key=key, secret=secret, endpoint_url=endpoint_url, region="us-east-1")
    await store.save("many", overwrite=True)
    flow = await storyboard_to_shots.from_source(root, "flows/storyboard_to_shots.py:storyboard_to_shots")
    await flow.deploy("many", work_pool_name="many", print_next_steps=False)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[RunningPrefect]:
    # Not below pytest's own folder, which PostgreSQL's user may not enter.
    with tempfile.TemporaryDirectory(prefix="many-workers-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        postgres = RunningPostgres(folder / "postgres")
        try:
            with serving_on(folder / "prefect", {"PREFECT_API_DATABASE_CONNECTION_URL": postgres.url}) as running:
                yield running
        finally:
            postgres.stop()


def board(*prompts: str) -> dict[str, Any]:
    shots = [{"id": f"s{n}", "prompt": prompt} for n, prompt in enumerate(prompts)]
    return {"title": "Overlap", "defaults": {"size": "640x640", "duration": 2}, "shots": shots}


def test_two_workers_pay_once_and_one_that_is_killed_costs_nothing(
    server: RunningPrefect, s3_server: RunningS3, tmp_path: Path
) -> None:
    with RunningEmulator.start(latency=4) as emulator:
        bucket = f"s3://{s3_server.new_bucket()}/films"
        server.cli("gcl", "create", "seedance-jobs", "--limit", str(LIMIT))
        server.cli("work-pool", "create", "many", "--type", "process")
        words = [emulator.base_url, bucket, "testing", "testing", s3_server.endpoint_url, str(ROOT)]
        subprocess.run([sys.executable, "-c", DEPLOY, *words], env=os.environ | server.environment, check=True)
        deployment = server.get("deployments/name/storyboard-to-shots/many")["id"]

        def start(*prompts: str) -> str:
            references = {
                "credentials": {"$ref": {"block_document_slug": "runpod-credentials/many"}},
                "store": {"$ref": {"block_document_slug": "video-store/many"}},
            }
            wanted = {"storyboard": board(*prompts), "max_in_flight": IN_FLIGHT, **references}
            return str(server.post(f"deployments/{deployment}/create_flow_run", parameters=wanted)["id"])

        both = [f"Shared scene {n}." for n in range(4)]
        with (
            worker(server, "many", "one", tmp_path, "--limit", "1") as one,
            worker(server, "many", "two", tmp_path, "--limit", "1") as two,
        ):
            doomed = start(*both, "Only the first.", "Only the first again.")
            until(lambda: server.flow_run(doomed)["state"]["type"] == "RUNNING")
            working = _infrastructure_of(server, doomed)
            other = start(*both, "Only the second.")
            until(lambda: len(emulator.charges) >= 4)
            victim = one if working in tree_of(one.pid) else two
            kill_tree(victim.pid)
            ended = server.wait_for_state(other, "Completed")
            again = start(*both, "Only the first.", "Only the first again.")
            server.wait_for_state(again, "Completed")
        prompts = [charge["prompt"] for charge in emulator.charges]
        assert ended["state"]["type"] == "COMPLETED"
        assert _most_at_once(emulator) <= LIMIT
        assert len(prompts) == len(set(prompts)), json.dumps(sorted(prompts))


def _infrastructure_of(server: RunningPrefect, run_id: str) -> int:
    """The process that works on a flow run: its worker names it as HOST:PID."""
    found = until(lambda: server.flow_run(run_id)["infrastructure_pid"])
    return int(str(found).rpartition(":")[2])


def _most_at_once(emulator: RunningEmulator) -> int:
    """Jobs that were out together, by the seconds of the bill: an upper bound."""
    starts = sorted(charge["at"] for charge in emulator.charges)
    return max(sum(abs(_seconds(a) - _seconds(b)) < 3 for b in starts if b <= a) for a in starts)


def _seconds(at: str) -> float:
    import datetime

    return datetime.datetime.fromisoformat(at).timestamp()
