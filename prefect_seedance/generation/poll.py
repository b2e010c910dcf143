"""Wait until a job has ended. Costs nothing, ends at one deadline, and never gives the job up."""

from __future__ import annotations

import asyncio
import time

from prefect_seedance.errors import EndpointGone, JobGone, NeedsAttention, StillRunning
from prefect_seedance.generation.ends import ended
from prefect_seedance.generation.poll_times import Watch
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.ledger.clocks import Elapsed
from prefect_seedance.ledger.record import Record, Step, next_step
from prefect_seedance.ledger.rules import History
from prefect_seedance.runpod.client import RunpodClient

RUNSYNC_KEPT = 60.0
"""Seconds after its end that the answer to a /runsync is kept, so that no look may be further from the next."""


async def wait(session: RenderSession, history: History, *, deadline: float | None = None) -> History:
    """Wait until the job of *history* has ended, or go on waiting where an earlier run stopped. Costs nothing.

    A *deadline* of 0 seconds is one look. Raises `StillRunning` when it has passed, and `NeedsAttention` if the API
    no longer takes the key: both keep the job.
    """
    if history.state is not Step.ACCEPTED or history.last is None:
        return history
    record = history.last
    patience = session.waiting.deadline if deadline is None else deadline
    until, watch = time.monotonic() + patience, Watch(record, session.notes, session.waiting)
    row = session.catalog.get(record.request.model)
    by_runsync = row is not None and row.runsync is not None
    usual = 0 if by_runsync else row.usual_seconds if row else 90
    async for _ in session.polling.poll_times(record, usual, at_once=deadline == 0, until=until):
        look = Elapsed()
        try:
            answer = await session.client.status(record.request.model, record.job_id or "")
        except JobGone:
            known = await session.ledger.load(record.key)
            if known.last is None or known.last.claim_id != record.claim_id or known.state is not Step.ACCEPTED:
                return known
            refuse_foreign(record, session.client)
            if await watch.gone_for_good(look):
                return await session.append(
                    next_step(record, Step.LOST, reason="the API no longer knows the job (404)")
                )
            answer = None
        except EndpointGone as error:
            raise EndpointGone(
                f"the endpoint {record.request.model} is not there (404); the job {record.job_id} is kept; run "
                "again, or, if it was withdrawn for good, "
                f"`prefect-seedance settle {record.key}@{record.number} --store … --charged`"
            ) from error
        if answer and answer.ended:
            if answer.ended == "completed" and watch.was_near:
                session.polling.ended(record)
            return await session.append(ended(record, answer), history)
        if answer and answer.body:
            await watch.known()
        left = until - time.monotonic()
        if left <= 0:
            break
        if answer and answer.retry_after:
            await asyncio.sleep(min(answer.retry_after, RUNSYNC_KEPT / 2 if by_runsync else 60.0, left))
    since = f" after {patience:.0f} s of waiting" if patience else ""
    raise StillRunning(
        f"the job {record.job_id} {watch.summary}{since}; it is kept, and "
        "`prefect-seedance collect` or the next render brings it home"
    )


def refuse_foreign(record: Record, client: RunpodClient) -> None:
    """Raise `NeedsAttention` if *record* is of another account: what this one does not know says nothing about it."""
    if record.account != client.account.fingerprint:
        raise NeedsAttention(
            f"the job {record.job_id} was submitted with another API key or address ({record.base_url}); it is kept; "
            "run again with that one, or, if that one is gone, "
            f"`prefect-seedance settle {record.key}@{record.number} --store … --charged`"
        )
