"""One shard of a campaign as a run of its own, on any machine: started by the flow `campaign`, watched by its store."""

from __future__ import annotations

from typing import Annotated, cast

from prefect import flow
from prefect.runtime import flow_run
from pydantic import Field

from prefect_seedance.campaign.document import Campaign, Shard, load_campaign
from prefect_seedance.campaign.marks import Marks
from prefect_seedance.campaign.prefect_host import ShardRunHost
from prefect_seedance.campaign.pulse import leave_end, pulsing
from prefect_seedance.campaign.results import ShardResult, not_begun
from prefect_seedance.campaign.shard import run_shard
from prefect_seedance.errors import SeedanceError
from prefect_seedance.orchestration.blocks import RunpodCredentials, SpendingLimits, VideoStore
from prefect_seedance.orchestration.render import options_of
from prefect_seedance.orchestration.shared_limits import share_quotas
from prefect_seedance.orchestration.states import final_state
from prefect_seedance.rendering.options import Dollars, InFlight, Minutes, Retries
from prefect_seedance.storage.store import Store
from prefect_seedance.text import dollars


@flow(name="campaign-shard", flow_run_name="shard {shard} of {campaign}")
async def campaign_shard(
    campaign: str,
    shard: Annotated[int, Field(ge=1)],
    credentials: RunpodCredentials,
    store: VideoStore,
    limits: SpendingLimits | None = None,
    budget: Dollars | None = None,
    max_in_flight: InFlight = 10,
    retry_failed: Retries = 0,
    wait_minutes: Minutes = 60.0,
    at_once: Annotated[int, Field(ge=1)] = 1,
) -> dict[str, object]:
    """Render one shard of a campaign that was frozen and approved. The flow `campaign` starts it and says all of this.

    Args:
        campaign: The id of the campaign.
        shard: The number of the shard, from 1.
        credentials: The Runpod account that pays.
        store: Where the campaign was frozen, and where clips and results go.
        limits: What may be spent per day and month.
        budget: The most that this shard may spend, in US dollars.
        max_in_flight: How many jobs of this shard may be out at Runpod at once.
        retry_failed: How many new attempts a failed job gets; failed jobs are not charged.
        wait_minutes: How many minutes to wait for a job; after that the next run of the campaign brings its clip home.
        at_once: How many shards are rendered at once: the quotas of the account are shared by so many.
    """
    options = options_of(limits, budget, None, max_in_flight, retry_failed, wait_minutes)
    account, opened, host = credentials.account(), store.open(), ShardRunHost()
    run = str(flow_run.get_id())
    try:
        found = await load_campaign(opened, campaign)
        which = found.shard(shard)
        try:
            result = await _stopped(opened, found, which)
            if result is None:
                await share_quotas(account, at_once)
                async with pulsing(opened, found, which, run):
                    result = await run_shard(opened, account, found.id, shard, options, host)
        except SeedanceError as error:
            await leave_end(opened, found, which, run, error)
            raise
        await leave_end(opened, found, which, run, result)
        await host.ended()
    finally:
        await opened.aclose()
    document = result.model_dump(mode="json")
    # Prefect hands on what the state holds.
    return cast("dict[str, object]", final_state(document, _in_words(result), failed=result.left is not None))


async def _stopped(store: Store, campaign: Campaign, shard: Shard) -> ShardResult | None:
    """What becomes of a shard that was still waiting when its campaign was stopped."""
    if (stopped := await Marks(store, campaign).stopped()) is None:
        return None
    return not_begun(shard.number, f"the campaign was stopped: {stopped}; nothing was submitted")


def _in_words(result: ShardResult) -> str:
    counts = ", ".join(f"{count} {status}" for status, count in result.statuses.items()) or "nothing stored"
    left = f"; not done: {result.left}" if result.left else ""
    return f"{counts}, {dollars(result.spent_usd)} spent{left}"
