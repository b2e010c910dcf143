"""How a job has ended, as the record that says so."""

from __future__ import annotations

from typing import Any

from prefect_seedance.catalog.pricing import cost_of, may_have_cost
from prefect_seedance.ledger.record import FailureReason, Record, Step, next_step
from prefect_seedance.runpod.responses import Answer, failure_of


def ended(record: Record, answer: Answer) -> Record:
    """The record of a job's end. What may have been charged is never free to be claimed again."""
    facts: dict[str, Any] = {"answer": answer.body, "cost_usd": cost_of(answer.body)}
    if answer.ended == "completed":
        return next_step(record, Step.COMPLETED, **facts)
    if answer.ended == "cancelled":
        return next_step(record, Step.LOST, kind=FailureReason.CANCELLED, reason="the job was cancelled", **facts)
    kind, message = failure_of(answer.body)
    step = Step.LOST if may_have_cost(answer.body) else Step.FAILED
    return next_step(record, step, kind=FailureReason(kind), reason=message, **facts)
