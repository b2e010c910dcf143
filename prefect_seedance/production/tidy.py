"""What may go from a store: old productions, their films, and what dead processes left. Never a clip or a record.

Every clip that a production shows has a path of its own in `clips/`, so that any production can be made again.
"""

from __future__ import annotations

import datetime
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect_seedance.errors import Missing
from prefect_seedance.ledger.rescue import rescue_file
from prefect_seedance.production.manifest import Manifest
from prefect_seedance.production.score import film_of
from prefect_seedance.storage.store import Leftover, Store

OLD = datetime.timedelta(days=30)
UNFINISHED = datetime.timedelta(days=1)
"""A production that old and without a manifest was left by a process that died."""
PRODUCTION = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-f]{6}")


@dataclass(frozen=True)
class Untidy:
    """What may go, and what is kept although it lies about."""

    productions: tuple[str, ...]
    films: tuple[str, ...]
    """Joined for productions that are gone, or go now. One that is needed again is joined again."""
    leftovers: tuple[Leftover, ...]
    rescued: tuple[Path, ...]
    """Copies on this machine of paid clips that a store had not taken when their process ended."""

    def as_json(self, *, removed: bool) -> dict[str, Any]:
        """Schema `prefect-seedance/tidy/1`."""
        return {
            "schema": "prefect-seedance/tidy/1",
            "removed": removed,
            "productions": list(self.productions),
            "films": list(self.films),
            "leftovers": [leftover.name for leftover in self.leftovers],
            "kept": list(map(str, self.rescued)),
        }


async def untidy(store: Store, now: datetime.datetime, *, keep: int | None = None) -> Untidy:
    """Look for what may go. Of each title the newest production stays, and all of the last 30 days.

    With *keep* that many of each title stay, whatever their age. What `latest.json` names always stays.
    """
    old: list[str] = []
    films = {f"films/{name}" for name in await store.names("films")}
    for title in await store.names("productions"):
        home = f"productions/{title}"
        gone = await _old(store, home, now, keep)
        old += gone
        if films:
            stay = [f"{home}/{name}" for name in await store.names(home) if PRODUCTION.fullmatch(name)]
            films -= {await _film(store, folder) for folder in stay if folder not in gone}
    clips = rescue_file().parent / "clips"
    rescued = sorted(clips.iterdir()) if clips.is_dir() else []
    return Untidy(tuple(old), tuple(sorted(films)), tuple(await store.leftovers()), tuple(rescued))


async def _old(store: Store, home: str, now: datetime.datetime, keep: int | None) -> list[str]:
    made = {}
    for name in await store.names(home):
        if found := PRODUCTION.fullmatch(name):
            at = datetime.datetime.strptime(found[1], "%Y%m%dT%H%M%SZ")
            made[f"{home}/{name}"] = now - at.replace(tzinfo=datetime.UTC)
    latest = await _latest(store, home)
    whole = [folder for folder in made if await store.exists(f"{folder}/manifest.json")]
    newest = sorted(whole, key=lambda folder: made[folder])
    stay = {latest, *newest[: 1 if keep is None else keep]}
    old = [folder for folder in newest if keep is not None or made[folder] > OLD]
    broken = [folder for folder, age in made.items() if folder not in whole and age > UNFINISHED]
    return sorted(set(old + broken) - stay)


async def _latest(store: Store, home: str) -> str:
    try:
        return str(json.loads(await store.read(f"{home}/latest.json"))["production"])
    except (Missing, ValueError, KeyError, TypeError):
        return ""


async def _film(store: Store, folder: str) -> str:
    """Where the film of a production is kept by content; nothing where it has none."""
    try:
        return film_of(Manifest.model_validate_json(await store.read(f"{folder}/manifest.json"))).path
    except (Missing, ValueError):
        return ""


async def remove(store: Store, found: Untidy) -> None:
    """Remove what may go. Repeating it after a failure goes on."""
    for folder in found.productions:
        await store.delete_folder(folder)
    for film in found.films:
        await store.delete(film)
    for leftover in found.leftovers:
        await leftover.discard()
