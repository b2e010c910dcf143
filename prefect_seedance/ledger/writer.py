"""Who wrote a claim, and whether that process can still be alive."""

from __future__ import annotations

import os
import platform
import secrets
from pathlib import Path

from prefect_seedance.ledger.record import Writer


def new_claim_id() -> str:
    return secrets.token_hex(16)


def this_writer(flow_run_id: str | None = None, task_run_id: str | None = None) -> Writer:
    """This process, as claims name it."""
    pid = os.getpid()
    return Writer(
        host=platform.node(),
        pid=pid,
        boot=_boot(),
        started=_started(pid),
        flow_run_id=flow_run_id,
        task_run_id=task_run_id,
    )


def is_gone(writer: Writer) -> bool:
    """True only if *writer* was a process of this boot of this machine and surely no longer runs."""
    if writer.boot is None or writer.boot != _boot() or writer.started is None:
        return False
    return _started(writer.pid) != writer.started


def _boot() -> str | None:
    """This boot of this machine and this process namespace (two containers of one machine can't see each other)."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _started(pid: int) -> str | None:
    """When the process began, in clock ticks since boot; None if it is no more (a zombie has ended)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
