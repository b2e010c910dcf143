"""Tables, pages and progress of a run in the Prefect UI. Nothing reads them back: ledger and manifest decide."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from prefect.artifacts import (
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)

from prefect_seedance.budget.report import report_of
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.orchestration.markdown import costs_markdown, escaped, inert, plan_markdown, shots_markdown
from prefect_seedance.production.manifest import Manifest
from prefect_seedance.rendering.plan import Planned
from prefect_seedance.storage.store import Store
from prefect_seedance.text import dollars


async def plan_table(planned: Planned) -> None:
    """The plan, before anything is spent."""
    plan = planned.plan
    summary = f"**{escaped(plan.title)}**: {dollars(plan.estimated_usd)} to spend, shots: {len(plan.shots)}."
    remarks = [f"- {escaped(str(remark))}" for remark in (*planned.warnings, *plan.problems)]
    await acreate_markdown_artifact(
        "\n".join([plan_markdown(planned), *remarks]), key="seedance-plan", description=summary
    )


class Progress:
    """One progress artifact per flow run, updated at most every two seconds."""

    def __init__(self, total: int) -> None:
        self.artifact: UUID | None = None
        self.total = total
        self.done = 0
        self._shown_at = 0.0
        self._lock = asyncio.Lock()

    async def begin(self) -> None:
        begun = f"0 of {self.total} clips done"
        self.artifact = await acreate_progress_artifact(progress=0.0, key="seedance-progress", description=begun)

    async def one_more(self) -> None:
        self.done += 1
        async with self._lock:
            if self.artifact is None or (self.done < self.total and time.monotonic() - self._shown_at < 2):
                return
            self._shown_at = time.monotonic()
            done = f"{self.done} of {self.total} clips done"
            await aupdate_progress_artifact(self.artifact, progress=100 * self.done / self.total, description=done)

    async def end(self) -> None:
        if self.artifact is None:
            return
        summary = f"{self.total} of {self.total} clips looked after; seedance-shots says what became of each"
        await aupdate_progress_artifact(self.artifact, progress=100.0, description=summary)


async def results(manifest: Manifest, folder: str, store: Store, money: Sequence[str]) -> None:
    """What became of each shot, with links and posters, and what it cost."""
    stored = sum(shot.status == "stored" for shot in manifest.shots)
    summary = f"**{escaped(manifest.title)}**: {manifest.status}, {stored} of {len(manifest.shots)} shots stored"
    shots = await shots_markdown(manifest, folder, store)
    await acreate_markdown_artifact(shots, key="seedance-shots", description=f"{summary}.")
    summary += f", {dollars(manifest.spent_usd)} spent."
    await acreate_markdown_artifact(costs_markdown(manifest, money), key="seedance-cost", description=summary)


def counts(found: dict[str, Any]) -> str:
    """The result of `collect_finished` (`Collected.as_json`) in one line."""
    counted = ", ".join(f"{found[name]} {name}" for name in ("stored", "running", "unclear", "lost"))
    return f"{counted}, {len(found['errors'])} not readable" if found["errors"] else counted


async def collected(found: dict[str, Any], ledger: Ledger) -> None:
    """The clips of a collector's run, and what the whole ledger has cost by UTC day, as the months have added it up."""
    columns = ("status", "cost_usd", "at_risk_usd", "error", "clip", "key", "record")
    clips = [{name: inert(clip[name]) for name in columns} for clip in found["clips"]]
    await acreate_table_artifact(table=clips, key="seedance-collected", description=counts(found))
    report = await report_of(ledger.store)
    rows = [day.as_row() for day in reversed(report.days)]
    spent, risk = (sum(row[name] for row in rows) for name in ("spent_usd", "at_risk_usd"))
    summary = f"By UTC day, newest first; in all {dollars(spent)} spent, {dollars(risk)} at risk"
    summary = ". ".join([summary, *map(escaped, report.missing)])
    await acreate_table_artifact(table=rows, key="seedance-report", description=summary)


async def inbox(report: dict[str, Any]) -> None:
    """What a run over an inbox did, from its report as JSON; nothing when it was empty."""
    if report["boards"]:
        summary = f"{len(report['boards'])} productions, {dollars(report['spent_usd'])} spent"
        boards = [{name: inert(value) for name, value in board.items()} for board in report["boards"]]
        await acreate_table_artifact(table=boards, key="seedance-inbox", description=summary)
