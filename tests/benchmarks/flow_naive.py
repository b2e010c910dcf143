"""What one would write first: a task per shot that posts, polls every five seconds and saves, mapped over the board."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import httpx
from prefect import flow, task

from tests.benchmarks.counting import PrefectCalls


@task(retries=3)
def clip(prompt: str, folder: str) -> str:
    base = f"{os.environ['RUNPOD_BASE_URL']}/seedance-1-0-pro"
    headers = {"Authorization": f"Bearer {os.environ['RUNPOD_API_KEY']}"}
    request = {"input": {"prompt": prompt, "size": "854x480", "duration": 5, "fps": 24, "image": ""}}
    job = httpx.post(f"{base}/run", json=request, headers=headers, timeout=60).json()
    answer: dict[str, Any] = {"status": "IN_QUEUE"}
    while answer["status"] != "COMPLETED":
        time.sleep(5)
        answer = httpx.get(f"{base}/status/{job['id']}", headers=headers, timeout=60).json()
    path = Path(folder) / f"{job['id']}.mp4"
    path.write_bytes(httpx.get(str(answer["output"]["video_url"]), timeout=60).content)
    return str(path)


@flow
def naive(count: int, folder: str) -> list[str]:
    Path(folder).mkdir(parents=True, exist_ok=True)
    clips: list[str] = clip.map([f"Scene {n}." for n in range(count)], folder=folder).result()
    return clips


def main(count: int, folder: str) -> None:
    calls = PrefectCalls()
    idle, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, time.perf_counter()
    clips = naive(count, folder)
    figures = {
        "begun": time.time() - (time.perf_counter() - begun),
        "prefect_calls": calls.count,
        "last_clip": time.perf_counter() - begun,
        "seconds": time.perf_counter() - begun,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - idle,
        "stored": len(clips),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
