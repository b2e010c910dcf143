"""Where a record goes that the store does not take: stderr, the log and a file outside the store, at once."""

from __future__ import annotations

import datetime
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from prefect_seedance.ledger.record import Record
from prefect_seedance.text import harmless

log = logging.getLogger(__name__)


def rescue_file() -> Path:
    """Where a record waits that the store does not take: outside the store, for a person."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "prefect-seedance" / "rescue.jsonl"


def rescue(record: Record, error: Exception, store_url: str, **more: Any) -> None:
    """Say at once, in three places outside the store, what the store does not take now."""
    job, says_it = f"job {record.job_id}", f"--job-id {record.job_id}"
    if record.job_id is None:
        job, says_it = "no job id", "with --job-id ID, --not-charged or --charged"
    told = (
        f"The store does not take the record `{record.step}` of {record.key} (attempt {record.attempt}, {job}): "
        f"{error} It is tried until it does. Should this process end before, its number is listed by "
        f"`prefect-seedance settle --store {store_url}`, and `settle {record.key}@NUMBER` {says_it} "
        f"says it; a copy is in {rescue_file()}."
    )
    log.error(told)
    print(harmless(told), file=sys.stderr, flush=True)  # noqa: T201 - the log may be shipped elsewhere or be off
    line = {"at": datetime.datetime.now(datetime.UTC).isoformat(), "store": store_url, **more}
    line["record"] = record.model_dump(mode="json")
    try:
        rescue_file().parent.mkdir(parents=True, exist_ok=True)
        with rescue_file().open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as failure:
        print(f"The rescue file can't be written either: {failure}", file=sys.stderr, flush=True)  # noqa: T201
