"""What became of a board and of each of its shots: the document that a render leaves."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import ConfigDict, Field, JsonValue

from prefect_seedance.models import Audio, Frozen, Usd, Words

ShotStatus = Literal["stored", "running", "failed", "refused", "unclear", "lost", "blocked"]


class SoundFile(Frozen):
    """A sound in the store that a film plays."""

    path: str
    sha256: str
    seconds: float
    loudness: float | None = Field(None, description="LUFS, EBU R 128 integrated; null where it is silent.")


class NarrationResult(Frozen):
    """What became of what is said over a shot: a sound file, or a text that is spoken and paid like a clip."""

    status: ShotStatus
    text: str = Field("", description="What is spoken; empty for a file.")
    key: str | None = None
    take: int = 1
    record: int | None = None
    attempt: int | None = None
    job_id: str | None = None
    path: str | None = Field(None, description="The sound in the store.")
    sha256: str | None = None
    bytes: int | None = None
    seconds: float | None = None
    loudness: float | None = Field(None, description="LUFS, EBU R 128 integrated; null where it is silent.")
    estimated_usd: Usd = Decimal(0)
    cost_usd: Usd | None = None
    paid_this_run: bool = False
    error: str | None = None


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
    audio: Audio | None = Field(None, description="The sound of the clip; null where it has none.")
    duration_mismatch: bool = False
    estimated_usd: Usd = Decimal(0)
    cost_usd: Usd | None = None
    paid_this_run: bool = False
    error: str | None = None
    narration: NarrationResult | None = None
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
    sound: Literal["off", "clips"] = Field("clips", description="What is heard in the film.")
    music: SoundFile | None = None
    film: str | None = None
    timeline: str | None = None
    review: str | None = None
    catalog: str | None = Field(None, description="Hash of the catalog's rows that were somebody's own, if any were.")
    notes: str | None = None
    dialogue: str | None = None
    camera: str | None = None
    transition: str | None = None
    metadata: dict[str, JsonValue] = Field({})

    @property
    def asked(self) -> list[tuple[str, ShotResult | NarrationResult]]:
        """The shots by their ids, then their narrations, each as SHOT.narration."""
        said = [(f"{shot.id}.narration", shot.narration) for shot in self.shots if shot.narration is not None]
        return [*((shot.id, shot) for shot in self.shots), *said]

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


def words_of(told: ShotResult | Manifest) -> Words:
    """What people wrote beside a shot or a board for one another."""
    return Words(**{name: getattr(told, name) for name in Words.model_fields})
