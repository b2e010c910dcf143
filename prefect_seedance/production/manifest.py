"""What became of a board and of each of its shots: the document that a render leaves."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import ConfigDict, Field, JsonValue

from prefect_seedance.models import Frozen, Usd, Words

ShotStatus = Literal["stored", "running", "failed", "refused", "unclear", "lost", "blocked"]


class ShotResult(Frozen):
    """What became of one shot. Paths are relative to the store; what is not known is null."""

    id: str
    status: ShotStatus
    key: str | None
    take: int
    record: int | None = Field(None, description="The number of the ledger record that says so: KEY@record.")
    attempt: int | None = None
    job_id: str | None = None
    clip: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    frames: int | None = None
    seconds: float | None = None
    duration_mismatch: bool = False
    estimated_usd: Usd = Decimal(0)
    cost_usd: Usd | None = None
    paid_this_run: bool = False
    error: str | None = None
    notes: str | None = None
    dialogue: str | None = None
    camera: str | None = None
    transition: str | None = None
    metadata: dict[str, JsonValue] = Field({})


class Manifest(Frozen):
    """What a render leaves (schema `prefect-seedance/manifest/1`). Paths are relative to the store."""

    schema_: Literal["prefect-seedance/manifest/1"] = Field("prefect-seedance/manifest/1", alias="schema")
    title: str
    status: Literal["complete", "partial", "nothing"]
    plan_hash: str
    estimated_usd: Usd
    spent_usd: Usd = Field(description="What this run paid.")
    reused_usd: Usd = Field(description="What the clips that were already there had cost.")
    shots: tuple[ShotResult, ...]
    film: str | None = None
    timeline: str | None = None
    review: str | None = None
    notes: str | None = None
    dialogue: str | None = None
    camera: str | None = None
    transition: str | None = None
    metadata: dict[str, JsonValue] = Field({})

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


def words_of(told: ShotResult | Manifest) -> Words:
    """What people wrote beside a shot or a board for one another."""
    return Words(**{name: getattr(told, name) for name in Words.model_fields})
