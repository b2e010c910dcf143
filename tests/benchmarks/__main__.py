"""All benchmarks, each as ratios within one run: `make benchmarks`. Nothing here is a test; figures go to stdout."""

from __future__ import annotations

import sys

from tests.benchmarks import campaign, download, film, growth, imports, memory, scale

PARTS = {
    "imports": imports.run,
    "memory": memory.run,
    "download": download.run,
    "film": film.run,
    "growth": growth.run,
    "scale": scale.run,
    "campaign": campaign.run,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or PARTS:
        print(f"== {name}", flush=True)
        for line in PARTS[name]():
            print(f"   {line}", flush=True)
