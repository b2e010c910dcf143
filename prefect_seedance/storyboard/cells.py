"""What people and programs write into the cells of a shot list: nothing in many words, lengths in many notations."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import replace

from prefect_seedance.storyboard.documents import Row
from prefect_seedance.storyboard.elsewhere import NOTHING

SECONDS = re.compile(r"(\d+)(?:\.0+)?\s?(?:s|secs?|seconds?|秒)\.?", re.IGNORECASE)
CLOCK = re.compile(r"(?:00?:)?(\d\d?):(\d\d)")


def filled(rows: Iterable[Row]) -> list[Row]:
    """*rows* without cells that say that there is nothing, such as None and N/A, and without rows of only such."""
    cleaned = [
        replace(row, cells={name: cell for name, cell in row.cells.items() if cell.casefold() not in NOTHING})
        for row in rows
    ]
    return [row for row in cleaned if row.cells or row.mistake]


def seconds(cell: str) -> str:
    """The seconds of `5s`, `5 sec` and `0:05`; any other text as it is."""
    if match := SECONDS.fullmatch(cell):
        return match[1]
    if match := CLOCK.fullmatch(cell):
        return str(int(match[1]) * 60 + int(match[2]))
    return cell


def are_numbers(rows: Iterable[Row], heading: str) -> bool:
    """Whether the column holds numbers and nothing else: a frame that is a number is no picture."""
    cells: Collection[str] = [row.cells[heading] for row in rows if heading in row.cells]
    return bool(cells) and all(cell.isdecimal() for cell in cells)
