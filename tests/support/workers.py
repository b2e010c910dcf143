"""Prefect workers in processes of their own, and killing them as a machine that loses its power would."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.forked import forked_for, prefect_python
from tests.support.prefect_server import RunningPrefect


@contextmanager
def worker(server: RunningPrefect, pool: str, name: str, folder: Path, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of *pool*, in a folder that knows nothing of the repository."""
    command = [prefect_python(), "-m", "prefect", "worker", "start", "--pool", pool, "--name", name, *more]
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(
            command, env=os.environ | server.environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        kill_tree(process.pid)
        process.wait()


def kill_tree(pid: int) -> None:
    """SIGKILL a process and all it has started; none of them sees another die."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    for child in children_of(pid):
        kill_tree(child)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def children_of(pid: int) -> list[int]:
    """What a process has started, or the one that it stands in for."""
    forked = forked_for(pid)
    try:
        return [*forked, *(int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    except FileNotFoundError:
        return forked


def tree_of(pid: int) -> set[int]:
    """A process and all it has started."""
    return {pid}.union(*(tree_of(child) for child in children_of(pid)))
