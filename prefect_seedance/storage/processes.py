"""Names for files that say which process made them, so that others can tell whether it still runs."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
from pathlib import Path

ENDED = ("Z", "X")
"""States of a process that has ended and whose parent has not asked for its exit code: a zombie."""
NAME = re.compile(r"(\d+)-(\d+)-([0-9a-f]{12})")
"""Number and start of a process, and the digest of its boot: see `own_name`."""


def this_boot() -> str | None:
    """This boot of this machine and this process namespace (two containers of one machine can't see each other)."""
    try:
        return _boot_of(os.getpid())
    except OSError:
        return None


@functools.cache
def _boot_of(_: int) -> str:
    """Read once in a process of this number: one that was forked may be in another namespace."""
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"


def state_and_start(pid: int) -> tuple[str | None, str | None]:
    """The state of a process and when it began, in clock ticks since boot; None where that can't be read."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None, None
    return fields[0], fields[19]


def has_ended(pid: int, started: str | None) -> bool:
    """True only if the kernel says that the process *pid* of this boot, which began at *started*, no longer runs.

    A process that can't be seen (hidepid, ProtectProc, another user) has not ended.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it is there, and somebody else's
        pass
    state, began = state_and_start(pid)
    return state in ENDED or (None not in (began, started) and began != started)


def own_name() -> str:
    """What files of this process are named after: its number, its start and a digest of this boot."""
    return _name_of(os.getpid())


@functools.cache
def _name_of(pid: int) -> str:
    return f"{pid}-{state_and_start(pid)[1] or 0}-{_digest_of_boot()}"


@functools.cache
def _digest_of_boot() -> str:
    return hashlib.sha256((this_boot() or "").encode()).hexdigest()[:12]


def owner_has_ended(name: str) -> bool | None:
    """Whether the process that *name* was made by has surely ended; None for one of another machine or boot."""
    found = NAME.search(name)
    if found is None or this_boot() is None or found[3] != _digest_of_boot():
        return None
    return has_ended(int(found[1]), found[2] if found[2] != "0" else None)


def own_folder(parent: Path) -> Path:
    """The folder of this process below *parent*; those of processes that have surely ended are removed."""
    folder = parent / own_name()
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        for other in parent.iterdir():
            if owner_has_ended(other.name):
                shutil.rmtree(other, ignore_errors=True)
    return folder
