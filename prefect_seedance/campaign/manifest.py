"""How a campaign stands, from its files alone: what `campaign status` says and `manifest.json` keeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Literal

from pydantic import ConfigDict, Field

from prefect_seedance.campaign.document import Campaign, Shard
from prefect_seedance.campaign.marks import Marks
from prefect_seedance.campaign.pulse import end_of
from prefect_seedance.campaign.results import ShardResult, open_result_of, result_of
from prefect_seedance.campaign.review import index_path
from prefect_seedance.campaign.shard import note_of
from prefect_seedance.ledger.writer import is_gone
from prefect_seedance.models import Frozen, Usd
from prefect_seedance.storage.reads import some_at_a_time
from prefect_seedance.storage.store import Store


class CampaignManifest(Frozen):
    """What became of a campaign so far (schema `prefect-seedance/campaign-manifest/1`). Paths are relative."""

    schema_: Literal["prefect-seedance/campaign-manifest/1"] = Field(
        "prefect-seedance/campaign-manifest/1", alias="schema"
    )
    id: str
    hash: str
    title: str
    status: Literal["complete", "partial", "nothing"] = Field(description="Of all its clips, rendered yet or not.")
    rows: int
    clips: int
    statuses: dict[str, int] = Field(
        description="The clips by what became of them, of the shards whose last run has ended."
    )
    clips_usd: Usd = Field(description="What these clips have cost.")
    shards: int
    running: tuple[int, ...] = Field((), description="Shards that somebody may be at work at.")
    done: tuple[ShardResult, ...]
    approved: bool
    stopped: str | None = Field(None, description="Why no new shard begins.")
    results: str = Field(description="Where the results are, as a pattern.")
    review: str | None = None
    catalog: str | None = None

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    @property
    def left(self) -> int:
        """Shards that are neither done nor being worked at."""
        return self.shards - len(self.done) - len(self.running)


async def results_of(store: Store, campaign: Campaign) -> dict[int, ShardResult]:
    """The results of all shards that are done, by number."""
    found = await some_at_a_time(lambda shard: result_of(store, campaign, shard), campaign.shards)
    return {result.number: result for result in found if result is not None}


async def manifest_of(
    store: Store,
    campaign: Campaign,
    told: Mapping[int, ShardResult] = MappingProxyType({}),
    ended: Collection[int] = (),
) -> CampaignManifest:
    """How *campaign* stands. The store may not know *told*, the results of open shards, nor whose runs have *ended*."""
    results = await results_of(store, campaign)
    begun = await store.names(f"{campaign.folder}/begun")
    open_shards = [shard for shard in campaign.shards if shard.number not in results and f"{shard.name}.json" in begun]
    left = await some_at_a_time(lambda shard: open_result_of(store, campaign, shard), open_shards)
    unheard = [shard for shard in open_shards if shard.number not in ended]
    at_work = await some_at_a_time(lambda shard: _somebody_works(store, campaign, shard), unheard)
    marks = Marks(store, campaign)
    return manifest_from(
        campaign,
        results,
        {end.number: end for end in left if end is not None} | dict(told),
        running=tuple(shard.number for shard, works in zip(unheard, at_work, strict=True) if works),
        approved=await marks.approved(),
        stopped=await marks.stopped(),
    )


async def _somebody_works(store: Store, campaign: Campaign, shard: Shard) -> bool:
    """Whether somebody may be at work at *shard*: who began it may live, and has not said that its run has ended."""
    note = await note_of(store, campaign, shard)
    if note is None or note.ended or is_gone(note.writer):
        return False
    run = note.writer.flow_run_id
    return run is None or await end_of(store, campaign, shard, run) is None


def manifest_from(
    campaign: Campaign, results: Mapping[int, ShardResult], left: Mapping[int, ShardResult], **marks: Any
) -> CampaignManifest:
    """The manifest of what is known: the *results* of shards that are done, and how the last runs of others ended."""
    ends = [*results.values(), *(end for number, end in left.items() if number not in results)]
    statuses: Counter[str] = Counter()
    for end in ends:
        statuses.update(end.statuses)
    stored = statuses["stored"]
    complete = stored == campaign.clips and len(results) == len(campaign.shards)
    return CampaignManifest(
        id=campaign.id,
        hash=campaign.hash,
        title=campaign.title,
        status="complete" if complete else "partial" if stored else "nothing",
        rows=campaign.rows,
        clips=campaign.clips,
        statuses=dict(statuses),
        clips_usd=sum((end.clips_usd for end in ends), Decimal(0)),
        shards=len(campaign.shards),
        done=tuple(results.values()),
        results=f"{campaign.folder}/results/*/part.jsonl",
        review=index_path(campaign) if results else None,
        catalog=campaign.catalog,
        **marks,
    )
