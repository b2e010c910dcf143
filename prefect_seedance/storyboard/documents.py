"""Text files whose values know their lines: YAML, JSON, CSV and JSON lines. Bounded, and nothing in them is run.

All values are text or null: `id: 01` stays `01`, and whoever wants a number converts it.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

MOST_BYTES = 5_000_000
MOST_VALUES = 200_000
DEEPEST = 20
TOO_MUCH = f"the file holds more than {MOST_VALUES:,} values or {DEEPEST} levels; split it"
NULLS = {"", "~", "null", "Null", "NULL"}
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is about ten times as fast
SURROGATES = re.compile(r"\\(?:u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})|.)", re.IGNORECASE | re.DOTALL)
HALF = re.compile("[\ud800-\udfff]")  # of a character: JSON can say it, and no file can hold it
RAW = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")  # JSON allows them; YAML would change or refuse them

Loc = tuple[str | int, ...]
"""The path to a value: ("shots", 3, "prompt")."""


class Mistake(Exception):
    """The text can't be read from `line` on."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class Node:
    """A value and the line where it begins; for a field, the line of its name."""

    line: int
    value: str | list[Node] | dict[str, Node] | None

    def line_at(self, loc: Loc) -> int:
        """The line of the value at *loc*, or of the nearest thing around it."""
        node = self
        for step in loc:
            if isinstance(node.value, dict) and step in node.value:
                node = node.value[str(step)]
            elif isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
            else:
                break
        return node.line

    def plain(self) -> Any:
        """The value without its lines."""
        if isinstance(self.value, dict):
            return {name: node.plain() for name, node in self.value.items()}
        return [node.plain() for node in self.value] if isinstance(self.value, list) else self.value


def text_of(content: bytes, most_bytes: int = MOST_BYTES) -> str:
    """*content* as text whose lines end with LF, so that a checkout with other ends makes the same keys.

    Raises `Mistake` at the first line that is not UTF-8.
    """
    if len(content) > most_bytes:
        raise Mistake(1, f"the file has {len(content):,} bytes; the most is {most_bytes:,}, so split it")
    content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Mistake(line, "the file is not UTF-8 text from here on; save it as UTF-8") from error


