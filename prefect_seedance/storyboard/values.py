"""Values that a storyboard may write in more than one way: a length that the model chooses, one name or several."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, JsonValue, WithJsonSchema

from prefect_seedance.models import AUTO


def _seconds(given: Any) -> Any:
    return AUTO if isinstance(given, str) and given.strip().casefold() == "auto" else given


def _paths(given: Any) -> Any:
    return (given,) if isinstance(given, str) else given


def _names(given: Any) -> Any:
    """A text is one name, or several with commas between them, as in a cell of a table."""
    if isinstance(given, str):
        return tuple(name.strip() for name in given.split(",") if name.strip())
    return given


def _inputs(given: Any) -> Any:
    """A cell of a table: `seed=7; style=anime`."""
    if isinstance(given, str) and "=" in given:
        parts = [part.partition("=") for part in given.split(";") if part.strip()]
        return {name.strip(): value.strip() for name, _, value in parts}
    return given


def _sound(given: Any) -> Any:
    """YAML reads `off` as false."""
    if given is None:
        return None
    word = str(given).strip().casefold()
    return {"false": "off", "no": "off", "true": "clips", "on": "clips", "yes": "clips"}.get(word, word)


_SECONDS_OR_AUTO = WithJsonSchema({"anyOf": [{"type": "integer"}, {"const": "auto", "type": "string"}]})
Duration = Annotated[int, BeforeValidator(_seconds), _SECONDS_OR_AUTO]
_ONE_OR_SEVERAL = WithJsonSchema({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]})
Names = Annotated[tuple[str, ...], BeforeValidator(_names), _ONE_OR_SEVERAL]
Paths = Annotated[tuple[str, ...], BeforeValidator(_paths), _ONE_OR_SEVERAL]

Inputs = Annotated[
    dict[str, JsonValue], BeforeValidator(_inputs), WithJsonSchema({"type": "object", "additionalProperties": True})
]

Sound = Annotated[
    Literal["off", "clips"],
    BeforeValidator(_sound),
    WithJsonSchema({"anyOf": [{"enum": ["off", "clips"], "type": "string"}, {"type": "boolean"}]}),
]
