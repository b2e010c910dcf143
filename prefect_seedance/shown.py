"""What a run shows in the Prefect UI and tells to automations: artifacts and events. Never the truth, only its picture.

Events, all with resource `prefect-seedance.clip.<key>` (or `prefect-seedance.run.<flow run id>`) and a payload:

- `prefect-seedance.clip.stored`: key, attempt, job_id, clip, sha256, bytes, seconds, cost_usd
- `prefect-seedance.shot.unclear`: key, record, attempt, prompt, at_risk_usd, remedy
- `prefect-seedance.clip.lost`: key, record, attempt, job_id, at_risk_usd, reason
- `prefect-seedance.budget.refused`: reason
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any
from uuid import UUID

from prefect.artifacts import (
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.events import emit_event
from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from prefect_seedance.lifecycle import Record, Step, remedy
from prefect_seedance.models import Manifest
from prefect_seedance.plan import Planned
from prefect_seedance.pricing import dollars
from prefect_seedance.store import Store

LINKS_LIVE_SECONDS = 7 * 24 * 3600
"""As long as SigV4 allows."""


def log() -> Any:
    """The run's logger, or a plain one outside of runs."""
    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger(__name__)


def event(record: Record) -> None:
    """Tell automations what a person may want to know of a step."""
    common = {"key": record.key, "attempt": record.attempt, "prompt": record.request.prompt}
    risk = {"record": record.number, "at_risk_usd": float(record.charged_usd)}
    match record.step:
        case Step.STORED:
            cost = None if record.cost_usd is None else float(record.cost_usd)
            seconds = record.footage.seconds if record.footage else None
            clip = {"job_id": record.job_id, "clip": record.clip, "sha256": record.sha256, "bytes": record.bytes}
            _emit("clip.stored", record.key, common | clip | {"seconds": seconds, "cost_usd": cost})
        case Step.UNCLEAR:
            _emit("shot.unclear", record.key, common | risk | {"remedy": remedy(record)})
            log().warning("%s: %s", record.request.prompt[:60], remedy(record))
        case Step.LOST:
            _emit("clip.lost", record.key, common | risk | {"job_id": record.job_id, "reason": record.reason})
            log().error("%s: %s", record.request.prompt[:60], remedy(record))


def _emit(name: str, key: str, payload: dict[str, Any]) -> None:
    resource = {"prefect.resource.id": f"prefect-seedance.clip.{key}", "prefect.resource.name": key}
    emit_event(f"prefect-seedance.{name}", resource, payload=payload)


def budget_refused(why: str) -> None:
    """Tell automations that a limit stopped a run before it spent anything."""
    resource = {"prefect.resource.id": f"prefect-seedance.run.{flow_run.get_id()}"}
    emit_event("prefect-seedance.budget.refused", resource, payload={"reason": why})


async def plan_table(planned: Planned) -> None:
    """The plan, before anything is spent."""
    rows = [
        {
            "shot": shot.id,
            "action": shot.action,
            "estimate": dollars(shot.estimated_usd),
            "take": shot.take,
            "key": shot.key or "",
            "remark": shot.problem or "",
        }
        for shot in planned.plan.shots
    ]
    plan = planned.plan
    told = (
        f"**{plan.title}**: {dollars(plan.estimated_usd)} to spend, {dollars(plan.reused_usd)} worth of clips reused. "
        f"Plan hash `{plan.plan_hash}`."
    )
    remarks = [*planned.warnings, *map(str, plan.problems)]
    description = "\n".join([told, *(f"- {remark}" for remark in remarks)])
    await acreate_table_artifact(table=rows, key="seedance-plan", description=description)


def plan_markdown(planned: Planned) -> str:
    """The plan as a table for an approval form."""
    plan = planned.plan
    rows = [
        f"| {_cell(s.id)} | {s.action} | {dollars(s.estimated_usd)} | {_cell(s.problem or '')} |" for s in plan.shots
    ]
    head = f"**{_cell(plan.title)}** would spend **{dollars(plan.estimated_usd)}** (plan `{plan.plan_hash}`)."
    return "\n".join([head, "", "| shot | action | estimate | remark |", "| --- | --- | ---: | --- |", *rows])


