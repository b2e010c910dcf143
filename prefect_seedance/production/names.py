"""The names of folders and files of a production, which people read and sort by."""

from __future__ import annotations

from collections.abc import Sequence

from prefect_seedance.production.manifest import ShotResult
from prefect_seedance.text import slug

__all__ = ["shot_names", "slug"]


def shot_names(shots: Sequence[ShotResult]) -> list[str]:
    """The file names of *shots*, without an ending: place in the board and id, such as 01-arrival."""
    digits = max(2, len(str(len(shots))))
    return [f"{number:0{digits}d}-{slug(shot.id)}" for number, shot in enumerate(shots, start=1)]
