"""What a run shows in the Prefect UI and tells to automations. Never the truth, only its picture.

Events: section 6 of deployments/README.md lists them with what they carry.

Assets: `<store>/<clip>` for every clip that is stored, and `<store>/productions/<title>`, made of its clips.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Sequence
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

from prefect_seedance.budget.report import daily
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.ledger.rules import remedy
from prefect_seedance.orchestration.markdown import costs_markdown, escaped, inert, plan_markdown, shots_markdown, worth
from prefect_seedance.production.manifest import Manifest
from prefect_seedance.rendering.plan import Planned
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.schema import Storyboard
from prefect_seedance.storyboard.texts import title_of
from prefect_seedance.text import dollars
from prefect_seedance.text import printable as in_short

TERMINAL = logging.getLogger("prefect_seedance.progress")
"""What the command line prints while a flow runs."""
CLIPS_PER_EVENT = 90
"""Prefect's server refuses an event with more than 100 related resources."""


def log() -> Any:
    """The run's logger, or a plain one outside of runs."""
    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger(__name__)


def tell(line: str, *, logged: bool = True) -> None:
    """One line for whoever watches the run, on the terminal and, where it is *logged*, in the run's log in the UI."""
    TERMINAL.info(line)
    if logged:
        log().info(line)


def run_name(verb: str) -> Callable[[], str]:
    """Names a flow run after what it works on: "render The lighthouse", "animate frames". Never a link's secrets."""

    def name() -> str:
        given = flow_run.get_parameters()
        what = given.get("title") or given.get("storyboard") or given.get("images") or ""
        if isinstance(what, Storyboard):
            what = title_of(what.title, what.variables)
        elif not given.get("title"):
            what = re.sub(r".*[/\\@]|\.\w+$", "", re.split(r"[?#*\[]", str(what))[0].rstrip("/\\"))
        return f"{verb} {in_short(what, 60)}".strip()

    return name


class Teller:
    """Tells automations, and whoever reads the log, what a person may want to know of each step; counts the steps."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.steps = 0

    def __call__(self, record: Record) -> None:
        self.steps += 1
        common = {"key": record.key, "attempt": record.attempt, "prompt": record.request.prompt}
        risk = {"record": record.number, "at_risk_usd": float(record.charged_usd)}
        match record.step:
            case Step.STORED:
                _emit("clip.stored", record, common | _facts(record))
                _clip_made(self.store, record)
            case Step.UNCLEAR:
                _emit("shot.unclear", record, common | risk | {"remedy": remedy(record)})
                log().warning("%s: %s", record.request.prompt[:60], remedy(record))
            case Step.LOST:
                _emit("clip.lost", record, common | risk | {"job_id": record.job_id, "reason": record.reason})
                log().error("%s: %s", record.request.prompt[:60], remedy(record))


def _facts(record: Record) -> dict[str, Any]:
    return {
        "job_id": record.job_id,
        "clip": record.clip,
        "sha256": record.sha256,
        "bytes": record.bytes,
        "seconds": record.footage.seconds if record.footage else None,
        "cost_usd": None if record.cost_usd is None else float(record.cost_usd),
    }


def _emit(name: str, record: Record, payload: dict[str, Any]) -> None:
    prompt = in_short(record.request.prompt, 60)
    resource = {"prefect.resource.id": f"prefect-seedance.clip.{record.key}", "prefect.resource.name": prompt}
    emit_event(f"prefect-seedance.{name}", resource, payload=payload)


def budget_refused(why: str) -> None:
    """Tell automations that a limit stopped a run before it spent anything."""
    resource = {"prefect.resource.id": f"prefect-seedance.run.{flow_run.get_id()}"}
    emit_event("prefect-seedance.budget.refused", resource, payload={"reason": why})


def ledger_unreadable(key: str, error: str) -> None:
    """Tell automations of a key whose records are damaged: somebody has to restore them."""
    resource = {"prefect.resource.id": f"prefect-seedance.clip.{key}"}
    emit_event("prefect-seedance.ledger.unreadable", resource, payload={"key": key, "error": error})
    log().error("%s can't be read: %s", key, error)


def asset_key(store: Store, path: str) -> str:
    """The name of *path* as a Prefect asset: a URI without the signs that Prefect does not take in one."""
    root = store.url if "://" in store.url else f"file://{store.url}"
    return re.sub(r"[^\w./:~=+@,-]", "_", f"{root}/{path}")


def _clip_made(store: Store, record: Record) -> None:
    take = {"key": record.key, "take": record.request.take, "model": record.request.model}
    _made(asset_key(store, record.clip or ""), record.request.prompt, take | _facts(record))


def _production_made(manifest: Manifest, folder: str, store: Store) -> None:
    clips = list(dict.fromkeys(asset_key(store, shot.clip) for shot in manifest.shots if shot.clip))
    facts = manifest.model_dump(mode="json", include={"status", "plan_hash", "spent_usd", "reused_usd", "film"})
    key = asset_key(store, folder.rpartition("/")[0])
    for first in range(0, len(clips), CLIPS_PER_EVENT):
        some = clips[first : first + CLIPS_PER_EVENT]
        _made(key, manifest.title, facts | {"folder": folder, "cost_usd": float(worth(manifest))}, some)


def _made(key: str, name: str, facts: dict[str, Any], of: Sequence[str] = ()) -> None:
    """One event in Prefect's own words. Its task decorator wants to know the key of an asset before the task runs."""
    related = [{"prefect.resource.id": one, "prefect.resource.role": "asset"} for one in of]
    by = {"prefect.resource.id": "prefect-seedance", "prefect.resource.role": "asset-materialized-by"}
    emit_event(
        "prefect.asset.materialization.succeeded",
        resource={"prefect.resource.id": key, "prefect.resource.name": in_short(name, 60)},
        related=[*related, by],
        payload=facts,
    )


