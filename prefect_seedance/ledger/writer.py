"""Who wrote a claim, and whether that process can still be alive."""

from __future__ import annotations

import os
import platform
import secrets

from prefect_seedance.ledger.record import Writer
from prefect_seedance.storage.processes import has_ended, state_and_start, this_boot


def new_claim_id() -> str:
    return secrets.token_hex(16)


def this_writer(flow_run_id: str | None = None, task_run_id: str | None = None) -> Writer:
    """This process, as claims name it."""
    pid = os.getpid()
    return Writer(
        host=platform.node(),
        pid=pid,
        boot=this_boot(),
        started=state_and_start(pid)[1],
        flow_run_id=flow_run_id,
        task_run_id=task_run_id,
    )


def is_gone(writer: Writer) -> bool:
    """True only if *writer* was a process of this boot of this machine and the kernel says that it no longer runs."""
    return writer.boot is not None and writer.boot == this_boot() and has_ended(writer.pid, writer.started)
