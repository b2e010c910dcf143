"""Events and assets, so that automations can act. Section 6 of deployments/README.md lists their names and payloads.

Assets: `<store>/productions/<title>`, made of `<store>/productions/<title>/<shot>` for each of its shots. Names stay,
whatever is in them: which clip and take that is stands in the metadata.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from prefect.events import emit_event
from prefect.runtime import flow_run

from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.ledger.rules import remedy
from prefect_seedance.orchestration.logs import log
from prefect_seedance.orchestration.markdown import worth
from prefect_seedance.orchestration.production import Production, address_of
from prefect_seedance.orchestration.steps import SHOWN_ONE_BY_ONE
from prefect_seedance.production.manifest import Manifest, ShotResult
from prefect_seedance.storage.store import Store
from prefect_seedance.text import printable as in_short

SHOTS_PER_EVENT = 90
"""Prefect's server refuses an event with more than 100 related resources."""


class StepEvents:
    """Tells automations, and whoever reads the log, what a person may want to know of each step; counts the steps."""

    def __init__(self) -> None:
        self.steps = 0

    def __call__(self, record: Record) -> None:
        self.steps += 1
        common = {"key": record.key, "attempt": record.attempt, "prompt": record.request.prompt}
        risk = {"record": record.number, "at_risk_usd": float(record.charged_usd)}
        match record.step:
            case Step.STORED:
                _emit("clip.stored", record, common | _facts(record))
            case Step.REFUSED:
                _emit("shot.refused", record, common | {"record": record.number, "reason": record.reason})
            case Step.FAILED:
                failure = {"record": record.number, "job_id": record.job_id, "reason": record.reason}
                _emit("shot.failed", record, common | failure)
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
        "seconds": seen.seconds if (seen := record.footage or record.heard) else None,
        "cost_usd": None if record.cost_usd is None else float(record.cost_usd),
    }


def _emit(name: str, record: Record, payload: dict[str, Any]) -> None:
    prompt = in_short(record.request.prompt, 60)
    resource = {"prefect.resource.id": f"prefect-seedance.clip.{record.key}", "prefect.resource.name": prompt}
    emit_event(f"prefect-seedance.{name}", resource, payload=payload)


def budget_refused(why: str) -> None:
    """Tell automations that a limit, or an approval that is missing, kept a run from spending."""
    resource = {"prefect.resource.id": f"prefect-seedance.run.{flow_run.get_id()}"}
    emit_event("prefect-seedance.budget.refused", resource, payload={"reason": why})


def ledger_unreadable(key: str, error: str) -> None:
    """Tell automations of a key whose records are damaged: somebody has to restore them."""
    resource = {"prefect.resource.id": f"prefect-seedance.clip.{key}"}
    emit_event("prefect-seedance.ledger.unreadable", resource, payload={"key": key, "error": error})
    log().error("%s can't be read: %s", key, error)


def asset_key(store: Store, path: str) -> str:
    """The name of *path* as a Prefect asset: a URI, with _ in the place of each character that Prefect refuses."""
    return as_asset_key(address_of(store, path))


def as_asset_key(address: str) -> str:
    """*address* with _ in the place of each character that Prefect refuses."""
    return re.sub(r"[^\w./:~=+@,-]", _in_asset_key, address)


def _in_asset_key(refused: re.Match[str]) -> str:
    """Vowel signs of many scripts are no letters to `re`."""
    return refused[0] if unicodedata.category(refused[0])[0] == "M" else "_"


def production_made(manifest: Manifest, folder: str, store: Store) -> None:
    """Tell automations of a production, and show it as an asset made of its shots, as large ones in several events.

    One that holds nothing is an asset that failed. Shots are shown as assets of their own up to `SHOWN_ONE_BY_ONE`.
    """
    home = folder.rpartition("/")[0]
    key, made = asset_key(store, home), Production.of(manifest, folder, store)
    resource = {"prefect.resource.id": f"prefect-seedance.production.{home.rpartition('/')[2]}"}
    resource |= {"prefect.resource.name": in_short(manifest.title, 60), "prefect-seedance.status": manifest.status}
    facts = made.model_dump(mode="json") | {"cost_usd": float(worth(manifest))}
    emit_event("prefect-seedance.production.made", resource, payload={"run": flow_run.get_id()} | facts)
    stored = {asset_key(store, f"{home}/{shot.id}"): shot for shot in manifest.shots if shot.clip}
    if not stored:
        materialized("failed", key, manifest.title, facts)
    if len(manifest.shots) <= SHOWN_ONE_BY_ONE:
        for shot_key, shot in stored.items():
            materialized("succeeded", shot_key, f"{manifest.title}: {shot.id}", _facts_of(shot))
    parts = list(stored)
    for first in range(0, len(parts), SHOTS_PER_EVENT):
        materialized("succeeded", key, manifest.title, facts, parts[first : first + SHOTS_PER_EVENT])


def _facts_of(shot: ShotResult) -> dict[str, Any]:
    """The metadata of a shot's asset: `sha256` and `take` tell one version of it from another."""
    names = {"key", "take", "job_id", "clip", "sha256", "bytes", "seconds", "cost_usd"}
    return shot.model_dump(mode="json", include=names)


def materialized(how: str, key: str, name: str, facts: dict[str, Any], of: Sequence[str] = ()) -> None:
    """Emit the event by which Prefect knows assets; its own decorator wants their keys before the task runs."""
    related = [{"prefect.resource.id": one, "prefect.resource.role": "asset"} for one in of]
    by = {"prefect.resource.id": "prefect-seedance", "prefect.resource.role": "asset-materialized-by"}
    emit_event(
        f"prefect.asset.materialization.{how}",
        resource={"prefect.resource.id": key, "prefect.resource.name": in_short(name, 60)},
        related=[*related, by],
        payload=facts,
    )
