"""The rows of a table as units: one row with one value of each that is varied, of which each makes one small board."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prefect_seedance.campaign.matrix import Matrix
from prefect_seedance.campaign.table import MOST_ROWS, Table
from prefect_seedance.errors import BadInput
from prefect_seedance.models import Problem
from prefect_seedance.storyboard.named import named_in, spoilt_column
from prefect_seedance.storyboard.schema import Storyboard
from prefect_seedance.storyboard.texts import VARIABLE
from prefect_seedance.text import CONTROL, printable

LONGEST_ID = 200


@dataclass(frozen=True)
class Unit:
    """One row with one combination of what is varied. `line` is where the row stands in the table, for messages."""

    row: str
    cells: Mapping[str, str]
    vary: Mapping[str, str] = field(default_factory=dict)
    line: int | None = None

    @property
    def name(self) -> str:
        """Of its own in the campaign: red-mug, or red-mug+1280x720+2."""
        return "+".join((self.row, *self.vary.values()))

    @property
    def varied(self) -> str:
        """What tells it from its siblings of the same row: size=1280x720,take=2."""
        return ",".join(f"{name}={value}" for name, value in self.vary.items())

    @property
    def variables(self) -> dict[str, str]:
        """The cells that can stand for a {name}."""
        return {name: text for name, text in self.cells.items() if VARIABLE.fullmatch(f"{{{name}}}")}


@dataclass(frozen=True)
class Units:
    """All units in the order of the table, how many rows there are without repetitions, and what is wrong with them."""

    units: tuple[Unit, ...]
    rows: int
    duplicates: int
    problems: tuple[Problem, ...]


def units_of(table: Table, matrix: Matrix) -> Units:
    """Every row of *table* with every combination of *matrix*. A row that was there already is left out and counted."""
    if both := sorted(matrix.variables & set(table.columns)):
        raise BadInput(
            f"--vary {both[0]}: the table has a column of that name; nothing was submitted; keep one of them."
        )
    combinations = matrix.combinations()
    problems: list[Problem] = []
    rows: dict[str, Unit] = {}
    duplicates = 0
    for row in table.rows:
        name = row.cells.get("id") or _hash_of(row.cells)
        message, first = row.mistake or _id_problem(name), rows.get(name)
        if message is None and first is not None:
            if first.cells == row.cells:
                duplicates += 1
                continue
            message = f"the id `{printable(name)}` is that of line {first.line}; give each row an id of its own"
        if message is not None:
            problems.append(Problem(file=table.name, line=row.line, message=message))
        else:
            rows[name] = Unit(name, row.cells, line=row.line)
    if len(rows) * len(combinations) > MOST_ROWS:
        count = f"{len(rows):,} rows with {len(combinations):,} combinations each"
        raise BadInput(
            f"{count} are too many; the most is {MOST_ROWS:,} in all; nothing was submitted; split the table."
        )
    units = tuple(_combined(rows.values(), combinations))
    return Units(units, len(rows), duplicates, (*problems, *_same_names(units, table.name)))


def _combined(rows: Iterable[Unit], combinations: list[dict[str, str]]) -> Iterator[Unit]:
    for row in rows:
        for vary in combinations:
            yield Unit(row.row, row.cells, vary, row.line)


def _same_names(units: Iterable[Unit], file: str) -> Iterator[Problem]:
    seen: dict[str, Unit] = {}
    for unit in units:
        first = seen.setdefault(unit.name, unit)
        if first is not unit:
            message = f"`{printable(unit.name)}` is also what line {first.line} makes; give one of them another id"
            yield Problem(file=file, line=unit.line, message=message)


def _hash_of(cells: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(dict(cells), sort_keys=True).encode()).hexdigest()[:12]


def _id_problem(name: str) -> str | None:
    if len(name) > LONGEST_ID or CONTROL.search(name):
        return f"the id `{printable(name)}` is longer than {LONGEST_ID} characters or holds a control character"
    return None


def refuse_missing_columns(board: Storyboard, table: Table, matrix: Matrix) -> None:
    """Raise `BadInput`, one sentence, where *board* names what neither it nor *table* nor *matrix* has or can fill.

    Where no row has a cell, each of them says better what is wrong.
    """
    if spoilt := spoilt_column(board, table.columns):
        raise BadInput(f"{table.name}: {spoilt}; nothing was submitted.")
    there = {*board.variables, *table.columns, *matrix.variables}
    if table.columns and (missing := sorted(named_in(board) - there)):
        names = ", ".join(f"{{{printable(name)}}}" for name in missing[:10])
        columns = ", ".join(printable(column) for column in table.columns[:30])
        raise BadInput(
            f"The storyboard names {names}, and the table {table.name} has no such column; it has {columns}; nothing "
            "was submitted."
        )
    if unknown := sorted(matrix.variables - named_in(board)):
        raise BadInput(
            f"--vary {printable(unknown[0])} is neither a setting of the clips (size, ratio, take, model, duration) "
            "nor a {name} in the storyboard; nothing was submitted."
        )