async def plan_table(planned: Planned) -> None:
    """The plan, before anything is spent."""
    plan = planned.plan
    told = f"**{escaped(plan.title)}**: {dollars(plan.estimated_usd)} to spend, shots: {len(plan.shots)}."
    remarks = [f"- {escaped(str(remark))}" for remark in (*planned.warnings, *plan.problems)]
    await acreate_markdown_artifact(
        "\n".join([plan_markdown(planned), *remarks]), key="seedance-plan", description=told
    )


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
        told = f"0 of {total} clips done"
        return cls(await acreate_progress_artifact(progress=0.0, key="seedance-progress", description=told), total)

    async def one_more(self) -> None:
        self.done += 1
        async with self._lock:
            if self.done < self.total and time.monotonic() - self._shown_at < 2:
                return
            self._shown_at = time.monotonic()
            done = f"{self.done} of {self.total} clips done"
            await aupdate_progress_artifact(self.artifact, progress=100 * self.done / self.total, description=done)

    async def end(self) -> None:
        told = f"{self.total} of {self.total} clips looked after; seedance-shots says what became of each"
        await aupdate_progress_artifact(self.artifact, progress=100.0, description=told)


async def results(manifest: Manifest, folder: str, store: Store, money: Sequence[str]) -> None:
    """What became of each shot, with links and posters, and what it cost."""
    _production_made(manifest, folder, store)
    stored = sum(shot.status == "stored" for shot in manifest.shots)
    told = f"**{escaped(manifest.title)}**: {manifest.status}, {stored} of {len(manifest.shots)} shots stored"
    shots = await shots_markdown(manifest, folder, store)
    await acreate_markdown_artifact(shots, key="seedance-shots", description=f"{told}.")
    told += f", {dollars(manifest.spent_usd)} spent."
    await acreate_markdown_artifact(costs_markdown(manifest, money), key="seedance-cost", description=told)


def counts(found: dict[str, Any]) -> str:
    """What became of the clips that a collector looked at, in one line."""
    told = ", ".join(f"{found[name]} {name}" for name in ("stored", "running", "unclear", "lost"))
    return f"{told}, {len(found['errors'])} not readable" if found["errors"] else told


async def collected(found: dict[str, Any], ledger: Ledger) -> None:
    """What a collector brought home, what it could not, and what the whole ledger adds up to by day."""
    columns = ("status", "cost_usd", "error", "clip", "key", "record")
    clips = [{name: inert(clip[name]) for name in columns} for clip in found["clips"]]
    await acreate_table_artifact(table=clips, key="seedance-collected", description=counts(found))
    days, _ = await daily(ledger)
    rows = [day.as_row() for day in reversed(days)]
    spent, risk = (sum(row[name] for row in rows) for name in ("spent_usd", "at_risk_usd"))
    told = f"By UTC day, newest first; in all ${spent:,.2f} spent, ${risk:,.2f} at risk"
    await acreate_table_artifact(table=rows, key="seedance-report", description=told)


async def inbox(report: dict[str, Any]) -> None:
    """What a run over an inbox did; nothing when it was empty."""
    if report["boards"]:
        told = f"{len(report['boards'])} storyboards, ${report['spent_usd']:.2f} spent"
        boards = [{name: inert(value) for name, value in board.items()} for board in report["boards"]]
        await acreate_table_artifact(table=boards, key="seedance-inbox", description=told)
