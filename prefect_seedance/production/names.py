"""The names of folders and files of a production, which people read and sort by."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from prefect_seedance.production.manifest import ShotResult
from prefect_seedance.text import folded, slug

__all__ = ["shot_names", "slug", "slug_beside"]


def slug_beside(title: str) -> str:
    """The name of a folder for *title* where another title has its slug: spring-c-fb6b5b for "Spring (C#)"."""
    return f"{slug(title)}-{hashlib.sha256(folded(title).encode()).hexdigest()[:6]}"


def shot_names(shots: Sequence[ShotResult]) -> list[str]:
    """The file names of *shots*, without an ending: place in the board and id, such as 01-arrival."""
    digits = max(2, len(str(len(shots))))
    return [f"{number:0{digits}d}-{slug(shot.id)}" for number, shot in enumerate(shots, start=1)]
