"""Build the image on a bare Debian, look into it, use it, and start what compose.yaml starts.

Where that can't be done one line says why; then, and where a promise is broken, the exit code is 1.

    python -m tests.containers
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.containers import alone, image, machine, stack


def main() -> int:
    why = machine.why_not()
    if why:
        sys.stderr.write(f"The image was NOT built and NOT tested: {why}.\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="seedance-image-") as name:
        folder = Path(name)
        started = time.monotonic()
        if image.make_base(folder):
            _say(f"a bare Debian by debootstrap in {time.monotonic() - started:.0f} s")
        _say(f"the image in {image.build(folder):.0f} s; {image.size()}")
        for part in (alone, stack):
            for promise in part.check(folder):
                _say(f"kept: {promise}")
    _say(f"{image.IMAGE} and {image.BASE} stay for the next time; buildah rmi removes them")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
