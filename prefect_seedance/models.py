"""What is asked, what is planned and what comes back: frozen values, no behaviour that needs a file or a clock."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    model_serializer,
)

Usd = Annotated[Decimal, PlainSerializer(float, return_type=float, when_used="json")]
"""Dollars: exact in memory, a number in JSON."""


AUTO = -1
"""The duration of what the endpoint gives a length itself."""

ABSENT_WHEN_EMPTY = ("inputs", "references")
"""Fields of a request that came later: without them its key and its records are what they were."""


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
    size: str = Field(description="Width x height in pixels, for example 1920x1080; empty where a text is spoken.")
    duration: int = Field(description="Seconds; -1 where the endpoint chooses the length.")
    fps: int | None = Field(None, description="Frames per second, where the endpoint takes it.")
    take: int = Field(1, ge=1, description="Raise it to ask, and pay, for the same thing once more.")
    image: Picture | LastFrame | None = Field(None, description="The first frame.")
    last_image: Picture | None = Field(None, description="The last frame, where the endpoint takes one.")
    references: tuple[Picture, ...] = Field((), description="Reference pictures, in order, where it takes them.")
    inputs: dict[str, JsonValue] = Field({}, description="What else is asked, as the row of the endpoint declares it.")

    @property
    def is_speech(self) -> bool:
        """Whether it asks for a sound: a text that is spoken has no size."""
        return not self.size

    @model_serializer(mode="wrap")
    def _without_what_is_empty(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = plain(self)
        return {name: value for name, value in fields.items() if value or name not in ABSENT_WHEN_EMPTY}


class Words(Frozen):
    """What people write beside a board or a shot for one another. No part of any request, and so of no key."""

    notes: str | None = None
    dialogue: str | None = None
    camera: str | None = None
    transition: str | None = None
    metadata: dict[str, JsonValue] = {}

    @property
    def written(self) -> dict[str, Any]:
        """What there is of it, by name."""
        return {name: value for name, value in self.model_dump().items() if value}


NO_WORDS = Words()


class Audio(Frozen):
    """A sound track, after all of it was decoded."""

    codec: str
    rate: int = Field(description="Samples per second.")
    channels: int
    loudness: float | None = Field(None, description="LUFS, EBU R 128 integrated; null where it is silent.")


class Heard(Frozen):
    """What the decoder says of a sound after hearing all of it."""

    seconds: float
    audio: Audio


class Footage(Frozen):
    """What the decoder says of a clip after reading every frame of it."""

    width: int
    height: int
    fps: float
    frames: int
    seconds: float
    audio: Audio | None = Field(None, description="Left out where the clip has no sound.")

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = plain(self)
        return {name: value for name, value in fields.items() if name != "audio" or value is not None}


class Problem(Frozen):
    """One thing to correct before a storyboard can be rendered, with its place and the remedy."""

    file: str
    line: int | None = None
    shot: str | None = None
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.message}" if self.shot is None else f"{place}: shot {self.shot}: {self.message}"
