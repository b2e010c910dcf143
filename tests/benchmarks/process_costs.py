"""What trees of processes cost, by name: processor time and the most memory of one process, read from /proc.

Each process counts with what it had used when it was last seen, so that one that is killed counts too; what it uses
after that, at most `PAUSE` seconds, and processes that live shorter are not seen.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

PAUSE = 0.25
TICKS = os.sysconf("SC_CLK_TCK")

Name = Callable[[str, bool], str]
"""The component of a process, by its command line and whether it is the root of its tree."""


@dataclass
class _Seen:
    component: str
    seconds: float = 0.0
    megabytes: float = 0.0


class Costs:
    """Watches in a thread of its own: `with Costs() as costs: costs.watch(pid, name); costs.seconds()`."""

    def __init__(self) -> None:
        self._roots: dict[int, Name] = {}
        self._seen: dict[tuple[int, str], _Seen] = {}
        self._ended = threading.Event()
        self._one_at_a_time = threading.Lock()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Costs:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def watch(self, pid: int, name: Name | str) -> None:
        """Count process *pid* and all that it starts from now on."""
        self._roots[pid] = (lambda _, __: name) if isinstance(name, str) else name

    def seconds(self) -> dict[str, float]:
        """Processor time of each component until now."""
        self.look()
        total: dict[str, float] = defaultdict(float)
        for one in list(self._seen.values()):
            total[one.component] += one.seconds
        return total

    def megabytes(self) -> dict[str, float]:
        """The most that one process of each component has had in memory."""
        most: dict[str, float] = defaultdict(float)
        for one in list(self._seen.values()):
            most[one.component] = max(most[one.component], one.megabytes)
        return most

    def look(self) -> None:
        """Take note of all processes as they are now."""
        with self._one_at_a_time:
            stats = {int(entry.name): _stat(entry) for entry in Path("/proc").iterdir() if entry.name.isdecimal()}
            children: dict[int, list[int]] = defaultdict(list)
            for pid, stat in stats.items():
                if stat:
                    children[int(stat[1])].append(pid)
            for root, name in list(self._roots.items()):
                self._look_at(root, name, stats, children, root)

    def _look_at(
        self, root: int, name: Name, stats: dict[int, list[str]], children: dict[int, list[int]], pid: int
    ) -> None:
        stat = stats.get(pid)
        if not stat:
            return
        known = (pid, stat[19])  # its start: numbers of processes come again
        command = _command(pid)
        if command:  # one that has just been forked becomes another program; one that has ended has no command
            one = self._seen.setdefault(known, _Seen(""))
            one.component = name(command, pid == root)
            one.seconds = (int(stat[11]) + int(stat[12])) / TICKS
            one.megabytes = max(one.megabytes, _most_megabytes(pid))
        for child in children[pid]:
            self._look_at(root, name, stats, children, child)

    def _watch(self) -> None:
        while not self._ended.wait(PAUSE):
            self.look()


def _stat(process: Path) -> list[str]:
    """The fields after the name of the program; none where the process has ended."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _most_megabytes(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    line = next((line for line in status.splitlines() if line.startswith("VmHWM")), "")
    return int(line.split()[1]) / 1024 if line else 0.0
