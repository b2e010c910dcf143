"""The known endpoints as rows of data. An endpoint that is asked in the same way is a new row, not new code.

Prices and inputs are those of Runpod's documentation at the date in `checked`; Runpod does withdraw endpoints, so
`prefect-seedance doctor` asks for free whether one still answers. Sizes of the Seedance 1.0 series are ByteDance's.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field

from prefect_seedance.models import Frozen, Request, Usd


class Tier(Frozen):
    """One resolution of an endpoint: the sizes that are billed as it, and its price."""

    name: str = Field(description="As the endpoint says it, for example 720p.")
    sizes: tuple[str, ...] = Field(description="Width x height, the usual one first.")
    per_second: Usd | None = Field(None, description="Dollars per second of video.")
    per_clip: dict[int, Usd] = Field({}, description="Dollars per clip by seconds, where the vendor lists them.")
    upper_per_second: Usd | None = Field(None, description="Where more than the list price has been seen on a bill.")


class Model(Frozen):
    """One endpoint: what it takes, what it costs, when that was last checked."""

    slug: str
    title: str
    image: Literal["none", "optional", "required"] = "optional"
    last_image_key: str | None = Field(None, description="The input for a last frame, where there is one.")
    size_as: Literal["WxH", "W*H", "tier", "tier and ratio", "left out"] = "WxH"
    size_key: str = Field("size", description="The input that takes the size.")
    durations: tuple[int, ...] = Field(description="Seconds that can be asked for, the default first.")
    fps: tuple[int, ...] = Field((), description="Frame rates that can be asked for; empty where it is not an input.")
    tiers: tuple[Tier, ...]
    usual_seconds: int = Field(90, description="How long a clip usually takes to make.")
    longest_prompt: int = Field(2000, description="Characters; longer prompts get a warning.")
    checked: datetime.date
    note: str = ""

    @property
    def default_size(self) -> str:
        return self.tiers[0].sizes[0]

    def tier_of(self, size: str) -> Tier | None:
        return next((tier for tier in self.tiers if size in tier.sizes), None)


NOMINAL = {"480p": "854x480", "720p": "1280x720", "1080p": "1920x1080"}
SIX_RATIOS = {  # width x height of 21:9, 16:9, 4:3, 1:1, 3:4, 9:16: ByteDance's table for the 1.0 series
    "480p": ("960x416", "864x480", "736x544", "640x640", "544x736", "480x864"),
    "720p": ("1504x640", "1248x704", "1120x832", "960x960", "832x1120", "704x1248"),
    "1080p": ("2176x928", "1920x1088", "1664x1248", "1440x1440", "1248x1664", "1088x1920"),
}
DOCS = datetime.date(2026, 8, 20)


def _tier(name: str, sizes: tuple[str, ...] = (), **prices: Any) -> Tier:
    return Tier(name=name, sizes=sizes or (NOMINAL[name],), **prices)


def _clips(prices: dict[int, str]) -> dict[int, Decimal]:
    return {seconds: Decimal(usd) for seconds, usd in prices.items()}


ROWS = (
    Model(
        slug="seedance-1-0-pro",
        title="Seedance 1.0 Pro",
        durations=(5, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12),
        fps=(24,),
        tiers=(
            # The vendor's own example shows a cost of 0.62 where its table says 0.61.
            _tier("1080p", (NOMINAL["1080p"], *SIX_RATIOS["1080p"]), per_second=Decimal("0.122"),
                  per_clip=_clips({5: "0.61", 10: "1.22"}), upper_per_second=Decimal("0.124")),
            _tier("720p", (NOMINAL["720p"], *SIX_RATIOS["720p"]), per_second=Decimal("0.054"),
                  per_clip=_clips({5: "0.27", 10: "0.54"})),
            _tier("480p", (NOMINAL["480p"], *SIX_RATIOS["480p"]), per_second=Decimal("0.024"),
                  per_clip=_clips({5: "0.12", 10: "0.24"})),
        ),
        checked=datetime.date(2026, 6, 18),
        note="Left Runpod's documentation on 2026-06-18; `doctor` says whether it still answers.",
    ),
    Model(
        slug="seedance-v1-5-pro-i2v",
        title="Seedance 1.5 Pro, image to video",
        image="required",
        last_image_key="last_image",
        size_as="tier and ratio",
        size_key="resolution",
        durations=(5, 4, 6, 7, 8, 9, 10, 11, 12),
        tiers=(
            _tier("720p", ("1280x720", "720x1280", "960x960"), per_second=Decimal("0.052")),
            _tier("480p", ("854x480", "480x854", "640x640"), per_second=Decimal("0.024")),
        ),
        checked=DOCS,
        note="Retired by other hosts in November 2026.",
    ),
    Model(
        slug="wan-2-6-t2v",
        title="WAN 2.6, text to video",
        image="none",
        size_as="W*H",
        durations=(5, 10, 15),
        tiers=(
            _tier("720p", ("1280x720", "720x1280"), per_clip=_clips({5: "0.50", 10: "1.00", 15: "1.50"})),
            _tier("1080p", ("1920x1080", "1080x1920"), per_clip=_clips({5: "0.75", 10: "1.50", 15: "2.25"})),
        ),
        checked=DOCS,
    ),
    Model(
        slug="wan-2-6-i2v",
        title="WAN 2.6, image to video",
        image="required",
        size_as="tier",  # the documentation says 1280*720, the endpoint takes 720p
        durations=(5, 10, 15),
        tiers=(_tier("720p", per_second=Decimal("0.10")), _tier("1080p", per_second=Decimal("0.15"))),
        checked=DOCS,
    ),
    Model(
        slug="wan-2-5",
        title="WAN 2.5, image to video",
        image="required",
        size_as="W*H",
        durations=(5, 10),
        tiers=(
            _tier("720p", ("1280x720", "720x1280"), per_clip=_clips({5: "0.50", 10: "1.00"})),
            _tier("480p", ("854x480", "480x854"), per_clip=_clips({5: "0.25", 10: "0.50"})),
            _tier("1080p", ("1920x1080", "1080x1920"), per_clip=_clips({5: "0.75", 10: "1.50"})),
        ),
        checked=DOCS,
    ),
    Model(
        slug="wan-2-2-i2v-720",
        title="WAN 2.2, image to video",
        image="required",
        size_as="W*H",
        durations=(5, 8, 10, 15),
        tiers=(_tier("720p", ("1280x720", "720x1280"),
                     per_clip=_clips({5: "0.30", 8: "0.48", 10: "0.60", 15: "0.90"})),),
        checked=DOCS,
    ),
    Model(
        slug="wan-2-1-i2v-720",
        title="WAN 2.1, image to video",
        image="required",
        size_as="W*H",
        durations=(5, 10, 15),
        tiers=(_tier("720p", ("1280x720", "720x1280"), per_clip=_clips({5: "0.30", 10: "0.60", 15: "0.90"})),),
        checked=DOCS,
    ),
    Model(
        slug="p-video",
        title="P-Video",
        size_as="tier and ratio",
        size_key="resolution",
        durations=(5, 1, 2, 3, 4, 6, 7, 8, 9, 10),
        fps=(24, 48),
        tiers=(
            _tier("720p", ("1280x720", "720x1280", "960x960"), per_second=Decimal("0.02")),
            _tier("1080p", ("1920x1080", "1080x1920", "1440x1440"), per_second=Decimal("0.04")),
        ),
        checked=DOCS,
    ),
    Model(
        slug="vidu-q3-t2v",
        title="Vidu Q3, text to video",
        image="none",
        size_as="tier and ratio",
        size_key="resolution",
        durations=(5, *range(1, 5), *range(6, 17)),
        tiers=(_tier("720p", ("1280x720", "720x1280"), per_second=Decimal("0.15")),),
        checked=DOCS,
    ),
    Model(
        slug="vidu-q3-i2v",
        title="Vidu Q3, image to video",
        image="required",
        size_as="tier",
        size_key="resolution",
        durations=(5, *range(1, 5), *range(6, 17)),
        tiers=(_tier("720p", per_second=Decimal("0.15")),),
        checked=DOCS,
    ),
    Model(
        slug="sora-2-i2v",
        title="Sora 2, image to video",
        image="required",
        size_as="left out",
        durations=(4, 8, 12),
        tiers=(_tier("720p", ("1280x720", "720x1280"), per_clip=_clips({4: "0.40", 8: "0.80", 12: "1.20"})),),
        checked=DOCS,
        note="The vendor shut the model down in September 2026.",
    ),
    Model(
        slug="sora-2-pro-i2v",
        title="Sora 2 Pro, image to video",
        image="required",
        size_as="tier",
        durations=(4, 8, 12),
        tiers=(
            _tier("720p", per_clip=_clips({4: "1.20", 8: "2.40", 12: "3.60"})),
            _tier("1080p", per_clip=_clips({4: "2.00", 8: "4.00", 12: "6.00"})),
        ),
        checked=DOCS,
        note="The vendor shut the model down in September 2026.",
    ),
    Model(
        slug="kling-v2-1-i2v-pro",
        title="Kling 2.1 Pro, image to video",
        image="required",
        size_as="left out",
        durations=(5, 10),
        tiers=(_tier("1080p", ("1920x1080", "1080x1920"), per_clip=_clips({5: "0.45", 10: "0.90"})),),
        checked=DOCS,
        note="Answered 404 in September 2026.",
    ),
)  # fmt: skip

Catalog = dict[str, Model]
"""The endpoints by slug."""

KNOWN: Catalog = {row.slug: row for row in ROWS}


def with_rows(rows: Iterable[dict[str, Any]], known: Catalog = KNOWN) -> Catalog:
    """The catalog with rows of your own added, or put in the place of known ones. Raises pydantic's ValidationError."""
    return {**known, **{model.slug: model for model in map(Model.model_validate, rows)}}


