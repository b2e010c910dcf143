"""A table becomes thousands of clips: frozen, priced, approved once, rendered in shards here or on a work pool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, cast

from prefect.runtime import flow_run
from pydantic import BeforeValidator, Field

from prefect_seedance.campaign.document import Campaign
from prefect_seedance.campaign.draft import MOST_A_SHARD, SHARD_SIZE, Asked
from prefect_seedance.campaign.elsewhere import ShardsElsewhere
from prefect_seedance.campaign.freeze import frozen, frozen_by
from prefect_seedance.campaign.prefect_host import FlowHost
from prefect_seedance.campaign.prefect_made import CampaignMade, show, source_of
from prefect_seedance.campaign.prefect_person import PersonInTheUI
from prefect_seedance.campaign.prefect_shards import PrefectRuns, deployment_of, reference_to
from prefect_seedance.campaign.rules import StopRules
from prefect_seedance.campaign.run import CampaignRun
from prefect_seedance.campaign.shards import Shards, shards_here
from prefect_seedance.catalog.endpoints import Catalog
from prefect_seedance.orchestration import logs
from prefect_seedance.orchestration.approval import is_deployed
from prefect_seedance.orchestration.blocks import RunpodCredentials, SpendingLimits, VideoStore
from prefect_seedance.orchestration.board_flow import table_flow
from prefect_seedance.orchestration.display import Display, made
from prefect_seedance.orchestration.production import KEPT_AS
from prefect_seedance.orchestration.render import options_of
from prefect_seedance.orchestration.shared_limits import share_quotas
from prefect_seedance.orchestration.states import final_state
from prefect_seedance.rendering.options import Dollars, InFlight, Minutes, Retries
from prefect_seedance.runpod.account import Account
from prefect_seedance.sources.catalog import catalog_of
from prefect_seedance.storage.store import Store

File = Annotated[str, Field(title="File")]
Rows = Annotated[list[dict[str, Any]], Field(title="Rows")]
Table = Annotated[
    File | Rows | None, BeforeValidator(lambda given: given if given is None or isinstance(given, str) else list(given))
]
Percent = Annotated[float, Field(ge=0, le=100)]
AtOnce = Annotated[int, Field(ge=1, le=64)]


@table_flow(
    name="campaign",
    flow_run_name=logs.run_name("campaign"),
    persist_result=True,
    result_serializer=KEPT_AS,
)
async def campaign(
    storyboard: File,
    table: Table,
    credentials: RunpodCredentials,
    store: VideoStore,
    vary: list[str] | None = None,
    canary: Annotated[int, Field(ge=0)] = 0,
    shard_size: Annotated[int, Field(ge=1, le=MOST_A_SHARD)] = SHARD_SIZE,
    deployment: str | None = None,
    shards_at_once: AtOnce = 4,
    limits: SpendingLimits | None = None,
    budget: Dollars | None = None,
    approve: str | None = None,
    go_on: bool = False,
    stop_failed: Percent | None = None,
    stop_refused: Percent | None = None,
    stop_usd_per_clip: Annotated[float, Field(gt=0)] | None = None,
    max_in_flight: InFlight = 10,
    retry_failed: Retries = 0,
    wait_minutes: Minutes = 60.0,
    fail_on_partial: bool = False,
) -> CampaignMade:
    """Render every row of a table with a storyboard; killed anywhere and run again it goes on and pays nothing twice.

    Args:
        storyboard: A YAML or JSON file with {columns} in it (a path or s3://…); without a table, the id of a campaign.
        table: A .csv, .jsonl or .parquet: a path, s3://…, beside the storyboard or in the store. From Python any rows.
        credentials: The Runpod account that pays.
        store: Where campaign, clips and results go. It knows what is paid for already, so use the same one every time.
        vary: NAME=VALUE,VALUE: every row with each value of size, ratio, take, model, duration or a variable.
        canary: How many rows are rendered, and looked at by a person, before the others.
        shard_size: How many clips a shard has.
        deployment: The deployment of campaign-shard whose workers render the shards; without it this run does.
        shards_at_once: How many shards are out at once; no more than `max_in_flight`.
        limits: What may be spent per run, day and month, and above which price a person has to approve.
        budget: The most that this run may spend, in US dollars; a campaign that may cost more is not begun.
        approve: The hash of a campaign that you have seen and approve; without it the limits decide.
        go_on: Whether you have looked at the canary, where nobody can be asked.
        stop_failed: The percentage of failed, lost or unclear clips above which no new shard begins.
        stop_refused: The percentage of clips refused by the API at the submit above which no new shard begins.
        stop_usd_per_clip: The dollars that a stored clip may cost on average, above which no new shard begins.
        max_in_flight: How many jobs may be out at Runpod at once, of all shards together.
        retry_failed: How many new attempts a failed job gets; failed jobs are not charged.
        wait_minutes: How many minutes to wait for a job; after that the next run of the campaign brings its clip home.
        fail_on_partial: Whether a run after which some clips are not stored counts as failed; the others stay.
    """
    options = options_of(limits, budget, approve, max_in_flight, retry_failed, wait_minutes)
    rules = StopRules(failed_percent=stop_failed, refused_percent=stop_refused, usd_per_clip=stop_usd_per_clip)
    runs_of = await _somebody_elses(deployment, credentials, store, shards_at_once) if deployment else None
    account, opened = credentials.account(), store.open()
    try:
        catalog = await catalog_of(opened)
        await share_quotas(account)
        asked = Asked(storyboard, table, tuple(vary or ()), canary, shard_size)
        found = await _frozen(asked, opened, account, catalog, options.approve)
        logs.log_line(f"{found.title} ({found.id}): {found.clips} clips in {len(found.shards)} shards.")
        person = PersonInTheUI(opened, account, catalog)
        running = CampaignRun(
            found, opened, account, options, person=person, rules=rules, go_on=go_on, say=logs.log_line
        )
        shards: Shards = shards_here(opened, account, found, shards_at_once, FlowHost)
        if runs_of is not None:
            shards = ShardsElsewhere(found, opened, runs_of(found), shards_at_once, logs.log_line)
        manifest = await running.render(catalog, shards)
        ended = CampaignMade.of(manifest, opened, running.spent_usd, running.why)
        made(ended)
        sources = _sources(storyboard, table, found)
        await Display().show(show(ended, found, opened, tuple(source_of(one, opened) for one in sources)))
    finally:
        await opened.aclose()
    failed = ended.status == "nothing" or (ended.status == "partial" and fail_on_partial)
    # Prefect hands on what the state holds.
    return cast("CampaignMade", final_state(ended, ended.message, failed=failed))


def _sources(storyboard: str, table: File | Rows | None, found: Campaign) -> tuple[str, ...]:
    """What the campaign was made of; a table that is not where it was named lies where it was found."""
    if table is None:
        return ()
    if not isinstance(table, str):
        return (storyboard,)
    return storyboard, table if "://" in table or Path(table).exists() else found.table


async def _frozen(asked: Asked, store: Store, account: Account, catalog: Catalog, approve: str | None) -> Campaign:
    """The frozen campaign. A run that was suspended, or killed and begun again, goes on with the one that it froze."""
    if is_deployed():
        return await frozen_by(str(flow_run.get_id()), asked, store, account, catalog, approve)
    return await frozen(asked, store, account, catalog, approve)


async def _somebody_elses(
    deployment: str, credentials: RunpodCredentials, store: VideoStore, at_once: int
) -> Callable[[Campaign], PrefectRuns]:
    """What makes the runs of *deployment*; raises `BadInput` where they could not be begun or could not pay."""
    which = await deployment_of(deployment)
    who, where = reference_to(credentials), reference_to(store)
    return lambda found: PrefectRuns(found, which, who, where, at_once=at_once)
