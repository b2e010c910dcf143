"""What importing costs beyond Prefect's own import: the quickest of seven fresh processes each, taken in turn."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

PREFECT = "import prefect.blocks.core, prefect.blocks.abstract"
PROGRAMS = {
    "bare Python": "pass",
    "Prefect": PREFECT,
    "Prefect and prefect_seedance": f"import prefect_seedance; {PREFECT}",
    "prefect_seedance.blocks": "import prefect_seedance.blocks",
    "prefect_seedance.cli.app": "import prefect_seedance.cli.app",
}


def run() -> Iterator[str]:
    best = dict.fromkeys(PROGRAMS, float("inf"))
    for _ in range(7):
        for name, program in PROGRAMS.items():
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True)
            best[name] = min(best[name], time.perf_counter() - begun)
    for name, seconds in best.items():
        yield f"{name}: {seconds:.2f} s"
