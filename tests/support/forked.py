"""Processes that begin at once: each forked from one that has imported what they need, and otherwise like any other.

Most of what a short command costs is imports. Tests of signals, of streams and of a first start use real commands.
"""

from __future__ import annotations

import functools
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from importlib import import_module
from typing import IO

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
    """A process that has imported *modules* and forks off one command after another, until its owner ends."""

    def __init__(self, modules: tuple[str, ...], environment: dict[str, str]) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "tests.support.forked", str(theirs.fileno()), *modules]
        everywhere = os.environ | environment
        self.process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], env=everywhere, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        theirs.close()

    def start(self, words: list[str], environment: dict[str, str], folder: str, stdout: int, stderr: int) -> Forked:
        """Run `python -m WORDS` with that environment and folder, and with those files as its streams."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = json.dumps({"words": words, "environment": environment, "folder": folder})
        socket.send_fds(self._ours, [request.encode()], [stdout, stderr, theirs.fileno()])
        theirs.close()
        return Forked(ours)


@functools.cache
def forker(modules: tuple[str, ...], environment: tuple[tuple[str, str], ...] = ()) -> Forker:
    """The one of this test process; it ends with it."""
    return Forker(modules, dict(environment))


def _fork_on_request(control: socket.socket) -> list[str]:
    """Fork for each request and report how each process ended; returns, with the words to run, in the forked only."""
    reports: dict[int, tuple[int, socket.socket]] = {}
    while True:
        ready, _, _ = select.select([control.fileno(), *reports], [], [])
        for one in ready:
            if one in reports:
                pid, report = reports.pop(one)
                _, status = os.waitpid(pid, 0)
                os.close(one)
                _say(report, os.waitstatus_to_exitcode(status))
                report.close()
                continue
            request, fds, _, _ = socket.recv_fds(control, REQUEST, 3)
            if not request:
                os._exit(0)
            pid = os.fork()
            if pid == 0:
                return _become(**json.loads(request), fds=fds)
            report = socket.socket(fileno=fds.pop())
            for fd in fds:
                os.close(fd)
            _say(report, pid)
            reports[os.pidfd_open(pid)] = (pid, report)


def _say(report: socket.socket, number: int) -> None:
    with suppress(BrokenPipeError):  # whoever started it no longer asks
        report.send(str(number).encode())


def _become(words: list[str], environment: dict[str, str], folder: str, fds: list[int]) -> list[str]:
    os.dup2(fds[0], 1)
    os.dup2(fds[1], 2)
    os.closerange(3, 1024)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return words


def _main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    for module in sys.argv[2:]:
        import_module(module)
    words = _fork_on_request(control)
    control.detach()
    sys.argv = words
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
