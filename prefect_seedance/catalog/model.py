"""What one row of the catalog says of an endpoint: what it takes, what it costs, and who said so when."""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Any, Literal
from unicodedata import east_asian_width

from pydantic import Field, JsonValue, field_validator, model_validator

from prefect_seedance.models import AUTO, Frozen, Request, Usd

RATIOS = {"21:9": 21 / 9, "16:9": 16 / 9, "3:2": 3 / 2, "4:3": 4 / 3, "1:1": 1.0}
RATIOS |= {"3:4": 3 / 4, "2:3": 2 / 3, "9:16": 9 / 16}

LETTERS_OF_A_WORD = 4

Positive = Annotated[Usd, Field(gt=0)]
"""A price below nothing would set aside less than others need; one of nothing would never be submitted."""

RANGE = re.compile(r"(\d{1,3})-(\d{1,3})")


class Input(Frozen):
    """One further input of an endpoint: what may stand in it, and what happens where nobody asks for it."""

    type: Literal["bool", "int", "number", "text", "link", "list", "object"]
    about: str = Field("", description="What it does, in a few words.")
    choices: tuple[str, ...] = Field((), description="Of a text: the words that it takes, where they are listed.")
    least: float | None = Field(None, description="The smallest number, or the fewest elements of a list.")
    most: float | None = Field(None, description="The largest number, characters of a text or elements of a list.")
    required: bool = Field(False, description="The endpoint makes nothing without it.")
    default: JsonValue = Field(None, description="What the endpoint takes where nothing is sent.")
    send: JsonValue = Field(None, description="What is sent where nobody asks for anything; null sends nothing.")
    items: Input | None = Field(None, description="Of a list: what each element is.")
    fields: dict[str, Input] = Field({}, description="Of an object: its fields.")


class Price(Frozen):
    """Dollars, by whatever an endpoint charges for."""

    per_second: Positive | None = Field(None, description="Dollars per second of video or speech.")
    per_clip: dict[int, Positive] = Field({}, description="Dollars per clip by seconds, where the vendor lists them.")
    flat: Positive | None = Field(None, description="Dollars per clip, however long it becomes.")
    per_1000_characters: Positive | None = Field(None, description="Dollars for a thousand characters that are spoken.")
    upper_per_second: Positive | None = Field(
        None, description="Where more than the list price has been seen on a bill."
    )


class OtherPrice(Price):
    """The price where some inputs have other values than usual."""

    inputs: dict[str, JsonValue] = Field(description="The inputs and the values for which this price holds.")


class Tier(Price):
    """One resolution of an endpoint: the sizes that are billed as it, and its price."""

    name: str = Field(description="As the endpoint says it, for example 720p.")
    sizes: tuple[str, ...] = Field((), description="Width x height, the usual one first.")
    when: tuple[OtherPrice, ...] = Field((), description="Other prices by inputs; the first that fits holds.")


class Auto(Frozen):
    """How an endpoint is asked to choose the length itself, and the most that this can become."""

    send: JsonValue = Field(AUTO, description="What is sent as the duration; null leaves it out.")
    at_most: int = Field(description="Seconds; what it chooses itself is planned as if it were so long.")
    characters_per_second: float | None = Field(None, description="Of speech: the slowest that a text is spoken.")


class References(Frozen):
    """How an endpoint takes reference pictures: in order, under one name."""

    key: str = Field("images", description="The input that takes their links.")
    at_least: int = 0
    at_most: int


