"""Cancelling the jobs of a cancelled flow run that was started with `cancel_jobs`; they are found in the ledger."""

from __future__ import annotations

from typing import Any

from prefect.blocks.core import Block

from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Step
from prefect_seedance.orchestration import logs
from prefect_seedance.orchestration.approval import is_deployed
from prefect_seedance.orchestration.blocks import RunpodCredentials, VideoStore
from prefect_seedance.runpod.client import open_client
from prefect_seedance.text import dollars


async def cancel_jobs_of_run(flow: Any, flow_run: Any, state: Any) -> None:
    """Ask Runpod to cancel the open jobs of this flow run, which may still be charged; nothing without `cancel_jobs`.

    Prefect's hook for a cancelled run. It runs in the runner's process after the flow has gone, so the blocks come from
    the stored parameters.
    """
    given = flow_run.parameters
    if not given.get("cancel_jobs"):
        return
    credentials, store = await _block(given["credentials"]), await _block(given["store"])
    if not isinstance(credentials, RunpodCredentials) or not isinstance(store, VideoStore):
        return
    opened = store.open()
    try:
        await cancel_jobs(Ledger(opened), credentials, str(flow_run.id))
    finally:
        await opened.aclose()


def say_if_it_may_cancel_none(cancel_jobs: bool) -> None:
    """Warn where *cancel_jobs* may do nothing: Prefect's runner calls the hook of the run that it has started alone."""
    if cancel_jobs and not is_deployed():
        logs.log().warning(
            "cancel_jobs may do nothing in this run, which is a subflow or was called from Python: where Prefect does "
            "not tell it of its cancelling, its jobs go on and are paid; start a deployment of it with run_deployment."
        )


async def cancel_jobs(ledger: Ledger, credentials: RunpodCredentials, flow_run_id: str) -> list[str]:
    """Cancel every open job that *flow_run_id* claimed, and return the ids of those whose cancelling Runpod took."""
    taken = []
    async with open_client(credentials.account()) as client:
        for key in sorted({key for key, _ in await ledger.markers()}):
            last = (await ledger.load(key)).last
            if last and last.step is Step.ACCEPTED and last.job_id and last.writer.flow_run_id == flow_run_id:
                if await client.cancel(last.request.model, last.job_id):
                    taken.append(last.job_id)
                else:
                    logs.log().warning(
                        "Runpod did not take the cancelling of job %s (%s); it goes on and may be charged; cancel it "
                        "in the Runpod console, or let `prefect-seedance collect` bring its clip home.",
                        last.job_id,
                        dollars(last.charged_usd),
                    )
    return taken


async def _block(given: Any) -> Any:
    if isinstance(given, dict) and "$ref" in given:
        return await Block.aload_from_ref(given["$ref"])
    return given
