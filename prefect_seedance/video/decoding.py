"""What a decoder process does: it answers one line after the other.

Many a run starts one for a clip or two, so that the start counts: pydantic would double it and is not loaded.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from prefect_seedance.errors import ClipDamaged

NICENESS = 10

MOST_MEMORY = 4 * 2**30
"""Bytes of address space: twenty times what a clip of 1080p takes, and ten times what one of 4K takes at most."""


def main() -> None:
    """Answer each line of stdin, the path of a clip or sound and what is wanted of it, with a line on stdout.

    At low priority: what pays and what waits beside it go first.
    """
    os.nice(NICENESS)
    _bound_memory()
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, float(sys.argv[1]))
        sys.stdout.write(json.dumps(_answer(json.loads(line))) + "\n")
        sys.stdout.flush()


def _bound_memory() -> None:
    """A clip that needs too much fails; where even less is left, the kernel ends this process and not the run."""
    with suppress(OSError):  # there is no /proc, or none that may be written
        Path("/proc/self/oom_score_adj").write_text("1000")
    with suppress(AttributeError, ValueError, OSError):  # not every system has this limit
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        if soft == resource.RLIM_INFINITY or soft > MOST_MEMORY:
            resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, hard))


def _answer(asked: dict[str, str]) -> dict[str, Any]:
    try:
        from prefect_seedance.video import clips, hearing  # here, so that a PyAV that won't import is told

        if "sound" in asked:
            return hearing.listen(Path(asked["sound"]), float(asked["most_seconds"])).as_fields()
        clip, *pictures = ((name, Path(path)) for name, path in asked.items())
        return clips.examine(clip[1], **dict(pictures)).as_fields()
    except ClipDamaged as error:
        return {"damaged": str(error)}
    except MemoryError:
        return {"damaged": f"it needs more memory than {MOST_MEMORY / 2**30:.0f} GiB"}
    except ImportError as error:
        return {"broken": f"ImportError: {error}"}
    except OSError as error:
        return {"failed": str(error.strerror)}
    except Exception as error:
        return {"broken": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    main()
