"""The names of folders and files of a production, which people read and sort by."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from prefect_seedance.production.manifest import ShotResult
from prefect_seedance.text import file_words

LONGEST_SLUG = 48
LONGEST_BYTES = 120
"""The shortest limit among the file systems that people use is 143 bytes; place and ending are added to it."""
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
"""Windows opens a device in the place of a folder of this name."""


def slug(text: str) -> str:
    """A safe, short, never empty name for a file or folder: "Über den Wolken!" becomes uber-den-wolken, "灯塔" stays.

    One text has one name however it is spelled. Where a name is cut or can't be had, a piece of a hash keeps apart what
    would otherwise become one.
    """
    words = file_words(text)
    if words and words not in RESERVED and _fits(words, 0):
        return words
    digest = hashlib.sha256((words if words and not text.isascii() else text).encode()).hexdigest()[:6]
    kept = words[: LONGEST_SLUG - 7]
    while not _fits(kept, 7):
        kept = kept[:-1]
    return f"{kept.strip('-') or 'untitled'}-{digest}"


def _fits(name: str, spare: int) -> bool:
    return len(name) <= LONGEST_SLUG - spare and len(name.encode()) <= LONGEST_BYTES - spare


def shot_names(shots: Sequence[ShotResult]) -> list[str]:
    """The file names of *shots*, without an ending: place in the board and id, such as 01-arrival."""
    digits = max(2, len(str(len(shots))))
    return [f"{number:0{digits}d}-{slug(shot.id)}" for number, shot in enumerate(shots, start=1)]
