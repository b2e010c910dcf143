"""What a campaign leaves in Prefect: the result of its flow, one event, one asset made of its board and its table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from prefect.artifacts import acreate_markdown_artifact
from prefect.events import emit_event
from prefect.runtime import flow_run
from pydantic import Field

from prefect_seedance.campaign.document import Campaign
from prefect_seedance.campaign.manifest import CampaignManifest
from prefect_seedance.models import Frozen, Usd
from prefect_seedance.orchestration import events
from prefect_seedance.orchestration.markdown import escaped
from prefect_seedance.orchestration.production import address_of
from prefect_seedance.storage.store import Store
from prefect_seedance.text import dollars, printable


class CampaignMade(Frozen):
    """How a run of a campaign has ended, what it paid, and where manifest, results and pages are."""

    id: str
    title: str
    status: Literal["complete", "partial", "nothing"]
    hash: str
    rows: int
    clips: int
    counts: dict[str, int] = Field(
        description="How many clips have each status, of the shards whose last run has ended."
    )
    shards: int
    shards_done: int
    spent_usd: Usd = Field(
        description="What the runs of shards that it waited for have paid, without those that ended by an error."
    )
    cost_usd: Usd = Field(description="What the clips have cost, by whichever run.")
    manifest: str
    results: str = Field(description="Where the rows for a warehouse are, as a pattern.")
    review: str | None
    why: str | None = Field(None, description="Why it ended before all shards were done.")

    @classmethod
    def of(cls, manifest: CampaignManifest, store: Store, spent_usd: Usd, why: str | None) -> CampaignMade:
        return cls(
            id=manifest.id,
            title=manifest.title,
            status=manifest.status,
            hash=manifest.hash,
            rows=manifest.rows,
            clips=manifest.clips,
            counts=manifest.statuses,
            shards=manifest.shards,
            shards_done=len(manifest.done),
            spent_usd=spent_usd,
            cost_usd=manifest.clips_usd,
            manifest=address_of(store, f"campaigns/{manifest.id}/manifest.json"),
            results=address_of(store, manifest.results),
            review=manifest.review and address_of(store, manifest.review),
            why=why,
        )

    @property
    def message(self) -> str:
        """What became of it in one line."""
        stored = self.counts.get("stored", 0)
        others = "".join(f", {count} {status}" for status, count in self.counts.items() if status != "stored")
        shards = f"{self.shards_done} of {self.shards} shards done"
        why = f"; {self.why}" if self.why else ""
        return f"{stored} of {self.clips} clips stored{others}, {shards}, {dollars(self.spent_usd)} spent{why}"


async def show(made: CampaignMade, campaign: Campaign, store: Store, sources: tuple[str, ...]) -> None:
    """Tell automations of a campaign, show it as an asset made of *sources*, and say where all of it is."""
    facts = made.model_dump(mode="json")
    resource = {"prefect.resource.id": f"prefect-seedance.campaign.{made.id}"}
    resource |= {"prefect.resource.name": printable(made.title, 60), "prefect-seedance.status": made.status}
    emit_event("prefect-seedance.campaign.made", resource, payload={"run": flow_run.get_id()} | facts)
    key, of = events.asset_key(store, campaign.folder), [events.as_asset_key(source) for source in sources]
    events.materialized("failed" if made.status == "nothing" else "succeeded", key, made.title, facts, of)
    text = (
        f"**{escaped(made.title)}**: {escaped(made.message)}\n\n"
        f"- its clips have cost {dollars(made.cost_usd)}\n- review pages: `{made.review}`\n"
        f"- results: `{made.results}`\n- manifest: `{made.manifest}`\n"
    )
    await acreate_markdown_artifact(text, key="seedance-campaign", description=escaped(made.message))


def source_of(location: str, store: Store) -> str:
    """Where a storyboard or a table lies, as an asset: without whatever a link carries beside its path."""
    if "://" in location:
        return re.sub(r"(?<=://)[^/@]*@", "", re.split(r"[?#]", location)[0])
    path = Path(location).expanduser()
    return f"file://{path.absolute()}" if path.exists() else address_of(store, location)