class Model(Frozen):
    """One endpoint: what it takes, what it costs, when and where that was last checked."""

    slug: str
    title: str
    kind: Literal["video", "speech"] = "video"
    image: Literal["none", "optional", "required"] = "optional"
    image_key: str = Field("image", description="The input for a first frame.")
    last_image_key: str | None = Field(None, description="The input for a last frame, where there is one.")
    references: References | None = Field(None, description="How it takes reference pictures, where it does.")
    size_as: Literal["WxH", "W*H", "tier", "tier and ratio", "ratio", "left out"] = "WxH"
    size_key: str = Field("size", description="The input that takes the size.")
    ratio_key: str = Field("aspect_ratio", description="The input that takes the ratio.")
    ratio_with_image: str | None = Field(None, description="What is sent as the ratio where a picture decides it.")
    durations: tuple[int, ...] = Field((), description="Seconds that can be asked for, the default first; 4-30 too.")
    auto: Auto | None = Field(None, description="Where the endpoint can choose the length itself.")
    fps: tuple[int, ...] = Field((), description="Frame rates that can be asked for; empty where it is not an input.")
    inputs: dict[str, Input] = Field({}, description="What else it takes, by name.")
    tiers: tuple[Tier, ...]
    runsync: Annotated[float, Field(ge=1, le=300)] | None = Field(
        None,
        description="Seconds that a submit waits for the end of its job by /runsync. Null submits by /run, whose "
        "answer is kept for 30 minutes after the end, not for one: the collector can still bring the clip home.",
    )
    usual_seconds: int = Field(90, description="How long a clip usually takes to make.")
    longest_prompt: int = Field(2000, description="Characters; longer prompts get a warning.")
    checked: datetime.date
    source: str = Field("", description="Where inputs and prices were read.")
    note: str = ""
    withdrawn: str = Field("", description="Why nothing new is asked of it, as the end of a sentence.")

    @field_validator("durations", mode="before")
    @classmethod
    def _ranges(cls, given: Any) -> Any:
        """4-30 stands for all lengths from 4 to 30 seconds; what is named before keeps its place."""
        if not isinstance(given, list | tuple):
            given = [given]
        found: dict[Any, None] = {}
        for one in given:
            span = RANGE.fullmatch(one.strip()) if isinstance(one, str) else None
            found |= dict.fromkeys(range(int(span[1]), int(span[2]) + 1) if span else [one])
        return tuple(found)

    @model_validator(mode="after")
    def _has_a_length(self) -> Model:
        if not self.durations and self.auto is None:
            raise ValueError("name its `durations`, or how it chooses them itself in `auto`")
        if not self.tiers or (self.kind == "video" and not all(tier.sizes for tier in self.tiers)):
            raise ValueError("name at least one of its `tiers`, each with its sizes")
        return self

    @property
    def default_size(self) -> str:
        return self.tiers[0].sizes[0]

    @property
    def sizes(self) -> list[str]:
        return [size for tier in self.tiers for size in tier.sizes]

    def tier_of(self, size: str) -> Tier | None:
        if self.kind == "speech":
            return self.tiers[0]
        return next((tier for tier in self.tiers if size in tier.sizes), None)


def nearest_ratio(size: str) -> str:
    """The one of the usual ratios that *size* is nearest to: 1248x704 is 16:9."""
    width, height = map(int, size.split("x"))
    return min(RATIOS, key=lambda name: abs(RATIOS[name] - width / height))


def effective(request: Request, model: Model) -> dict[str, JsonValue]:
    """Every input of *model* with the value that it has for *request*: as asked, as we send it, or as it is usually."""
    usual = {name: one.default if one.send is None else one.send for name, one in model.inputs.items()}
    return usual | request.inputs


def letters(text: str) -> int:
    """How many letters *text* takes as long to say as: a digit, or a Chinese character, is a word of its own."""
    return sum(LETTERS_OF_A_WORD if mark.isdigit() or east_asian_width(mark) in "WF" else 1 for mark in text)


def planned_seconds(request: Request, model: Model) -> float:
    """The length that *request* is planned with: as it was asked for, or the most that the endpoint can choose."""
    if request.duration != AUTO or model.auto is None:
        return request.duration
    slowest = model.auto.characters_per_second
    return model.auto.at_most if slowest is None else min(letters(request.prompt) / slowest, model.auto.at_most)
