"""What an input asks the emulator for, read as strictly as the vendor does by the row of its endpoint."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from pydantic import JsonValue

from prefect_seedance.catalog import pricing
from prefect_seedance.catalog.inputs import problems_of
from prefect_seedance.catalog.model import Model, Tier, nearest_ratio
from prefect_seedance.models import AUTO, Request

NATIVE = {"1920x1080": "1920x1088", "1280x720": "1248x704", "854x480": "864x480"}
"""The size that a clip comes back in, where it is not the size that was asked for."""

CHOSEN_SECONDS = 5
"""The length of a clip to which nobody gave one, where the endpoint has no usual one."""


CHARACTERS_PER_SECOND = 15
"""How fast it speaks; people read aloud about as fast."""

SHORTEST_SPEECH = 0.5
"""Seconds."""


class Malformed(Exception):
    """A POST that is answered with 400 and makes no job."""


class Asked(NamedTuple):
    """What an input asks for, as the endpoint understands it."""

    width: int
    height: int
    seconds: int
    fps: int
    usd: float


class Spoken(NamedTuple):
    """How a text is spoken: for how long, and in which kind of file."""

    seconds: float
    ending: str
    usd: float


def asked_of(model: Model, fields: dict[str, Any]) -> Asked:
    """Read an input as strictly as the vendor does.

    Raises `ValueError` where the job is accepted and then FAILED, which costs nothing, and `Malformed` where the POST
    is refused at once.
    """
    size = _size(fields, model)
    fps = fields.get("fps") or (model.fps or (24,))[0]
    if not str(fields.get("prompt") or "").strip():
        raise ValueError(refusal("field prompt is required"))
    if model.image == "required" and not fields.get(model.image_key):
        raise ValueError(refusal(f"field {model.image_key} is required"))
    if model.fps and fps not in model.fps:
        raise ValueError(refusal(f"field fps must be one of {list(model.fps)}, got {fps!r}"))
    if model.tier_of(size) is None:
        raise ValueError(refusal(f"field {model.size_key} does not take {size}"))
    _check_references(fields, model)
    seconds = _seconds(fields, model)
    inputs = _inputs(fields, model)
    request = Request(model=model.slug, prompt=fields["prompt"], size=size, duration=seconds, fps=fps, inputs=inputs)
    if problem := next(problems_of(request, model), None):
        raise ValueError(refusal(problem))
    width, height = NATIVE.get(size, size).split("x")
    return Asked(int(width), int(height), seconds, fps, float(pricing.estimate(request, model)))


def spoken_of(model: Model, fields: dict[str, Any]) -> Spoken:
    """Read the input of an endpoint that speaks, as strictly as `asked_of` does that of one that makes clips."""
    text = str(fields.get("prompt") or "").strip()
    if not text:
        raise ValueError(refusal("field prompt is required"))
    if len(text) > model.longest_prompt:
        raise ValueError(refusal(f"field prompt must have at most {model.longest_prompt} characters"))
    inputs = _inputs(fields, model)
    request = Request(model=model.slug, prompt=text, size="", duration=AUTO, inputs=inputs)
    if problem := next(problems_of(request, model), None):
        raise ValueError(refusal(problem))
    seconds = max(SHORTEST_SPEECH, round(len(text) / CHARACTERS_PER_SECOND, 1))
    price = pricing.price_of(request, model)
    if price.per_1000_characters is not None:
        usd = float(price.per_1000_characters) * len(text) / 1000
    else:
        usd = float(price.per_second or 0) * seconds
    return Spoken(seconds, str(inputs.get("format", "mp3")), round(usd, pricing.DECIMALS))


def price_of(model: Model, fields: dict[str, Any]) -> float:
    """What an input costs; raises as `asked_of` does."""
    return spoken_of(model, fields).usd if model.kind == "speech" else asked_of(model, fields).usd


def pictures_of(model: Model, fields: dict[str, Any]) -> dict[str, str]:
    """The links of the pictures of an input, by a name; the first frame comes first, the references last."""
    names = (model.image_key, model.last_image_key)
    links = {name: str(fields[name]) for name in names if name and fields.get(name)}
    references = fields.get(model.references.key) if model.references else None
    return links | {f"reference-{n}": str(link) for n, link in enumerate(references or ())}


def _seconds(fields: dict[str, Any], model: Model) -> int:
    """The length of the clip. What the endpoint chooses itself, this one chooses as it is usually."""
    usual = model.durations[0] if model.durations else CHOSEN_SECONDS
    asked = fields.get("duration", usual)
    if model.auto is not None and (asked == model.auto.send or not model.durations):
        return min(usual, model.auto.at_most)
    if isinstance(asked, bool) or asked not in model.durations:
        raise ValueError(refusal(f"field duration must be one of {sorted(model.durations)}, got {asked!r}"))
    return int(asked)


def _inputs(fields: dict[str, Any], model: Model) -> dict[str, JsonValue]:
    """Every input of the row: as it was sent, or as it is where nothing is sent."""
    usual = {name: one.default for name, one in model.inputs.items() if one.default is not None}
    return usual | {name: fields[name] for name in model.inputs if name in fields}


def _check_references(fields: dict[str, Any], model: Model) -> None:
    if model.references is None:
        return
    key, least, most = model.references.key, model.references.at_least, model.references.at_most
    sent = fields.get(key) or []
    if not isinstance(sent, list) or not least <= len(sent) <= most:
        raise ValueError(refusal(f"field {key} must be a list of {least} to {most} links"))


def _size(fields: dict[str, Any], model: Model) -> str:
    if model.size_as == "ratio":
        return _in_ratio(fields, model, model.tiers[0])
    named = fields.get(model.size_key)
    if model.size_as == "left out" or named is None:
        return model.default_size
    if model.size_as in ("WxH", "W*H"):
        times = model.size_as[1]
        if not re.fullmatch(rf"\d+{re.escape(times)}\d+", str(named)):
            raise Malformed(f"Invalid parameter: size format must be width{times}height")
        return str(named).replace("*", "x")
    tier = next((tier for tier in model.tiers if tier.name == named), None)
    if tier is None:
        names = ", ".join(tier.name for tier in model.tiers)
        raise ValueError(refusal(f"field {model.size_key} must be one of [{names}], got string {named}"))
    return _in_ratio(fields, model, tier) if model.size_as == "tier and ratio" else tier.sizes[0]


def _in_ratio(fields: dict[str, Any], model: Model, tier: Tier) -> str:
    ratios = {nearest_ratio(size): size for size in reversed(tier.sizes)}
    if model.ratio_with_image and (fields.get(model.image_key) or fields.get(model.last_image_key or "")):
        ratios = {model.ratio_with_image: tier.sizes[0]}
    ratio = fields.get(model.ratio_key, next(reversed(ratios)))
    if ratio not in ratios:
        raise ValueError(refusal(f"field {model.ratio_key} must be one of {sorted(ratios)}, got {ratio!r}"))
    return ratios[ratio]


def refusal(message: str) -> str:
    """The error of a job whose input the vendor refuses after it was accepted."""
    nested = json.dumps({"code": 400, "message": f"Invalid request body: {message}"})
    return f"Error submitting task: 400, {nested}"
