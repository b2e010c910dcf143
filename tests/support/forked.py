"""Processes that begin at once: each forked from one that has imported what they need, and otherwise like any other.

Most of what a short command costs is imports. Tests of signals, of streams and of a first start use real commands.
It takes Linux. Renderings that are killed by the hundred are forked by `forking`, which needs no words and no streams.
"""

from __future__ import annotations

import atexit
import fcntl
import functools
import gc
import marshal
import os
import runpy
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO

from tests.support.places import ROOT

REQUEST = 1 << 17
"""Bytes of the longest request: words and environment."""


class Forked:
    """A process, with what tests use of `subprocess.Popen`."""

    def __init__(self, reports: socket.socket) -> None:
        self._reports = reports
        self.stdout: IO[str] | None = None
        self.returncode: int | None = None
        self.pid = int(self._report(60))

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
                [sys.executable, "-m", "tests.support.forked", *words],
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
        socket.send_fds(asking, [request], [stdout, stderr])
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


class Forks:
    """Forks for each request, and tells who asked how it ended. Who stands in for a process dies with it."""

    def __init__(self, listening: socket.socket, python: str, run: int) -> None:
        self.listening = listening
        self.python = python
        self.run = os.pidfd_open(run)
        self.ends: dict[int, tuple[int, socket.socket]] = {}
        self.bound: dict[int, tuple[int, socket.socket]] = {}

    def until_forked(self) -> list[str]:
        """The words to run, in the forked process only."""
        while True:
            ready, _, _ = select.select([self.run, self.listening.fileno(), *self.ends, *self.bound], [], [])
            for one in ready:
                if one == self.run:
                    folder = Path(self.python).parent
                    shutil.rmtree(folder, ignore_errors=True)
                    folder.with_suffix(".lock").unlink(missing_ok=True)
                    os._exit(0)
                elif one in self.ends:
                    self._ended(one)
                elif one in self.bound:
                    pid, _ = self.bound.pop(one)
                    os.kill(pid, signal.SIGKILL)
                elif one == self.listening.fileno() and (words := self._asked()):
                    return words

    def _asked(self) -> list[str] | None:
        report, _ = self.listening.accept()
        request, fds, _, _ = socket.recv_fds(report, REQUEST, 2)
        if not request:
            report.close()
            return None
        words, environment, folder, stands_in = marshal.loads(request)
        pid = os.fork()
        if pid == 0:
            return self._become(words, environment, folder, fds)
        for fd in fds:
            os.close(fd)
        self.ends[os.pidfd_open(pid)] = (pid, report)
        if stands_in:
            asker, _, _ = struct.unpack("3i", report.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            Path(self.python).with_name(str(pid)).write_text(str(asker))
            self.bound[report.fileno()] = (pid, report)
        _say(report, pid)
        return None

    def _ended(self, one: int) -> None:
        pid, report = self.ends.pop(one)
        _, status = os.waitpid(pid, 0)
        os.close(one)
        self.bound.pop(report.fileno(), None)
        Path(self.python).with_name(str(pid)).unlink(missing_ok=True)
        _say(report, os.waitstatus_to_exitcode(status))
        report.close()

    def _become(self, words: list[str], environment: dict[str, str], folder: str, fds: list[int]) -> list[str]:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(fds[0], 1)
        os.dup2(fds[1], 2)
        for open_here in (self.listening, *(report for _, report in self.ends.values())):
            open_here.detach()
        os.closerange(3, 1024)
        os.environ.clear()
        os.environ.update(environment)
        time.tzset()
        os.chdir(folder)
        sys.path[0] = folder
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if "prefect" in sys.modules:
            sys.executable = self.python
            _read_settings_again()
        return words


def _read_settings_again() -> None:
    """Prefect reads them once, when it is imported; and our command line, before that, says what it wants of them."""
    from prefect import context
    from prefect.logging.configuration import setup_logging

    from prefect_seedance.cli.prefect_settings import prepare_prefect

    if "PREFECT_API_URL" in os.environ:
        prepare_prefect()
    context.GLOBAL_SETTINGS_CONTEXT = context.root_settings_context()
    setup_logging()


def _say(report: socket.socket, number: int) -> None:
    with suppress(BrokenPipeError):  # whoever started it no longer asks
        report.send(str(number).encode())


class Quick:
    """Ends a forked process after all that it has to do at its end.

    To take its memory apart, as the interpreter does then, would copy most of what it shares: half a second each.
    """

    def __init__(self) -> None:
        self.code: int | None = None
        atexit.register(self._leave)

    def _leave(self) -> None:
        if self.code is not None:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(self.code)

    def run(self, words: list[str]) -> None:
        sys.argv = words
        try:
            runpy.run_module(words[0], run_name="__main__", alter_sys=True)
            self.code = 0
        except SystemExit as said:
            self.code = 0 if said.code is None else said.code if isinstance(said.code, int) else None
            raise


def _main() -> None:
    quick = Quick()  # registered before anything else, and so called last
    python, listening, run, module = sys.argv[1:]
    import_module(module)
    gc.collect()
    gc.freeze()  # what is shared stays shared
    quick.run(Forks(socket.socket(fileno=int(listening)), python, int(run)).until_forked())


if __name__ == "__main__":
    _main()
