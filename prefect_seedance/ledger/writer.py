"""Who wrote a claim, and whether that process can still be alive."""

from __future__ import annotations

import os
import platform
import secrets
from pathlib import Path

from prefect_seedance.ledger.record import Writer

ENDED = ("Z", "X")
"""States of a process that has ended and whose parent has not asked for its exit code: a zombie."""


def new_claim_id() -> str:
    return secrets.token_hex(16)


def this_writer(flow_run_id: str | None = None, task_run_id: str | None = None) -> Writer:
    """This process, as claims name it."""
    pid = os.getpid()
    return Writer(
        host=platform.node(),
        pid=pid,
        boot=_boot(),
        started=_state_and_start(pid)[1],
        flow_run_id=flow_run_id,
        task_run_id=task_run_id,
    )


def is_gone(writer: Writer) -> bool:
    """True only if *writer* was a process of this boot of this machine and the kernel says that it no longer runs.

    A process that can't be seen (hidepid, ProtectProc, another user) is not gone.
    """
    if writer.boot is None or writer.boot != _boot():
        return False
    try:
        os.kill(writer.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it is there, and somebody else's
        pass
    state, started = _state_and_start(writer.pid)
    return state in ENDED or (None not in (started, writer.started) and started != writer.started)


def _boot() -> str | None:
    """This boot of this machine and this process namespace (two containers of one machine can't see each other)."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _state_and_start(pid: int) -> tuple[str | None, str | None]:
    """The state of a process and when it began, in clock ticks since boot; None where that can't be read."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None, None
    return fields[0], fields[19]
