"""A process is gone only if the kernel says so: what can't be seen may still spend."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from prefect_seedance.ledger.record import Writer
from prefect_seedance.ledger.writer import is_gone, this_writer

SAYS_WHO_IT_IS = """
import sys
from prefect_seedance.ledger.writer import this_writer
print(this_writer().model_dump_json(), flush=True)
sys.stdin.read()
"""

LOOKS_FROM_ANOTHER_USER = """
import os, sys
from pathlib import Path
from prefect_seedance.ledger.record import Writer
from prefect_seedance.ledger.writer import is_gone
os.setgid(65534); os.setuid(65534)
writers = [Writer.model_validate_json(line) for line in sys.argv[1:]]
print([(Path(f"/proc/{w.pid}").exists(), is_gone(w)) for w in writers])
"""


@pytest.fixture
def other() -> Iterator[tuple[subprocess.Popen[str], Writer]]:
    """A living process, and how it names itself in its claims."""
    process = subprocess.Popen(
        [sys.executable, "-c", SAYS_WHO_IT_IS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    yield process, Writer.model_validate_json(process.stdout.readline())
    process.kill()
    process.communicate()


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="tells processes apart by /proc")
def test_a_process_is_gone_when_it_has_ended_and_not_before(other: tuple[subprocess.Popen[str], Writer]) -> None:
    process, writer = other
    assert not is_gone(this_writer())
    assert not is_gone(writer)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
    assert is_gone(writer)
    process.wait()
    assert is_gone(writer)


def test_a_later_process_of_the_same_number_is_not_the_writer(other: tuple[subprocess.Popen[str], Writer]) -> None:
    _, writer = other
    assert is_gone(writer.model_copy(update={"started": "1"}))
    assert not is_gone(writer.model_copy(update={"started": None}))


def test_a_process_of_another_machine_or_boot_is_never_called_gone() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    mine = this_writer().model_copy(update={"pid": ended.pid})
    assert is_gone(mine)
    assert not is_gone(mine.model_copy(update={"boot": "another"}))
    assert not is_gone(mine.model_copy(update={"boot": None}))


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None or subprocess.call(["unshare", "--mount", "true"]) != 0,
    reason="hides processes by a mount of its own, which only root may make",
)
def test_a_hidden_process_of_another_user_is_not_gone(other: tuple[subprocess.Popen[str], Writer]) -> None:
    _, living = other
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    gone = living.model_copy(update={"pid": ended.pid})
    command = ["unshare", "--mount", "sh", "-c", 'mount -t proc -o hidepid=2 proc /proc && exec "$@"', "sh"]
    program = [sys.executable, "-c", LOOKS_FROM_ANOTHER_USER, living.model_dump_json(), gone.model_dump_json()]
    told = subprocess.check_output([*command, *program], text=True)
    assert told == "[(False, False), (False, True)]\n"


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="tells boots apart by /proc")
def test_the_boot_is_read_once_in_a_process_and_anew_in_one_that_was_forked() -> None:
    program = (
        "import os, sys\n"
        "from prefect_seedance.ledger.writer import is_gone, this_writer\n"
        "read = []\n"
        "sys.addaudithook(lambda event, args: event == 'open' and 'boot_id' in str(args[0]) and read.append(1))\n"
        "assert not any(is_gone(this_writer()) for _ in range(10))\n"
        "print(len(read), flush=True)\n"
        "if os.fork() == 0:\n"
        "    assert this_writer().pid == os.getpid()\n"
        "    print(len(read), flush=True)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).split() == ["1", "2"]
