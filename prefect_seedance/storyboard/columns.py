"""The columns of a table of shots: which field of ours each one is, and which are kept as metadata."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from prefect_seedance.models import Problem
from prefect_seedance.storyboard.documents import Mistake, Node, Row
from prefect_seedance.storyboard.hints import near
from prefect_seedance.storyboard.words import told_of
from prefect_seedance.text import printable


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


def columns_of(
    headings: Sequence[str], known: Sequence[str], needed: Sequence[str], table: str, synonyms: Mapping[str, str]
) -> Columns:
    """Sort *headings* into fields and others; raises `Mistake` for a slip of the pen and for a column that is *needed*.

    A column of a known name comes before its synonyms.
    """
    own = {heading: field_name(heading) for heading in headings}
    fields = {heading: field for heading, field in own.items() if field in known}
    for heading, field in own.items():
        if field in synonyms and synonyms[field] not in fields.values():
            fields[heading] = synonyms[field]
    others = [heading for heading in headings if heading not in fields]
    wrong = [f"column `{printable(one)}` is unknown" for one in others if near(own[one], known)]
    wrong += [f"column `{field}` is missing" for field in needed if field not in fields.values()]
    if wrong:
        raise Mistake(1, f"{', '.join(wrong[:5])}; the columns of {table} are {', '.join(known)}")
    return Columns(fields, others)