class Progress:
    """One progress artifact per flow run, updated at most every two seconds."""

    def __init__(self, artifact: UUID, total: int) -> None:
        self.artifact = artifact
        self.total = total
        self.done = 0
        self._shown_at = 0.0
        self._lock = asyncio.Lock()

    @classmethod
    async def begin(cls, total: int) -> Progress:
        artifact = await acreate_progress_artifact(progress=0.0, key="seedance-progress", description="Shots done")
        return cls(artifact, total)

    async def one_more(self) -> None:
        self.done += 1
        async with self._lock:
            if self.done < self.total and time.monotonic() - self._shown_at < 2:
                return
            self._shown_at = time.monotonic()
            done = f"{self.done} of {self.total} shots done"
            await aupdate_progress_artifact(self.artifact, progress=100 * self.done / self.total, description=done)

    async def end(self) -> None:
        await aupdate_progress_artifact(self.artifact, progress=100.0, description=f"{self.total} shots looked after")


async def results(manifest: Manifest, folder: str, store: Store) -> None:
    """The result table with links and posters, and what it cost."""
    rows = []
    for shot in manifest.shots:
        link = await store.link(shot.clip, LINKS_LIVE_SECONDS) if shot.clip else None
        rows.append(
            {
                "shot": shot.id,
                "status": shot.status,
                "clip": f"[open]({link})" if link else (shot.clip or ""),
                "cost": "" if shot.cost_usd is None else dollars(shot.cost_usd),
                "paid now": "yes" if shot.paid_this_run else "no",
                "key": shot.key or "",
                "error": shot.error or "",
            }
        )
    await acreate_table_artifact(table=rows, key="seedance-shots", description=f"{manifest.title}: {manifest.status}")
    await acreate_markdown_artifact(await _summary(manifest, folder, store), key="seedance-cost")


async def _summary(manifest: Manifest, folder: str, store: Store) -> str:
    review = await store.link(f"{folder}/index.html", LINKS_LIVE_SECONDS) or f"{store.url}/{folder}/index.html"
    posters = []
    for shot in manifest.shots[:12]:
        poster = await store.link(f"posters/{shot.sha256[:16]}.jpg", LINKS_LIVE_SECONDS) if shot.sha256 else None
        if poster:
            posters.append(f"![{_cell(shot.id)}]({poster})")
    lines = [
        f"# {_cell(manifest.title)}: {manifest.status}",
        f"[Review page]({review})",
        "| | |",
        "| --- | ---: |",
        f"| Estimate before the run | {dollars(manifest.estimated_usd)} |",
        f"| Spent by this run | {dollars(manifest.spent_usd)} |",
        f"| Worth of clips reused | {dollars(manifest.reused_usd)} |",
        f"| Shots stored | {sum(s.status == 'stored' for s in manifest.shots)} of {len(manifest.shots)} |",
    ]
    return "\n\n".join(["\n".join(lines), " ".join(posters)])


async def collected(found: dict[str, Any]) -> None:
    """What a collector brought home, and what it could not; nothing when nothing was open."""
    if found["clips"]:
        counts = ", ".join(f"{found[name]} {name}" for name in ("stored", "running", "unclear", "lost"))
        await acreate_table_artifact(table=found["clips"], key="seedance-collected", description=counts)


async def inbox(report: dict[str, Any]) -> None:
    """What a run over an inbox did; nothing when it was empty."""
    if report["boards"]:
        told = f"{len(report['boards'])} storyboards, ${report['spent_usd']:.2f} spent"
        await acreate_table_artifact(table=report["boards"], key="seedance-inbox", description=told)


def _cell(text: str) -> str:
    """Text of a storyboard, which may come from a stranger, as plain words inside markdown."""
    escaped = text.replace("\\", "\\\\").replace("\n", " ")
    for sign in "|<>[]()*_`!#":
        escaped = escaped.replace(sign, f"\\{sign}")
    return escaped
