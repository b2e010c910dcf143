"""Bring home the clips that other runs left: every five minutes, so that no job record expires unseen."""

from __future__ import annotations

from typing import Any, cast

from prefect import flow

from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.generation.collect import collect
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.orchestration import artifacts, events
from prefect_seedance.orchestration.blocks import RunpodCredentials, VideoStore
from prefect_seedance.orchestration.display import Display, made
from prefect_seedance.orchestration.shared_limits import share_quotas
from prefect_seedance.orchestration.states import final_state
from prefect_seedance.runpod.client import open_client
from prefect_seedance.storage.store import refuse_other_kind


@flow(name="collect-finished", flow_run_name="collect")
async def collect_finished(
    credentials: RunpodCredentials, store: VideoStore, fail_on_partial: bool = False
) -> dict[str, Any]:
    """Look at what is open in the ledger, from any run, and bring home what is done. Spends nothing.

    Args:
        credentials: The Runpod account that submitted the jobs.
        store: Where the ledger of the jobs is, and where their clips go.
        fail_on_partial: Whether a run that finds records it can't read counts as failed.
    """
    account, opened = credentials.account(), store.open()
    step_events = events.StepEvents()
    try:
        await refuse_other_kind(opened, account.kind)
        await share_quotas(account)
        async with open_client(account) as client:
            run = RenderSession(client, Ledger(opened), on_step=step_events)
            found = (await collect(run, MonthlySpend(opened))).as_json()
        made(found)
        for unreadable in found["errors"]:
            events.ledger_unreadable(**unreadable)
        if step_events.steps:  # not every five minutes
            await Display().show(artifacts.collected(found, run.ledger))
    finally:
        await opened.aclose()
    failed = bool(found["errors"]) and fail_on_partial
    # Prefect hands on what the state holds.
    return cast("dict[str, Any]", final_state(found, artifacts.counts(found), failed=failed))
