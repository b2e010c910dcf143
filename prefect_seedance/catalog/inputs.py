"""What a row declares as inputs: why a value can't be one, and the value as it is sent and counted in the key."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import JsonValue

from prefect_seedance.catalog.model import Input, Model
from prefect_seedance.models import AUTO, Request
from prefect_seedance.text import printable

BOOLS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", re.IGNORECASE)
FIELDS = {"prompt", "duration", "size", "fps", "image", "last_image", "images", "resolution", "aspect_ratio", "take"}
"""What is asked by a field of the storyboard and not among the inputs."""
LONGEST_TEXT = 2000
LONGEST_NUMBER, LARGEST = 40, 1e15


class Wrong(Exception):
    """A value that can't stand where it stands; its text ends a sentence that begins with the name."""


def checked(name: str, value: Any, model: Model) -> JsonValue:
    """*value* as it is sent for the input *name* of *model*, or `Wrong` with the remedy and what the row takes."""
    if (one := model.inputs.get(name)) is None:
        if name in FIELDS:
            raise Wrong(f"`{printable(name)}` has a field of its own; write it beside `inputs`, not into it")
        raise Wrong(f"`{printable(name)}` is not an input of {model.slug}; {takes(model)}")
    try:
        return _value(value, one)
    except Wrong as error:
        raise Wrong(f"input `{name}` {error}; {model.slug} takes {described(one)} here") from None


def without_usual(inputs: Mapping[str, JsonValue], model: Model) -> dict[str, JsonValue]:
    """*inputs* without what is sent anyway: asking for it makes no other request, and so no second payment."""
    sent = {name: one.send for name, one in model.inputs.items()}
    return {name: value for name, value in sorted(inputs.items()) if not _same(value, sent.get(name))}


def problems_of(request: Request, model: Model) -> Iterator[str]:
    """Why a *request* that was made by a program is not what *model* takes."""
    if model.tier_of(request.size) is None:
        yield f"{model.slug} has no size {printable(request.size)}; it has {', '.join(model.sizes)}"
    if request.duration not in model.durations and not (model.auto and request.duration == AUTO):
        offered = ", ".join(map(str, [*sorted(model.durations), *([AUTO] if model.auto else [])]))
        yield f"{model.slug} has no duration {request.duration}; it has {offered}"
    if model.fps and request.fps not in model.fps:
        yield f"{model.slug} has no frame rate {request.fps}; it has {', '.join(map(str, model.fps))}"
    for name, value in request.inputs.items():
        try:
            if not _same(checked(name, value, model), value):
                yield f"input `{name}` is {printable(value)!r}; {model.slug} takes {described(model.inputs[name])} here"
        except Wrong as error:
            yield str(error)
    for name in missing(request.inputs, model):
        yield f"{model.slug} needs the input `{name}` ({described(model.inputs[name])})"


def missing(inputs: Mapping[str, Any], model: Model) -> list[str]:
    """The inputs that *model* makes nothing without and that *inputs* does not have."""
    return [name for name, one in model.inputs.items() if one.required and name not in inputs]


def takes(model: Model) -> str:
    """All that *model* takes beside the fields of a shot, in words."""
    if not model.inputs:
        return f"{model.slug} takes no inputs, so remove it or choose another model"
    return "it takes " + ", ".join(f"`{name}` ({described(one)})" for name, one in model.inputs.items())


def described(one: Input) -> str:
    """What may stand in an input, in words."""
    match one.type:
        case "bool":
            return "true or false"
        case "int" | "number":
            return ("a whole number" if one.type == "int" else "a number") + _bounds(one)
        case "text":
            return " or ".join(one.choices) if one.choices else "a text"
        case "link":
            return "an https:// link"
        case "list":
            return f"a list of {described(one.items)}" if one.items else "a list"
        case "object":
            return "{" + ", ".join(f"{name}: {described(field)}" for name, field in one.fields.items()) + "}"


def _bounds(one: Input) -> str:
    match one.least, one.most:
        case None, None:
            return ""
        case least, None:
            return f" from {least:.16g}"
        case None, most:
            return f" up to {most:.16g}"
        case least, most:
            return f" from {least:.16g} to {most:.16g}"


def _value(value: Any, one: Input) -> JsonValue:
    if value is None:
        raise Wrong("is empty")
    match one.type:
        case "bool":
            return _bool(value)
        case "int" | "number":
            return _number(value, one)
        case "text":
            return _text(value, one)
        case "link":
            return _link(value)
        case "list":
            return _list(value, one)
        case "object":
            return _object(value, one)


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().casefold() in BOOLS:
        return BOOLS[value.strip().casefold()]
    raise Wrong(f"is {_shown(value)}")


def _number(value: Any, one: Input) -> int | float:
    if isinstance(value, str) and len(value) < LONGEST_NUMBER and NUMBER.fullmatch(value.strip()):
        value = float(value) if one.type == "number" or not value.strip().lstrip("+-").isdecimal() else int(value)
    least, most = -LARGEST if one.least is None else one.least, LARGEST if one.most is None else one.most
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise Wrong(f"is {_shown(value)}")
    if one.type == "int" and value != int(value):
        raise Wrong(f"is {_shown(value)}")
    return int(value) if one.type == "int" else float(value)


def _text(value: Any, one: Input) -> str:
    if isinstance(value, bool | dict | list):
        raise Wrong(f"is {_shown(value)}")
    text = str(value).strip()
    if one.choices:
        if text.casefold() not in {choice.casefold() for choice in one.choices}:
            raise Wrong(f"is {_shown(value)}")
        return next(choice for choice in one.choices if choice.casefold() == text.casefold())
    most = int(one.most or LONGEST_TEXT)
    if not text:
        raise Wrong("is empty")
    if len(text) > most:
        raise Wrong(f"has {len(text):,} characters of at most {most:,}")
    return text


def _link(value: Any) -> str:
    """A link is written into the record of what was asked for, so it must not be a secret."""
    try:
        parts = urlsplit(value.strip()) if isinstance(value, str) else urlsplit("")
        good = parts.scheme == "https" and bool(parts.hostname)
    except ValueError:
        good = False
    if not good:
        raise Wrong(f"is {_shown(value)}")
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise Wrong("is a link with a key or a signature in it, which would be kept; give one without `?`, `#` and `@`")
    return str(value).strip()


def _list(value: Any, one: Input) -> list[JsonValue]:
    elements = value if isinstance(value, list | tuple) else [value]
    if len(elements) > (one.most or math.inf) or len(elements) < (one.least or 1):
        raise Wrong(f"has {len(elements)} elements of {_bounds(one).strip() or 'at least 1'}")
    return [element if one.items is None else _value(element, one.items) for element in elements]


def _object(value: Any, one: Input) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise Wrong(f"is {_shown(value)}")
    if unknown := [name for name in value if name not in one.fields]:
        raise Wrong(f"has `{printable(unknown[0])}`, which is not a field of it")
    if lacking := [name for name, field in one.fields.items() if field.required and name not in value]:
        raise Wrong(f"lacks `{lacking[0]}`")
    found: dict[str, JsonValue] = {}
    for name, field in value.items():
        try:
            found[name] = _value(field, one.fields[name])
        except Wrong as error:
            raise Wrong(f"has `{name}`, which {error}") from None
    return found


def _shown(value: Any) -> str:
    return "several values" if isinstance(value, dict | list | tuple) else f"`{printable(value)}`"


def _same(one: Any, other: Any) -> bool:
    """Equal and of one type: 1 is not true."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)
