"""Render what people drop into the inbox of a store: each storyboard once, within the limits, apart from the others."""

from __future__ import annotations

from typing import Annotated, Any, cast

from prefect import flow
from pydantic import Field

from prefect_seedance.inbox.prefect_renderer import PrefectRenderer
from prefect_seedance.inbox.process import process
from prefect_seedance.orchestration import artifacts
from prefect_seedance.orchestration.blocks import RunpodCredentials, SpendingLimits, VideoStore
from prefect_seedance.orchestration.display import Display, made
from prefect_seedance.orchestration.render import options_of
from prefect_seedance.orchestration.shared_limits import share_quotas
from prefect_seedance.orchestration.states import final_state
from prefect_seedance.rendering.options import Dollars, InFlight, Minutes, Retries
from prefect_seedance.sources.catalog import catalog_of
from prefect_seedance.text import dollars


@flow(name="process-inbox", flow_run_name="inbox")
async def process_inbox(
    credentials: RunpodCredentials,
    store: VideoStore,
    limits: SpendingLimits | None = None,
    budget: Dollars | None = None,
    approve: str | None = None,
    max_in_flight: InFlight = 10,
    retry_failed: Retries = 0,
    wait_minutes: Minutes = 60.0,
    prefix: str = "inbox",
    quiet_minutes: Annotated[float, Field(ge=0)] = 0.0,
    fail_on_partial: bool = False,
) -> dict[str, Any]:
    """Process every storyboard, CSV shot list and folder below the inbox of the store, and report on each.

    What is done goes to `inbox-done/NAME/`, what is broken to `inbox-rejected/NAME/` with a `problems.txt`; what may
    not be paid for now stays. It never pauses: above `approve_above` a storyboard stays too, and its error says how to
    approve it.

    Args:
        credentials: The Runpod account that pays.
        store: Where the inbox, clips, ledger and productions live.
        limits: What may be spent per run, day and month, and above what a person has to approve.
        budget: The most that this run may spend on all storyboards together, in dollars.
        approve: The hash of a plan that a person has approved.
        max_in_flight: How many jobs may be out at once, of all storyboards together.
        retry_failed: New attempts for a job that failed; failed jobs are not charged.
        wait_minutes: How long to wait for a job before leaving it to the collector.
        prefix: Where in the store the inbox is.
        quiet_minutes: How long a delivery has to lie still before it is taken, so that no half upload is.
        fail_on_partial: Whether a run with a storyboard that is not complete counts as failed.
    """
    options = options_of(limits, budget, approve, max_in_flight, retry_failed, wait_minutes)
    opened = store.open()
    try:
        catalog = await catalog_of(opened)
        await share_quotas(credentials.account())
        renderer = PrefectRenderer(credentials, store, catalog)
        report = await process(credentials.account(), opened, options, catalog, renderer, prefix, quiet_minutes * 60)
    finally:
        await opened.aclose()
    document = report.model_dump(mode="json")
    made(document)
    await Display().show(artifacts.inbox(document))
    whole = report.exit_code == 0
    left = "" if whole else ", not all of them complete"
    message = f"{len(report.boards)} productions{left}, {dollars(report.spent_usd)} spent"
    # Prefect hands on what the state holds.
    return cast("dict[str, Any]", final_state(document, message, failed=fail_on_partial and not whole))
