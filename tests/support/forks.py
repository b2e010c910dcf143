"""The process from which tests fork others: `python -m tests.support.forks PYTHON SOCKET RUN MODULE`.

It has imported MODULE, forks for whoever asks at SOCKET, and ends with the process RUN.
"""

from __future__ import annotations

import atexit
import gc
import marshal
import os
import runpy
import select
import shutil
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path

REQUEST = 1 << 17
"""Bytes of the longest request: words and environment."""


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
        request, fds, _, _ = socket.recv_fds(report, REQUEST, 3)
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
        for stream, fd in enumerate(fds):
            os.dup2(fd, stream)
        for open_here in (self.listening, *(report for _, report in self.ends.values())):
            open_here.detach()
        os.closerange(3, 1024)
        os.environ.clear()
        os.environ.update(environment)
        time.tzset()
        os.chdir(folder)
        sys.path[0] = folder
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.executable = self.python
        if "prefect" in sys.modules:
            _read_settings_again(ours=words[0].startswith("prefect_seedance"))
        return words


def _read_settings_again(*, ours: bool) -> None:
    """Prefect reads them once, when it is imported; and *our* command line, before that, says what it wants of them."""
    from prefect import context
    from prefect.logging.configuration import setup_logging

    from prefect_seedance.cli.prefect_settings import prepare_prefect

    if ours and "PREFECT_API_URL" in os.environ:
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
