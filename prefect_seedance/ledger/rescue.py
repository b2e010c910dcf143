"""Where a record goes that the store does not take: stderr, the log and a file outside the store, at once."""

from __future__ import annotations

import datetime
import json
import logging
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from prefect_seedance.errors import LedgerUnreadable, summary
from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.text import harmless

log = logging.getLogger(__name__)


def rescue_file() -> Path:
    """Where a record waits that the store does not take: outside the store, for a person."""
    state = os.environ.get("XDG_STATE_HOME")
    if not state:
        try:
            state = str(Path.home() / ".local" / "state")
        except RuntimeError:  # a container without a home
            state = tempfile.gettempdir()
    return Path(state) / "prefect-seedance" / "rescue.jsonl"


def rescue(record: Record, error: Exception, store_url: str, file: Path | None = None) -> None:
    """Say at once, in three places outside the store, what the store does not take now. *file* is a verified clip.

    Never raises: whoever calls it goes on trying, and a terminal or a disk that is gone must not end that.
    """
    told = (
        f"The store does not take the record `{record.step}` of {_job_of(record)}: {summary(error)} It is tried until "
        f"it does. Should this process end before, {_way_on(record, store_url)}."
    )
    if isinstance(error, LedgerUnreadable):
        told = without_a_place(record, error)
    if file is not None:
        told += f" The clip itself is kept as {file}."
    line: dict[str, Any] = {"at": datetime.datetime.now(datetime.UTC).isoformat(), "store": store_url}
    line |= {"file": str(file)} if file is not None else {}
    line["record"] = record.model_dump(mode="json")
    try:
        rescue_file().parent.mkdir(parents=True, exist_ok=True)
        with rescue_file().open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line) + "\n")
            lines.flush()
            os.fsync(lines.fileno())
    except (OSError, ValueError) as failure:
        told += f" The rescue file can't be written either: {failure}"
    else:
        told += f" A copy is in {rescue_file()}."
    log.error(told)
    with suppress(OSError, ValueError):  # nobody reads the terminal any more
        print(harmless(told), file=sys.stderr, flush=True)  # noqa: T201 - the log may be shipped elsewhere or be off


def without_a_place(record: Record, error: Exception) -> str:
    """One sentence about a record that can't be appended, since those before it can't be read."""
    why = str(error).replace("nothing was submitted", "nothing more is submitted")
    return (
        f"The record `{record.step}` of {_job_of(record)} has no place in the store: {why} A copy is in "
        f"{rescue_file()}; update prefect-seedance or restore what is damaged, then `prefect-seedance collect`."
    )


def keep_copy(file: Path, name: str) -> Path | None:
    """Keep the verified clip *file* under its *name* beside the rescue file, where no sweeping finds it, or None."""
    kept = rescue_file().parent / "clips" / name
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.unlink(missing_ok=True)
        try:
            os.link(file, kept)
        except OSError:  # another filesystem
            shutil.copyfile(file, kept)
    except OSError:
        return None
    return kept


def _job_of(record: Record) -> str:
    job = "no job id" if record.job_id is None else f"job {record.job_id}"
    return f"{record.key} (attempt {record.attempt}, {job})"


def _way_on(record: Record, store_url: str) -> str:
    if record.step not in (Step.ACCEPTED, Step.UNCLEAR, Step.REFUSED):
        return f"`prefect-seedance collect --store {store_url}` asks for it again, while the API still knows the job"
    verdict = f"--job-id {record.job_id}" if record.job_id else "--job-id ID, --not-charged or --charged"
    return (
        f"its number is listed by `prefect-seedance settle --store {store_url}`, and `settle {record.key}@NUMBER "
        f"{verdict}` says it"
    )
