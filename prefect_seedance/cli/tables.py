"""Tables for people: columns as wide as what is in them, and a thousand rows in no time."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator, Sequence

from prefect_seedance.text import harmless

GAP = "  "
COLOURS = {
    "stored": 32,
    "reuse": 32,
    "resume": 36,
    "running": 36,
    "generate": 1,
    "retry": 1,
    "held": 33,
    "unclear": 33,
    "blocked": 31,
    "failed": 31,
    "refused": 31,
    "lost": 31,
}
"""What a terminal is told for each word: green, cyan, bold, yellow, red."""


def lines_of(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[int] = (),
    coloured: int | None = None,
) -> Iterator[str]:
    """The lines of a table. *right* names the columns of numbers, *coloured* the one whose words have colours.

    What somebody else wrote stays on its line, and nothing in it is obeyed by a terminal.
    """
    cells = [[" ".join(harmless(cell).split()) for cell in row] for row in (heads, *rows)]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    for number, row in enumerate(cells):
        padded = [
            _padded(cell, width, right=n in right) for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        if number and coloured is not None and (colour := COLOURS.get(row[coloured])):
            padded[coloured] = f"\x1b[{colour}m{padded[coloured]}\x1b[0m"
        yield GAP.join(padded).rstrip()
        if not number:
            yield GAP.join("─" * width for width in widths)


def _padded(cell: str, width: int, *, right: bool) -> str:
    blanks = " " * (width - _width(cell))
    return blanks + cell if right else cell + blanks


def _width(text: str) -> int:
    """How many columns *text* takes: a Chinese character two, an accent of its own none."""
    if text.isascii():
        return len(text)
    return sum(_columns(mark) for mark in text)


def _columns(mark: str) -> int:
    if unicodedata.category(mark) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(mark) in "WF" else 1
