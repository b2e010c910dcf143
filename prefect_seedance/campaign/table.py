"""The table of a campaign: CSV, JSON lines or Parquet, or the rows of a program. All cells become text, empty ones go.

So the same rows are the same campaign in whatever form they come.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import PurePosixPath

from prefect_seedance.campaign.parquet import rows_of_parquet
from prefect_seedance.errors import BadInput, BadStore, Missing
from prefect_seedance.sources.folder import Folder, inside, parted, read_named
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.documents import Mistake, Row, read_csv, text_of
from prefect_seedance.text import printable

MOST_ROWS = 100_000
MOST_BYTES = 500_000_000
SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character, which JSON can say and no file can hold."""
KINDS = (".csv", ".jsonl", ".ndjson", ".parquet")


@dataclass(frozen=True)
class Table:
    """Rows with the lines where they stand, for messages; the first row of what has no lines is 1."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


async def read_table(location: str, store: Store | None, beside: Folder | None = None) -> Table:
    """The table at *location*: a local file, an s3:// object, else a file *beside* the storyboard or one of *store*.

    `BadInput` says what is wrong with it; each row that can't be read says so itself.
    """
    kind, name = PurePosixPath(location).suffix.lower(), printable(location, 200)
    if kind not in KINDS:
        raise BadInput(f"The table {name} must be a .csv, .jsonl or .parquet file; nothing was submitted.")
    try:
        found, content = await _found(location, store, beside)
        name = printable(found, 200)
        return _table(name, content, kind)
    except Missing as error:
        where = "here, beside the storyboard or in the store"
        raise BadInput(f"There is no table {name} {where}; nothing was submitted; check the path.") from error
    except Mistake as mistake:
        raise BadInput(f"{name}:{mistake.line}: {mistake}; nothing was submitted.") from mistake
    except BadInput as error:
        raise _refused(name, error) from error


def _refused(name: str, why: BadInput) -> BadInput:
    return BadInput(f"The table {name} can't be read: {why}; nothing was submitted.")


async def _found(location: str, store: Store | None, beside: Folder | None) -> tuple[str, bytes]:
    """Where the table lies, and its content."""
    folder, file = parted(location, store)
    try:
        return location, await read_named(folder, file, MOST_BYTES)
    except Missing:
        if location.startswith(("/", "~")) or "://" in location:
            raise
    finally:
        await folder.aclose()
    if beside is not None and _may_lie_beside(location):
        with contextlib.suppress(Missing, BadStore):  # who may not list a bucket is refused what is not there
            return f"{beside.url}/{location}", await read_named(beside, location, MOST_BYTES)
    if store is None:
        raise Missing(location)
    try:
        return location, await store.read(location, MOST_BYTES)
    except ValueError:
        raise Missing(location) from None


def _may_lie_beside(location: str) -> bool:
    with contextlib.suppress(BadInput):
        return bool(inside(location))
    return False


def _table(name: str, content: bytes, kind: str) -> Table:
    if kind == ".parquet":
        return _bounded(name, (), _rows(rows_of_parquet(content, MOST_ROWS)))
    text = text_of(content, MOST_BYTES)
    if kind == ".csv":
        columns, rows = read_csv(text)
        return _bounded(name, columns, rows)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    return _bounded(name, (), [_json_row(number, line) for number, line in lines])


def table_of(rows: Iterable[Mapping[str, object]], name: str) -> Table:
    """The table of *rows*, as a program has them; *name* stands for them in messages."""
    try:
        return _bounded(name, (), _rows(rows))
    except BadInput as error:
        raise _refused(name, error) from error


def _rows(rows: Iterable[Mapping[str, object]]) -> list[Row]:
    return [_row(number, row.items()) for number, row in enumerate(rows, start=1)]


def _bounded(name: str, columns: tuple[str, ...], rows: list[Row]) -> Table:
    """*rows* as a table, with the columns that any of them names; `BadInput` with the reason where it can't be one."""
    if not rows:
        raise BadInput("it has no rows; add at least one")
    if len(rows) > MOST_ROWS:
        raise BadInput(f"it has {len(rows):,} rows; the most is {MOST_ROWS:,}; split it")
    named = dict.fromkeys(columns)
    for row in rows:
        named |= dict.fromkeys((*row.cells, *row.unfilled))
    return Table(name, tuple(named), tuple(rows))


def _json_row(number: int, line: str) -> Row:
    try:
        cells = json.loads(line, object_pairs_hook=tuple)  # a dict would forget all but the last of two equal names
    except (ValueError, RecursionError):
        return Row(number, {}, "this line is not JSON; write one object per line")
    if not isinstance(cells, tuple):
        return Row(number, {}, 'this line is not an object; write it like {"product": "Red mug"}')
    return _row(number, cells)


def _row(number: int, given: Iterable[tuple[str, object]]) -> Row:
    cells: dict[str, str] = {}
    wrong: list[str] = []
    twice: list[str] = []
    for name, value in given:
        column, text = str(name).strip(), _text(value)
        if column in cells:
            twice.append(f"`{printable(column)}`")
        if text is None or _text(column) is None:
            wrong.append(f"`{printable(column)}`")
        cells[column] = text or ""
    filled = {column: text for column, text in cells.items() if text}
    return Row(number, filled, _mistake(wrong, twice), tuple(column for column in cells if column not in filled))


def _mistake(wrong: list[str], twice: list[str]) -> str | None:
    if twice:
        return f"{', '.join(twice[:5])} is there twice; each column needs a name of its own"
    return f"{', '.join(wrong[:5])} holds no plain value; write a text or a number" if wrong else None


def _text(value: object) -> str | None:
    """The text of a plain value, empty for none; None for what is not plain, or no text that can be written down."""
    match value:
        case None:
            return ""
        case str():
            return None if SURROGATE.search(value) else value.strip()
        case float() | Decimal() | datetime.datetime() if value != value:  # NaN, and NaT of pandas
            return ""
        case float() | Decimal() if math.isinf(value):
            return None
        case bool() | int() | float():
            return json.dumps(value)
        case Decimal():
            return f"{value:f}"
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
    return None
