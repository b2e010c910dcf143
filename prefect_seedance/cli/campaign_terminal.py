"""What the commands of a campaign say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from prefect_seedance.campaign.draft import Asked, Draft
from prefect_seedance.campaign.manifest import CampaignManifest
from prefect_seedance.campaign.problems import MOST_SHOWN
from prefect_seedance.campaign.survey import Survey
from prefect_seedance.cli import terminal
from prefect_seedance.models import Problem
from prefect_seedance.text import dollars, printable

MOST_WARNINGS = 20


def show_plan(draft: Draft, found: Survey) -> None:
    """What a campaign would do."""
    campaign = draft.campaign
    twice = f", {campaign.duplicates} that are there twice left out" if campaign.duplicates else ""
    terminal.say(f"{campaign.title} ({campaign.id})")
    terminal.say(f"{campaign.rows} rows{twice}; {campaign.clips} clips in {len(campaign.shards)} shards.")
    done = len(campaign.shards) - len(found.left)
    if done:
        terminal.say(f"{done} shards are done.")
    if found.actions:
        terminal.say(f"Different clips that are left: {_counts(found.counts)}.")
    for warning in draft.warnings[:MOST_WARNINGS]:
        terminal.say(f"! {warning}")
    reused = f", {dollars(found.reused_usd)} worth of clips reused" if found.reused_usd else ""
    most = f" and at most {dollars(found.upper_usd)}" if found.upper_usd != found.estimated_usd else ""
    terminal.say(f"This costs about {dollars(found.estimated_usd)}{most}{reused}. Campaign hash {campaign.hash}.")


def document_of(draft: Draft, found: Survey, problems: Sequence[Problem]) -> dict[str, Any]:
    """What a campaign would do, with the first of its *problems* (schema `prefect-seedance/campaign-plan/1`)."""
    campaign = draft.campaign
    told = ("id", "hash", "title", "rows", "duplicates", "clips", "matrix", "canary", "shard_size", "catalog")
    return {
        "schema": "prefect-seedance/campaign-plan/1",
        **campaign.model_dump(mode="json", include=set(told)),
        "shards": len(campaign.shards),
        "shards_left": len(found.left),
        "actions": found.counts,
        "estimated_usd": float(found.estimated_usd),
        "upper_usd": float(found.upper_usd),
        "reused_usd": float(found.reused_usd),
        "warnings": [str(warning) for warning in draft.warnings[:MOST_WARNINGS]],
        "problems": [problem.model_dump(mode="json") for problem in problems[:MOST_SHOWN]],
    }


def document_without_rows(asked: Asked, problems: Sequence[str]) -> dict[str, Any]:
    """The same where no rows were planned: there are problems alone, and neither id nor hash."""
    return {
        "schema": "prefect-seedance/campaign-plan/1",
        **dict.fromkeys(("id", "hash", "title", "catalog")),
        **dict.fromkeys(("rows", "duplicates", "clips", "shards", "shards_left"), 0),
        **dict.fromkeys(("estimated_usd", "upper_usd", "reused_usd"), 0.0),
        "matrix": {},
        "canary": asked.canary,
        "shard_size": asked.shard_size,
        "actions": {},
        "warnings": [],
        "problems": [Problem(file=printable(asked.storyboard, 200), message=one).model_dump() for one in problems],
    }


def show_end(manifest: CampaignManifest, store: str, *, spent_usd: Decimal, why: str | None, as_json: bool) -> None:
    """How a run has ended, and what it has paid."""
    show_status(manifest, store, as_json=as_json)
    terminal.say(f"This run cost {dollars(spent_usd)}.")
    if why is not None:
        terminal.say(why)


def show_status(manifest: CampaignManifest, store: str, *, as_json: bool) -> None:
    if as_json:
        terminal.document(manifest)
    running = f", {len(manifest.running)} being rendered" if manifest.running else ""
    terminal.say(f"{manifest.title} ({manifest.id})")
    terminal.say(f"{len(manifest.done)} of {manifest.shards} shards done{running}, {manifest.left} left.")
    if manifest.statuses:
        ended = sum(manifest.statuses.values())
        cost = dollars(manifest.clips_usd)
        terminal.say(f"{ended} of {manifest.clips} clips: {_counts(manifest.statuses)}; they cost {cost}.")
    if manifest.stopped is not None:
        terminal.say(f"Stopped: {manifest.stopped}.")
    if manifest.review is not None:
        terminal.say(f"Results: {store.rstrip('/')}/{manifest.results}")
        terminal.say(f"Review pages: {store.rstrip('/')}/{manifest.review}")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {word}" for word, count in counts.items())
