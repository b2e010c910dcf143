"""What may go from a store: old productions, their films and posters, what dead processes left. No clip, no record.

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
from prefect_seedance.production.pictures import poster_path
from prefect_seedance.production.score import film_of
from prefect_seedance.storage.store import Leftover, Store
from prefect_seedance.text import folded

OLD = datetime.timedelta(days=30)
UNFINISHED = datetime.timedelta(days=1)
"""A production that old and without a manifest was left by a process that died; a poster may still be waited for."""
PRODUCTION = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-f]{6}")


@dataclass(frozen=True)
class Untidy:
    """What may go, and what is kept although it lies about."""

    productions: tuple[str, ...]
    films: tuple[str, ...]
    """Joined for productions that are gone, or go now. One that is needed again is joined again."""
    posters: tuple[str, ...]
    """Of clips that nothing shows any more. One that is needed again is drawn again."""
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
            "posters": list(self.posters),
            "leftovers": [leftover.name for leftover in self.leftovers],
            "kept": list(map(str, self.rescued)),
        }


async def untidy(store: Store, now: datetime.datetime, *, keep: int | None = None) -> Untidy:
    """Look for what may go. Of each title the newest production stays, and all of the last 30 days.

    With *keep* that many of each title stay, whatever their age. What `latest.json` names always stays.
    """
    old: list[str] = []
    kept = {f"{folder}/{name}" for folder in ("films", "posters") for name in await store.names(folder)}
    for title in await store.names("productions"):
        home = f"productions/{title}"
        gone = await _old(store, home, now, keep)
        old += gone
        stay = [f"{home}/{name}" for name in await store.names(home) if PRODUCTION.fullmatch(name)] if kept else []
        for folder in stay:
            kept -= set() if folder in gone else await _shown(store, folder)
    films = sorted(path for path in kept if path.startswith("films/"))
    posters = [path for path in sorted(kept.difference(films)) if await _is_old(store, path)]
    clips = rescue_file().parent / "clips"
    rescued = sorted(clips.iterdir()) if clips.is_dir() else []
    return Untidy(tuple(old), tuple(films), tuple(posters), tuple(await store.leftovers()), tuple(rescued))


async def _old(store: Store, home: str, now: datetime.datetime, keep: int | None) -> list[str]:
    made = {}
    for name in await store.names(home):
        if found := PRODUCTION.fullmatch(name):
            at = datetime.datetime.strptime(found[1], "%Y%m%dT%H%M%SZ")
            made[f"{home}/{name}"] = now - at.replace(tzinfo=datetime.UTC)
    by_title: dict[str | None, list[str]] = {}
    for folder in sorted(made, key=lambda folder: made[folder]):
        by_title.setdefault(await _title(store, folder), []).append(folder)
    broken = [folder for folder in by_title.pop(None, ()) if made[folder] > UNFINISHED]
    old = [folder for whole in by_title.values() for folder in whole if keep is not None or made[folder] > OLD]
    newest = [folder for whole in by_title.values() for folder in whole[: 1 if keep is None else keep]]
    return sorted(set(old + broken) - {await _latest(store, home), *newest})


async def _title(store: Store, folder: str) -> str | None:
    """The title of a production, alike in all spellings; nothing where it does not tell, None where it is not whole."""
    try:
        return folded(json.loads(await store.read(f"{folder}/manifest.json"))["title"])
    except Missing:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


async def _latest(store: Store, home: str) -> str:
    try:
        return str(json.loads(await store.read(f"{home}/latest.json"))["production"])
    except (Missing, ValueError, KeyError, TypeError):
        return ""


async def _is_old(store: Store, path: str) -> bool:
    """Is *path* too old to be on its way into the production of a run that goes on?"""
    try:
        return await store.age(path) > UNFINISHED.total_seconds()
    except Missing:
        return False


async def _shown(store: Store, folder: str) -> set[str]:
    """Where the film and the posters of a production are kept by content."""
    try:
        manifest = Manifest.model_validate_json(await store.read(f"{folder}/manifest.json"))
    except (Missing, ValueError):
        return set()
    stored = [shot.sha256 for shot in manifest.shots if shot.status == "stored" and shot.sha256]
    return {film_of(manifest).path, *map(poster_path, stored)}


async def remove(store: Store, found: Untidy) -> None:
    """Remove what may go. Repeating it after a failure goes on."""
    for folder in found.productions:
        await store.delete_folder(folder)
    for path in (*found.films, *found.posters):
        await store.delete(path)
    for leftover in found.leftovers:
        await leftover.discard()
