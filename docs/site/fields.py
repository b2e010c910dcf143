"""Fields of a JSON schema in words for people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

Schema = dict[str, Any]
TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "fields",
}
HEADINGS = {"Storyboard": "The board", "Defaults": "`defaults`", "ShotSpec": "Each of `shots`"}


def boards_fields() -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Each kind of thing in a storyboard: its heading with what it is, and a row for every field."""
    file = files("prefect_seedance.storyboard").joinpath("storyboard.schema.json")
    board: Schema = json.loads(file.read_text(encoding="utf-8"))
    for schema in (board, *board["$defs"].values()):
        needed = schema.get("required", [])
        rows = [
            (f"`{name}`", takes(field, needed=name in needed), described(field))
            for name, field in schema.get("properties", {}).items()
        ]
        if rows:
            yield f"### {_heading(schema['title'])}\n\n{schema.get('description', '')}", rows


def takes(field: Schema, *, needed: bool) -> str:
    """What may be written there, and what holds where nothing is."""
    usual = field.get("default")
    if needed:
        return f"{_kind(field)}; **needed**"
    plain = isinstance(usual, str | int | float) and usual != ""
    return f"{_kind(field)}; usually {_code(usual)}" if plain else _kind(field)


def described(field: Schema) -> str:
    """What it says, with an example."""
    examples = field.get("examples", [])
    shown = f" For example {_code(examples[0])}." if examples else ""
    return in_cell(field.get("description", "")) + shown


def in_cell(text: str) -> str:
    """*text* where Markdown would take a sign of it for its own."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def _kind(field: Schema) -> str:
    if kinds := field.get("anyOf"):
        return " or ".join(dict.fromkeys(_kind(kind) for kind in kinds if kind.get("type") != "null"))
    if ref := field.get("$ref"):
        return f"fields, see *{_heading(ref.rsplit('/', 1)[1]).strip('`')}*"
    if "const" in field:
        return _code(field["const"])
    if words := field.get("enum"):
        return " or ".join(map(_code, words))
    kind = field.get("type")
    if kind == "array":
        items = field.get("items") or {}
        return f"a list of {_kind(items)}" if items else "a list"
    if kind is None:
        return "anything"
    least = field.get("minimum", field.get("exclusiveMinimum"))
    bound = "" if least is None else f", {'at least' if 'minimum' in field else 'above'} {least}"
    return TYPES[kind] + bound


def _heading(title: str) -> str:
    return HEADINGS.get(title, title)


def _code(value: Any) -> str:
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return in_cell(shown) if "`" in shown else f"`{shown}`"
