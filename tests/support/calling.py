"""The pretend Runpod called as plainly as possible, for `pytest_plugins`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.emulating import RunningEmulator

SLUG = "seedance-1-0-pro"
LATENCY = 100_000
"""So long that nothing ends before a test lets the clock jump."""


class Caller:
    """The API, called as plainly as possible."""

    def __init__(self, emulator: RunningEmulator) -> None:
        self.emulator = emulator
        self.http = httpx.Client(
            base_url=emulator.base_url,
            headers={"Authorization": "Bearer good"},
            trust_env=False,
            verify=False,
            timeout=20,
        )

    def run(self, prompt: str = "A lighthouse.", call: str = "run", slug: str = SLUG, **fields: Any) -> httpx.Response:
        asked = {"prompt": prompt, "size": "854x480", "duration": 2, "fps": 24} | fields
        return self.http.post(f"/{slug}/{call}", json={"input": asked})

    def accepted(self, **fields: Any) -> str:
        answer = self.run(**fields)
        assert (answer.status_code, answer.json()["status"]) == (200, "IN_QUEUE")
        return str(answer.json()["id"])

    def look(self, job: str, slug: str = SLUG) -> httpx.Response:
        return self.http.get(f"/{slug}/status/{job}")

    def ended(self, **fields: Any) -> dict[str, Any]:
        """The last answer for a new job."""
        job = self.accepted(**fields)
        self.emulator.advance(LATENCY)
        answer: dict[str, Any] = self.look(job, fields.get("slug", SLUG)).json()
        return answer

    def clip(self, path: Path, **fields: Any) -> Path:
        path.write_bytes(self.http.get(self.ended(**fields)["output"]["video_url"]).content)
        return path

    def charge(self, job: str) -> float:
        return next(float(row["usd"]) for row in self.emulator.bill()["charges"] if row["job_id"] == job)


@pytest.fixture(scope="module")
def unhurried() -> Iterator[RunningEmulator]:
    """Completes no job before its clock jumps."""
    with RunningEmulator.start(latency=LATENCY) as emulator:
        yield emulator


@pytest.fixture
def caller(unhurried: RunningEmulator) -> Iterator[Caller]:
    caller = Caller(unhurried)
    yield caller
    caller.http.close()
    unhurried.clear_faults()
