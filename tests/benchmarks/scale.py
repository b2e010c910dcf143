"""1,000 shots in flight in one flow run: ours against a naive flow (`.map` over a blocking client), in one session.

The emulator's clock makes every job take 60 s. Its clips are one clip, with the job's name in each, put in place before
they are asked for: drawing 1,000 of them would measure the emulator.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks import ordinary
from tests.benchmarks.process_costs import Costs
from tests.support.emulating import RunningEmulator
from tests.support.prefect_server import serving_on

SHOTS = int(os.environ.get("SHOTS", "1000"))
LATENCY = float(os.environ.get("LATENCY", "60"))
CLIP = os.environ.get("CLIP", "calm")
"""Or `noisy`, see `ordinary.of_kind`."""
KINDS = os.environ.get("KINDS", "ours naive").split()


def run() -> Iterator[str]:
    with (
        tempfile.TemporaryDirectory() as name,
        serving_on(Path(name) / "prefect", {}, sys.executable) as prefect,
        Costs() as costs,
    ):
        assert prefect.process is not None
        costs.watch(prefect.process.pid, "server")
        folder = Path(name)
        size = ordinary.of_kind(CLIP, folder / "card.mp4").stat().st_size
        yield f"one clip of {size / 1000:.0f} kB"
        environment = os.environ | prefect.environment
        for kind in KINDS:
            state = folder / f"{kind}.jsonl"
            with RunningEmulator.start(latency=LATENCY, state=state) as emulator:
                done, downloads = threading.Event(), list[float]()
                beside = [
                    threading.Thread(target=_put_cards, args=(state, folder / "card.mp4", done)),
                    threading.Thread(target=_watch_downloads, args=(emulator, downloads, done)),
                ]
                for thread in beside:
                    thread.start()
                before = costs.seconds()
                costs.watch(emulator.process.pid, "emulator")
                try:
                    figures = _measure(kind, folder, environment | {"RUNPOD_BASE_URL": emulator.base_url}, costs)
                finally:
                    done.set()
                    for thread in beside:
                        thread.join()
                figures["cpu"] = {name: seconds - before[name] for name, seconds in costs.seconds().items()}
                figures["last_download"] = downloads[-1] - figures["begun"]
                figures["charges"] = len(emulator.charges)
                figures["status_per_second"] = emulator.calls()["status"] / figures["seconds"]
                yield _told(kind, figures)
                if kind == "ours":
                    again = _measure(kind, folder, environment | {"RUNPOD_BASE_URL": emulator.base_url}, costs)
                    rate = SHOTS / again["seconds"]
                    asked = again["store_requests"] / SHOTS
                    told = f"{again['seconds']:.1f} s, {rate:.0f} shots/s, {asked:.1f} store requests/shot"
                    yield f"again: {told}, {len(emulator.charges)} charges"


def _put_cards(state: Path, card: Path, done: threading.Event) -> None:
    clips, content, seen = Path(f"{state}.clips"), card.read_bytes(), 0
    while not done.wait(0.5):
        whole = state.read_text().rpartition("\n")[0] if state.exists() else ""
        lines = whole.splitlines()
        clips.mkdir(exist_ok=True)
        for line in filter(None, lines[seen:]):
            job = json.loads(line).get("job")
            if job and not (place := clips / f"{job['id']}.mp4").exists():
                name = job["id"].encode()
                unfinished = place.with_suffix(".put")
                unfinished.write_bytes(content + (len(name) + 8).to_bytes(4, "big") + b"free" + name)
                unfinished.rename(place)
        seen = len(lines)


def _watch_downloads(emulator: RunningEmulator, moments: list[float], done: threading.Event) -> None:
    """Note when the number of downloads was last seen to grow."""
    seen = 0
    while not done.wait(0.5):
        if (now := emulator.calls().get("media", 0)) > seen:
            seen = now
            moments.append(time.time())


def _measure(kind: str, folder: Path, environment: dict[str, str], costs: Costs) -> dict[str, Any]:
    begun, asked = time.perf_counter(), (str(SHOTS), f"{folder}/store-{kind}", str(LATENCY))
    running = subprocess.Popen(
        [sys.executable, "-m", f"tests.benchmarks.flow_{kind}", *asked],
        env=environment | {"RUNPOD_API_KEY": "k", "PREFECT_LOGGING_LEVEL": "ERROR"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    costs.watch(running.pid, lambda line, _: "decoders" if "decoding" in line else "client")
    out, err = running.communicate()
    assert running.returncode == 0, err[-3000:]
    figures: dict[str, Any] = json.loads(out.splitlines()[-1])
    figures["wall"] = time.perf_counter() - begun
    return figures


def _told(kind: str, f: dict[str, Any]) -> str:
    seen, fetched = f.get("lags", (0.0, 0.0))
    lags = f"ends seen {seen:.1f} s and fetched {fetched:.1f} s after, at the median, " if "lags" in f else ""
    return (
        f"{kind}: {SHOTS} shots, last clip after {f['last_clip']:.1f} s = {f['last_clip'] / LATENCY:.2f} of the "
        f"ideal (film and page after {f['seconds']:.1f} s), "
        f"last download after {f['last_download'] / LATENCY:.2f}, {lags}CPU a shot {_cpu(f['cpu'])}, "
        f"memory {f['megabytes'] * 1024 / SHOTS:.0f} kB/shot above idle, "
        f"{f['status_per_second']:.0f} status calls/s, {f['prefect_calls']} Prefect API calls in all, "
        f"{f['charges']} charges, {f['stored']} stored"
    )


def _cpu(seconds: dict[str, float]) -> str:
    """Of each component; the emulator and this program share the processors with the others."""
    return " + ".join(f"{1000 * spent / SHOTS:.0f} ms {name}" for name, spent in sorted(seconds.items()))