def read_json(text: str) -> tuple[Node, list[tuple[Loc, int, str]]]:
    """As `read_yaml`, for JSON: its own parser finds the errors, YAML's knows the lines."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise Mistake(error.lineno, f"the JSON can't be read here: {error.msg}; correct it") from error
    except (ValueError, RecursionError) as error:
        raise Mistake(1, "the JSON is nested too deeply or holds a number too long; simplify it") from error
    # JSON allows tabs between values and characters written as two escapes; YAML takes neither.
    text = RAW.sub(lambda mark: f"\\u{ord(mark[0]):04x}", text.replace("\t", " "))
    return read_yaml(SURROGATES.sub(_one_character, text))


def _one_character(match: re.Match[str]) -> str:
    if match[1] is None:
        return match[0]
    return bytes.fromhex(match[1] + match[2]).decode("utf-16-be")


def read_yaml(text: str) -> tuple[Node, list[tuple[Loc, int, str]]]:
    """The tree of *text* and its duplicate fields, each with its path, its line and a message.

    Raises `Mistake` for text that is not YAML and for what a storyboard never needs: anchors, merges, tags and
    many documents.
    """
    try:
        return _tree(_events(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 1 if mark is None else mark.line + 1
        words = error.problem or error.context or "it breaks off"
        if "nesting depth" in words:  # of libyaml, which some releases count before anybody else
            raise Mistake(line, TOO_MUCH) from error
        raise Mistake(line, f"the YAML can't be read here: {words}; check colons, quotes and indentation") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Mistake(line, "the file holds a character that YAML does not allow; remove it") from error
    except (ValueError, OverflowError) as error:  # from libyaml: escapes such as "\ud800"
        raise Mistake(1, "the file holds a character that YAML does not allow; remove it") from error


def _events(text: str) -> Iterator[tuple[Any, int]]:
    values = depth = documents = 0
    for event in yaml.parse(text, Loader=LOADER):
        mark: Any = event.start_mark
        line = mark.line + 1
        documents += isinstance(event, yaml.DocumentStartEvent)
        if documents > 1:
            raise Mistake(line, "a second document begins here; keep one per file")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise Mistake(line, "anchors and aliases (`&`, `*`) are not read; write the value out, or quote it")
        if getattr(event, "tag", None):
            raise Mistake(line, "tags (`!`) are not read; write the value without one, or quote it")
        values += isinstance(event, yaml.NodeEvent)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if values > MOST_VALUES or depth > DEEPEST:
            raise Mistake(line, TOO_MUCH)
        yield event, line


def _tree(events: Iterator[tuple[Any, int]]) -> tuple[Node, list[tuple[Loc, int, str]]]:
    top = Node(1, [])
    twice: list[tuple[Loc, int, str]] = []
    open_nodes, names, way = [top], [None], list[str | int]()  # `names`: a field whose value comes next
    waiting: list[tuple[str, int] | None] = list(names)
    for event, line in events:
        if isinstance(event, yaml.CollectionEndEvent):
            open_nodes.pop()
            waiting.pop()
            if way:
                way.pop()
            continue
        if not isinstance(event, yaml.NodeEvent):
            continue
        into = open_nodes[-1].value
        if isinstance(into, dict) and waiting[-1] is None:
            if not isinstance(event, yaml.ScalarEvent):
                raise Mistake(line, "a field needs a plain name before its colon; quote a text that begins with { or [")
            if event.value == "<<" and not event.style:
                raise Mistake(line, "merges (`<<`) are not read; write the fields out, or quote it")
            waiting[-1] = (event.value, line)
            continue
        step: str | int
        if isinstance(into, dict) and waiting[-1] is not None:
            step, line = waiting[-1]
            waiting[-1] = None
            node = Node(line, _empty(event))
            if step in into:
                message = f"field `{step[:80]}` is given twice, first on line {into[step].line}; keep one of them"
                twice.append(((*way[1:], step), line, message))
            else:
                into[step] = node
        else:
            assert isinstance(into, list)
            node, step = Node(line, _empty(event)), len(into)
            into.append(node)
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append(node)
            waiting.append(None)
            way.append(step)
    assert isinstance(top.value, list)
    return (top.value[0] if top.value else Node(1, None)), twice


def _empty(event: Any) -> str | list[Node] | dict[str, Node] | None:
    if isinstance(event, yaml.ScalarEvent):
        plain = not event.style
        return None if plain and event.value in NULLS else str(event.value)
    return {} if isinstance(event, yaml.MappingStartEvent) else []


@dataclass(frozen=True)
class Row:
    """One line of a table: its filled cells by column, or what is wrong with it."""

    line: int
    cells: dict[str, str]
    mistake: str | None = None
    unfilled: tuple[str, ...] = ()
    """Columns that it names, and of which it has no value."""


def read_csv(text: str) -> tuple[tuple[str, ...], list[Row]]:
    """The columns and the rows that are not blank. Commas, semicolons and tabs part the cells."""
    first = text.split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True)
    columns: tuple[str, ...] = ()
    rows: list[Row] = []
    line = 1
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if not columns:
                columns = tuple(heading or f"column {place}" for place, heading in enumerate(stripped, start=1))
                if not any(stripped) or len(set(columns)) < len(columns):
                    raise Mistake(line, "each column needs a name of its own in the first line")
            elif any(stripped):
                rows.append(_row(line, columns, stripped))
            line = reader.line_num + 1
    except csv.Error as error:
        raise Mistake(line, f"the CSV can't be read here: {error}; check the quotes") from error
    if not columns:
        raise Mistake(1, "the file is empty; its first line names the columns")
    return columns, rows


def _row(line: int, columns: tuple[str, ...], cells: list[str]) -> Row:
    mistake = None
    if any(cells[len(columns) :]):
        mistake = f"this row has {len(cells)} cells for {len(columns)} columns; quote a cell that holds the separator"
    return Row(line, {name: cell for name, cell in zip(columns, cells, strict=False) if cell}, mistake)


def read_json_lines(text: str) -> list[Row]:
    """One row per line: an object of texts, numbers and booleans."""
    lines = enumerate(text.split("\n"), start=1)
    return [_json_row(number, line) for number, line in lines if line.strip()]


def _json_row(number: int, line: str) -> Row:
    try:
        cells = json.loads(line)
    except (ValueError, RecursionError):
        return Row(number, {}, "this line is not JSON; write one object per line")
    if not isinstance(cells, dict) or not all(isinstance(cell, str | int | float) for cell in cells.values()):
        return Row(number, {}, 'this line is not an object of plain values; write it like {"product": "Red mug"}')
    texts = {name: cell if isinstance(cell, str) else json.dumps(cell) for name, cell in cells.items()}
    if HALF.search("".join([*texts, *texts.values()])):
        return Row(number, {}, "this line holds half a character, such as `\\ud800`; write the whole one, or remove it")
    return Row(number, texts)
