"""What is asked, what is planned and what comes back: frozen values, no behaviour that needs a file or a clock."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

Usd = Annotated[Decimal, PlainSerializer(float, return_type=float, when_used="json")]
"""Dollars: exact in memory, a number in JSON."""


class Frozen(BaseModel):
    """A value: compared by content, never changed, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Picture(Frozen):
    """A picture that counts by its content: two links to the same bytes are the same picture."""

    sha256: str
    format: str = Field(description="As the bytes say: JPEG, PNG, WEBP, BMP, TIFF or GIF.")
    width: int
    height: int
    bytes: int
    source: str = Field(description="Where it was read, for people: a path, s3:// or https:// without its query.")
    crop: bool = Field(False, description="Crop it to the ratio of the clip before it is sent.")


class LastFrame(Frozen):
    """The last frame of another clip, known by the key of that clip before the clip exists."""

    of: str = Field(description="The key of the clip that ends in this picture.")


class Request(Frozen):
    """What is asked of the API. Equal requests have equal keys and are paid once, in any run, on any machine."""

    model: str = Field(description="The endpoint's slug, for example seedance-1-0-pro.")
    prompt: str
    size: str = Field(description="Width x height in pixels, for example 1920x1080.")
    duration: int = Field(description="Seconds.")
    fps: int | None = Field(None, description="Frames per second, where the endpoint takes it.")
    take: int = Field(1, ge=1, description="Raise it to ask, and pay, for the same thing once more.")
    image: Picture | LastFrame | None = Field(None, description="The first frame.")
    last_image: Picture | None = Field(None, description="The last frame, where the endpoint takes one.")


class Footage(Frozen):
    """What the decoder says of a clip after reading every frame of it."""

    width: int
    height: int
    fps: float
    frames: int
    seconds: float


class Problem(Frozen):
    """One thing to correct before a storyboard can be rendered, with its place and the remedy."""

    file: str
    line: int | None = None
    shot: str | None = None
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.message}" if self.shot is None else f"{place}: shot {self.shot}: {self.message}"


Action = Literal["reuse", "resume", "generate", "held", "blocked"]


class PlannedShot(Frozen):
    """What a render would do for one shot, and for how much."""

    id: str
    key: str | None
    take: int
    action: Action
    estimated_usd: Usd
    problem: str | None = None


class Plan(Frozen):
    """What a render would do, priced before anything is spent (schema `prefect-seedance/plan/1`)."""

    schema_: Literal["prefect-seedance/plan/1"] = Field("prefect-seedance/plan/1", alias="schema")
    title: str
    plan_hash: str
    estimated_usd: Usd
    reused_usd: Usd
    shots: tuple[PlannedShot, ...]
    problems: tuple[Problem, ...] = ()

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


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

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)
