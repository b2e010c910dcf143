"""The names of folders and files of a production, which people read and sort by."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence

from prefect_seedance.production.manifest import ShotResult

LONGEST_SLUG = 48


def slug(text: str) -> str:
    """A safe, short, never empty name for a file or folder: "Über den Wolken!" becomes uber-den-wolken.

    Where letters were lost, a piece of a hash keeps names apart that would otherwise become one.
    """
    folded = unicodedata.normalize("NFKD", text.casefold())
    kept = "-".join(re.findall("[a-z0-9]+", folded.encode("ascii", "ignore").decode()))
    lost = any(mark.isalnum() and not mark.isascii() for mark in folded)
    if kept and not lost and len(kept) <= LONGEST_SLUG:
        return kept
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    return f"{kept[: LONGEST_SLUG - 7].strip('-') or 'untitled'}-{digest}"


def shot_names(shots: Sequence[ShotResult]) -> list[str]:
    """The file names of *shots*, without an ending: place in the board and id, such as 01-arrival."""
    digits = max(2, len(str(len(shots))))
    return [f"{number:0{digits}d}-{slug(shot.id)}" for number, shot in enumerate(shots, start=1)]
