"""Processes that begin at once: each forked from one that has imported what they need, and otherwise like any other.

Most of what a short command costs is imports. Tests of signals, of streams and of a first start use real commands.
It takes Linux. Renderings that are killed by the hundred are forked by `forking`, which needs no words and no streams.
"""

from __future__ import annotations

import fcntl
import functools
import marshal
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from tests.support.places import ROOT


class Forked:
    """A process, with what tests use of `subprocess.Popen`."""

    def __init__(self, reports: socket.socket) -> None:
        self._reports = reports
        self.stdout: IO[str] | None = None
        self.returncode: int | None = None
        self.pid = int(self._report(300))

    def _report(self, seconds: float | None) -> str:
        self._reports.settimeout(seconds)
        try:
            said = self._reports.recv(100)
        except TimeoutError:
            raise subprocess.TimeoutExpired("a forked process", seconds or 0) from None
        assert said, "the process that forks has ended"
        return said.decode()

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self.returncode = int(self._report(timeout))
            self._reports.close()
        return self.returncode

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._reports], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


class Forker:
    """A process that has imported a module and forks off one command after another, for a whole test run.

    `python` stands in for the interpreter, and `prefect` beside it for the command: what is started with it, and what
    that starts, is forked too.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = str(folder / "python")
        self.pid = int((folder / "pid").read_text())

    @classmethod
    def begun(cls, folder: Path, module: str) -> Forker:
        folder.mkdir(mode=0o700)
        quick = f"from tests.support.quick_python import main; main({str(folder / 'socket')!r}, {sys.executable!r})"
        for name in ("python", "prefect"):
            script = folder / name
            script.write_text(f"#!{sys.executable} -IS\nimport sys; sys.path.append({str(ROOT)!r})\n{quick}\n")
            script.chmod(0o700)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
            listening.bind(str(folder / "socket"))
            listening.listen(100)
            words = [str(folder / "python"), str(listening.fileno()), str(RUN), module]
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.forks", *words],
                pass_fds=[listening.fileno()],
                env={name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        (folder / "pid").write_text(str(process.pid))
        return cls(folder)

    def start(self, words: list[str], environment: dict[str, str], folder: str, stdout: int, stderr: int) -> Forked:
        """Run `python -m WORDS` with that environment and folder, and with those files as its streams."""
        asking = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        asking.connect(str(self.folder / "socket"))
        request = marshal.dumps((words, environment, folder, False))
        with open(os.devnull) as nothing:
            socket.send_fds(asking, [request], [nothing.fileno(), stdout, stderr])
        return Forked(asking)


RUN = os.getpid()
"""The process of the whole test run: it ends last, and what is forked for the run ends with it."""


@functools.cache
def forker(module: str) -> Forker:
    """The one of this test run that has imported *module*; begun by whichever of its processes needs it first."""
    folder = Path(tempfile.gettempdir()) / f"forked-{RUN}-{module.rpartition('.')[2]}"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return Forker(folder) if folder.exists() else Forker.begun(folder, module)


def forked_for(pid: int) -> list[int]:
    """The process that one stands in for: none or one."""
    found = []
    for path in prefect_forker().folder.glob("[0-9]*"):
        with suppress(FileNotFoundError):  # it has just ended
            found += [int(path.name)] if path.read_text() == str(pid) else []
    return found


def light_forker() -> Forker:
    """For emulators, and for commands without Prefect."""
    return forker("tests.support.warm_commands")


def prefect_forker() -> Forker:
    """For Prefect's own processes, and for commands as flows."""
    return forker("tests.support.warm_prefect")


def prefect_python() -> str:
    """An interpreter for `-m prefect …` whose imports are done already."""
    return prefect_forker().python


def path_to_commands() -> str:
    """A PATH with what is installed here, and such a `prefect` before it."""
    return f"{Path(prefect_python()).parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
