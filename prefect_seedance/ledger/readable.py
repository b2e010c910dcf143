"""The bytes of a record, read back before they are written: one that its own writer has damaged would be none."""

from __future__ import annotations

import json
import logging

from prefect_seedance.errors import LedgerUnreadable
from prefect_seedance.ledger.record import Record

log = logging.getLogger(__name__)
REPORTED = frozenset({"answer", "cost_usd", "reason", "kind", "footage", "heard"})
"""What a record repeats from others: may be left out rather than spoil it."""


def readable(record: Record) -> tuple[Record, bytes]:
    """*record* and its bytes, without what could not be read back: a record that is damaged by its writer is none."""
    content, problem = _tried(record)
    if problem is None:
        return record, content
    spoiling = {name for name in REPORTED if _tried(record.model_copy(update={name: None}))[1] != problem}
    whole = record.model_copy(update=dict.fromkeys(spoiling))
    content, problem = _tried(whole)
    if problem is not None:
        raise LedgerUnreadable(
            f"The record `{record.step}` of {record.key} can't be written so that it can be read ({problem}); nothing "
            "was submitted for it."
        )
    log.error("%s: `%s` is recorded without its unreadable %s.", record.key, record.step, ", ".join(sorted(spoiling)))
    return whole, content


def _tried(record: Record) -> tuple[bytes, str | None]:
    """The bytes of *record*, and what keeps them from being read back."""
    try:
        content = _bytes_of(record)
        Record.model_validate_json(content)
    except ValueError as error:
        return b"", " ".join(str(error).split())
    return content, None


def _bytes_of(record: Record) -> bytes:
    text = json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False)
    return text.encode(errors="replace")  # an answer may hold half a character
