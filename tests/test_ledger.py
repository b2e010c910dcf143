from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from renderer import small

from prefect_seedance.fingerprint import key_of
from prefect_seedance.ledger import Ledger, new_claim_id, this_writer
from prefect_seedance.lifecycle import History, Record, Step
from prefect_seedance.store import open_store


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Ledger(open_store(tmp_path / "store"))


def a_claim(prompt: str = "A lighthouse.", **changed: Any) -> Record:
    request, now = small(prompt), datetime.datetime.now(datetime.UTC)
    facts: dict[str, Any] = {
        "key": key_of(request),
        "number": 1,
        "step": Step.CLAIMED,
        "at": now,
        "request": request,
        "estimated_usd": Decimal("0.05"),
        "attempt": 1,
        "claim_id": new_claim_id(),
        "claimed_at": now,
        "submit_timeout_seconds": 90.0,
        "writer": this_writer(),
    }
    return Record(**{**facts, **changed})


def after(record: Record, step: Step, **changed: Any) -> Record:
    return record.model_copy(update={"step": step, **changed})


async def grown(ledger: Ledger, *records: Record) -> History:
    history = await ledger.load(records[0].key)
    for record in records:
        history = await ledger.append(history, record)
    return history


async def test_what_was_lost_twice_is_lost(ledger: Ledger) -> None:
    claim = a_claim()
    accepted = after(claim, Step.ACCEPTED, job_id="job")
    lost = after(accepted, Step.LOST, reason="the API no longer knows the job (404)")
    completed = after(accepted, Step.COMPLETED, answer={"id": "job", "status": "COMPLETED"})
    await grown(ledger, claim, accepted, lost, completed)
    assert (await ledger.keep(after(completed, Step.LOST, reason="the clip's link is dead"))).state is Step.LOST


@pytest.mark.parametrize("text", ["\ud83d", "a\0b", "\u2028"], ids=["half a character", "zero", "line separator"])
async def test_any_text_of_an_answer_can_be_recorded(ledger: Ledger, text: str) -> None:
    claim = a_claim()
    accepted = after(claim, Step.ACCEPTED, job_id="job")
    await grown(ledger, claim, accepted)
    failed = after(accepted, Step.FAILED, reason=text, answer={"id": "job", "status": "FAILED", "error": text})
    assert (await ledger.keep(failed)).state is Step.FAILED
    assert (await ledger.load(claim.key)).state is Step.FAILED
