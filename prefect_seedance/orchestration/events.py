"""Events and assets, so that automations can act. Section 6 of deployments/README.md lists their names and payloads.

Assets: `<store>/<clip>` for every clip that is stored, and `<store>/productions/<title>`, made of its clips.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from prefect.events import emit_event
from prefect.runtime import flow_run

from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.ledger.rules import remedy
from prefect_seedance.orchestration.logs import log
from prefect_seedance.orchestration.markdown import worth
from prefect_seedance.production.manifest import Manifest
from prefect_seedance.storage.store import Store
from prefect_seedance.text import printable as in_short

CLIPS_PER_EVENT = 90
"""Prefect's server refuses an event with more than 100 related resources."""


class StepEvents:
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
    """The name of *path* as a Prefect asset: a URI, with _ in the place of each character that Prefect refuses."""
    root = store.url if "://" in store.url else f"file://{store.url}"
    return re.sub(r"[^\w./:~=+@,-]", "_", f"{root}/{path}")


def _clip_made(store: Store, record: Record) -> None:
    take = {"key": record.key, "take": record.request.take, "model": record.request.model}
    _made(asset_key(store, record.clip or ""), record.request.prompt, take | _facts(record))


def production_made(manifest: Manifest, folder: str, store: Store) -> None:
    """Show a production as an asset made of its clips, in as many events as their number takes."""
    clips = list(dict.fromkeys(asset_key(store, shot.clip) for shot in manifest.shots if shot.clip))
    facts = manifest.model_dump(mode="json", include={"status", "plan_hash", "spent_usd", "reused_usd", "film"})
    key = asset_key(store, folder.rpartition("/")[0])
    for first in range(0, len(clips), CLIPS_PER_EVENT):
        some = clips[first : first + CLIPS_PER_EVENT]
        _made(key, manifest.title, facts | {"folder": folder, "cost_usd": float(worth(manifest))}, some)


def _made(key: str, name: str, facts: dict[str, Any], of: Sequence[str] = ()) -> None:
    """Emit the event by which Prefect knows assets; its own decorator wants their keys before the task runs."""
    related = [{"prefect.resource.id": one, "prefect.resource.role": "asset"} for one in of]
    by = {"prefect.resource.id": "prefect-seedance", "prefect.resource.role": "asset-materialized-by"}
    emit_event(
        "prefect.asset.materialization.succeeded",
        resource={"prefect.resource.id": key, "prefect.resource.name": in_short(name, 60)},
        related=[*related, by],
        payload=facts,
    )
