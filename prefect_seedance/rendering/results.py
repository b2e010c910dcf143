"""What became of a shot, as the manifest says it."""

from __future__ import annotations

from decimal import Decimal

from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.ledger.rules import remedy
from prefect_seedance.production.manifest import ShotResult, ShotStatus
from prefect_seedance.storyboard.board import BoardShot

STATUS_OF: dict[Step, ShotStatus] = {
    Step.STORED: "stored",
    Step.FAILED: "failed",
    Step.REFUSED: "refused",
    Step.UNCLEAR: "unclear",
    Step.LOST: "lost",
}
"""All other steps show as running."""


def is_paid(record: Record) -> bool:
    """Whether an attempt is known to have been charged, with a clip or without one."""
    return record.step in (Step.COMPLETED, Step.STORED) or bool(record.cost_usd)


def result_of(
    shot: BoardShot,
    record: Record | None,
    *,
    estimated_usd: Decimal,
    claimed_here: bool,
    error: str | None = None,
    held: str | None = None,
) -> ShotResult:
    """The line of *shot* in the manifest. *error* is what stopped it in this run, *held* why it was not begun."""
    if record is None or (record.step in (Step.REFUSED, Step.FAILED) and error is not None):
        return ShotResult(
            id=shot.id,
            status="blocked",
            key=shot.key,
            take=shot.take,
            estimated_usd=estimated_usd,
            error=error or held or "not submitted: the run was stopped before",
            **dict(shot.words),
        )
    footage, seen = record.footage, record.footage or record.heard
    return ShotResult(
        id=shot.id,
        status=STATUS_OF.get(record.step, "running"),
        key=record.key,
        take=shot.take,
        record=record.number,
        attempt=record.attempt,
        job_id=record.job_id,
        clip=record.clip if record.step is Step.STORED else None,
        sha256=record.sha256,
        bytes=record.bytes,
        width=footage.width if footage else None,
        height=footage.height if footage else None,
        fps=footage.fps if footage else None,
        frames=footage.frames if footage else None,
        seconds=seen.seconds if seen else None,
        audio=footage.audio if footage else None,
        duration_mismatch=record.duration_mismatch,
        estimated_usd=estimated_usd,
        cost_usd=record.cost_usd,
        paid_this_run=claimed_here and is_paid(record),
        error=None if record.step is Step.STORED else (error or remedy(record)),
        **dict(shot.words),
    )
