"""Ledgers as runs leave them: of many stored keys without their clips, written at once, or of a job that has ended."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from prefect_seedance.budget.limits import Limits
from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.ledger import Ledger, record_path
from prefect_seedance.ledger.record import Record, Step, next_step
from prefect_seedance.ledger.rules import History
from prefect_seedance.ledger.writer import new_claim_id, this_writer
from prefect_seedance.rendering.steps import last_of
from prefect_seedance.storage.store import Store
from tests.support.renderer import accepted, small

COST = Decimal("0.05")


async def stored_keys(store: Store, *, runs: int, each: int, title: str = "Run") -> list[str]:
    """The keys of *runs* runs of *each* shots, reserved, stored and settled in the folder *store*."""
    made: list[str] = []
    spend, now = MonthlySpend(store), datetime.datetime.now(datetime.UTC)
    for run in range(runs):
        requests = [small(f"{title} {run}, shot {shot}.") for shot in range(each)]
        keys = {key_of(request): COST for request in requests}
        reservation = await spend.reserve(keys, Limits(per_month=Decimal(10**6)), this_writer(), now)
        for request in requests:
            claim = Record(
                key=key_of(request),
                number=1,
                step=Step.CLAIMED,
                at=now,
                request=request,
                estimated_usd=COST,
                attempt=1,
                claim_id=new_claim_id(),
                claimed_at=now,
                submit_timeout_seconds=90,
                writer=this_writer(),
                reservation=reservation.id,
            )
            _write(Path(store.url), claim, now + datetime.timedelta(seconds=60 + run))
        await spend.reconcile(reservation, Ledger(store).load_whole, now, by_its_run=True)
        made += keys
    return made


def _write(folder: Path, claim: Record, at: datetime.datetime) -> None:
    done: dict[str, Any] = {"job_id": claim.claim_id[:8], "cost_usd": COST, "at": at}
    facts: dict[str, Any] = {"clip": f"clips/{claim.key}-000000000000.mp4", "sha256": "0" * 64, "bytes": 1}
    steps: list[dict[str, Any]] = [
        {},
        {"step": Step.ACCEPTED},
        {"step": Step.COMPLETED, **done},
        {"step": Step.STORED, **done, **facts},
    ]
    for number, changed in enumerate(steps, 1):
        record = claim.model_copy(update={"number": number, **changed})
        path = folder / record_path(claim.key, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(record.model_dump_json(by_alias=True))


async def completed(store: Store, prompt: str) -> History:
    """The history of a job that has ended."""
    request, ledger = small(prompt), Ledger(store)
    job = accepted(prompt).model_copy(update={"key": key_of(request), "request": request})
    claim = job.model_copy(update={"step": Step.CLAIMED, "number": 1, "job_id": None, "accepted_at": None})
    history = await ledger.append(History(claim.key), claim)
    history = await ledger.append(history, next_step(claim, Step.ACCEPTED, job_id=prompt, accepted_at=job.accepted_at))
    return await ledger.append(history, next_step(last_of(history), Step.COMPLETED, answer={}, cost_usd=COST))
