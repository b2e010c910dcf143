"""The columns of a table of shots: which field of ours each one is, and which are kept as metadata."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from prefect_seedance.models import Problem
from prefect_seedance.storyboard.cells import are_numbers
from prefect_seedance.storyboard.documents import Mistake, Node, Row
from prefect_seedance.storyboard.hints import near, plain
from prefect_seedance.storyboard.words import MOST_COMPARED, told_of
from prefect_seedance.text import printable

FRAMES = ("startframe", "endframe", "firstframe", "lastframe")
"""Pictures for some, and for others the numbers of the frames where a shot begins and ends."""


@dataclass(frozen=True)
class Columns:
    """Fields of a shot by heading, and the headings that nobody knows."""

    fields: Mapping[str, str]
    others: Sequence[str]

    def cells(self, row: Row) -> dict[str, str]:
        """The filled cells of *row* by field."""
        return {self.fields[heading]: cell for heading, cell in row.cells.items() if heading in self.fields}

    def node(self, row: Row, cells: Mapping[str, str], kept: Collection[str] = ()) -> Node:
        """The shot of *row* with *cells* as its fields; what is unknown or in columns to be *kept* is its metadata."""
        fields = {field: Node(row.line, cell) for field, cell in cells.items()}
        told = {heading: row.cells[heading] for heading in (*kept, *self.others) if heading in row.cells}
        if told:
            fields["metadata"] = Node(row.line, {name: Node(row.line, cell) for name, cell in told.items()})
        return Node(row.line, fields)

    def warnings(self, file: str) -> tuple[Problem, ...]:
        """What is said of the columns that nobody knows."""
        return (Problem(file=file, line=1, message=told_of("column", self.others)),) if self.others else ()


def field_name(heading: str) -> str:
    """How a field of this heading is spelled: `Continue from` is continue_from."""
    return heading.casefold().replace(" ", "_")


def _counts_frames(heading: str, rows: Sequence[Row]) -> bool:
    return plain(heading) in FRAMES and are_numbers(rows, heading)


def _known(headings: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """Those of the *headings* that are names of ours, each with its field."""
    firsts: dict[str, str] = {}
    for heading in headings:
        field = field_name(heading)
        if field in known and firsts.setdefault(field, heading) != heading:
            both = f"`{printable(firsts[field])}` and `{printable(heading)}`"
            raise Mistake(1, f"columns {both} are both `{field}`; keep one of them")
    return {heading: field for field, heading in firsts.items()}


def columns_of(
    headings: Sequence[str],
    rows: Sequence[Row],
    *,
    known: Sequence[str],
    needed: Mapping[str, str],
    table: str,
    synonyms: Mapping[str, str],
) -> Columns:
    """Sort *headings* into fields and others.

    Raises `Mistake` for a slip of the pen, for two columns that are one field and for a *needed* one that is missing.
    A column of a known name comes before its *synonyms*, and of those the first that holds anything in the *rows*.
    *needed* says of each field what else its column may be called.
    """
    fields = _known(headings, known)
    held = {heading for row in rows for heading in row.cells}
    called = {plain(heading): heading for one in ({*headings}, held) for heading in headings[::-1] if heading in one}
    for name in sorted(synonyms, key=lambda name: called.get(name) not in held):
        if name in called and synonyms[name] in known and synonyms[name] not in fields.values():
            fields.setdefault(called[name], synonyms[name])
    others = [heading for heading in headings if heading not in fields]
    compared = [one for one in others[:MOST_COMPARED] if not _counts_frames(one, rows)]
    slips = {one: near(field_name(one), known) for one in compared}
    wrong = [f"column `{printable(one)}` is unknown ({meant[2:]})" for one, meant in slips.items() if meant]
    wrong += [
        f"column `{field}` is missing{'' if wrong else also}"
        for field, also in needed.items()
        if field not in fields.values()
    ]
    if wrong:
        raise Mistake(1, f"{', '.join(wrong[:5])}; the columns of {table} are {', '.join(known)}")
    return Columns(fields, others)