def input_of(request: Request, model: Model, image: str | None, last_image: str | None) -> dict[str, Any]:
    """The `input` object of the POST. *image* and *last_image* are links that the provider can fetch."""
    fields: dict[str, Any] = {"prompt": request.prompt, "duration": request.duration}
    if model.image != "none":
        fields["image"] = image or ""  # the vendor wants it there, and empty for text to video
    if model.last_image_key and last_image:
        fields[model.last_image_key] = last_image
    if model.fps:
        fields["fps"] = request.fps
    return fields | _size_fields(request.size, model)


def _size_fields(size: str, model: Model) -> dict[str, str]:
    tier = model.tier_of(size)
    name = tier.name if tier else ""
    match model.size_as:
        case "WxH":
            return {model.size_key: size}
        case "W*H":
            return {model.size_key: size.replace("x", "*")}
        case "tier":
            return {model.size_key: name}
        case "tier and ratio":
            return {model.size_key: name, "aspect_ratio": nearest_ratio(size)}
        case "left out":
            return {}


def nearest_ratio(size: str) -> str:
    """The one of the six usual ratios that *size* is nearest to: 1248x704 is 16:9."""
    width, height = map(int, size.split("x"))
    six = {"21:9": 21 / 9, "16:9": 16 / 9, "4:3": 4 / 3, "1:1": 1.0, "3:4": 3 / 4, "9:16": 9 / 16}
    return min(six, key=lambda name: abs(six[name] - width / height))
