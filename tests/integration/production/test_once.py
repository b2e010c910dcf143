"""What was done for a clip once is not done again: opened and joined, copied, asked of the bucket."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from prefect_seedance.errors import StoreUnavailable
from prefect_seedance.production.at_hand import AtHand, kept_at_hand
from prefect_seedance.production.pictures import poster_path
from prefect_seedance.production.score import film_path
from prefect_seedance.storage import open_store
from prefect_seedance.storage.local import LocalStore
from prefect_seedance.storage.store import Store
from tests.support.boards import NOON, keep_clip, leave, without_clip
from tests.support.s3_server import Line

LATER = NOON + timedelta(hours=1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


@contextmanager
def requests(line: Line) -> Iterator[Counter[str]]:
    """What is asked of the bucket meanwhile, such as "GET clips"; a copy is a PUT."""
    counted: Counter[str] = Counter()

    def count(method: str, path: str) -> None:
        folder, *below = urlsplit(path).path.partition("/x/")[2].split("/")
        in_production = below[2] if len(below) > 2 else below[-1]
        counted[f"{method} {in_production if folder == 'productions' else folder}"] += 1

    line.on_request = count
    yield counted
    line.on_request = lambda method, path: None


async def test_a_film_is_joined_once_and_shown_by_every_production_of_its_clips(either_store: Store) -> None:
    shots = [await keep_clip(either_store, "arrival"), await keep_clip(either_store, "climb")]
    kept = film_path([shot.sha256 or "" for shot in shots])
    first, _ = await leave(either_store, shots)
    assert await either_store.read(kept) == await either_store.read(first.film or "")
    await either_store.write(kept, b"the one that is there")
    second, _ = await leave(either_store, shots, prompts={"arrival": "Another prompt."}, made=LATER)
    other, _ = await leave(either_store, shots[::-1], made=LATER)
    assert await either_store.read(second.film or "") == b"the one that is there"
    assert b"the one that is there" not in await either_store.read(other.film or "")
    assert len(await either_store.names("films")) == 2


async def test_on_disk_a_film_takes_room_once(store: Store) -> None:
    arrival = await keep_clip(store, "arrival")
    first, _ = await leave(store, [arrival])
    second, _ = await leave(store, [arrival, without_clip("climb")], made=LATER)
    one, two = (Path(store.url) / (manifest.film or "") for manifest in (first, second))
    assert one.samefile(two)
    assert one.samefile(Path(store.url) / film_path([arrival.sha256 or ""]))


class KeepsNoFilm(LocalStore):
    """A store that fails when a film is to be kept by content."""

    async def copy(self, source: str, target: str) -> None:
        if target.startswith("films/"):
            raise StoreUnavailable("no space left")
        await super().copy(source, target)


async def test_a_film_that_can_not_be_kept_is_in_its_production_all_the_same(store: Store) -> None:
    arrival = await keep_clip(store, "arrival")
    manifest, folder = await leave(KeepsNoFilm(Path(store.url)), [arrival])
    assert manifest.film == f"{folder}/film.mp4"
    assert await store.names("films") == []
    again, _ = await leave(store, [arrival, without_clip("climb")], made=LATER)
    assert await store.read(film_path([arrival.sha256 or ""])) == await store.read(again.film or "")


async def test_a_production_that_lacks_something_is_made_anew_once_it_can_be(store: Store) -> None:
    shots = [await keep_clip(store, "arrival"), await keep_clip(store, "climb")]
    clip = Path(store.url) / (shots[1].clip or "")
    away = clip.rename(clip.with_suffix(".away"))
    _, lacking = await leave(store, shots)
    away.rename(clip)
    _, whole = await leave(store, shots, made=LATER)
    _, again = await leave(store, shots, made=LATER)
    assert (lacking != whole, whole == again) == (True, True)
    assert await store.names(f"{whole}/shots") == ["01-arrival.mp4", "02-climb.mp4"]


async def test_second_names_wait_for_no_disk(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A production of a hundred shots syncs its few own files and folders, and nothing per shot."""
    arrival = await keep_clip(store, "arrival")
    await leave(store, [arrival])
    synced: list[Any] = []
    sync = os.fsync

    def counted(descriptor: Any) -> None:
        synced.append(descriptor)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", counted)
    await leave(store, [arrival.model_copy(update={"id": f"s{number}"}) for number in range(100)], made=LATER)
    assert len(synced) < 100


async def test_a_bucket_is_asked_twice_for_a_new_clip_and_once_for_a_known_one(line: Line, far_store: Store) -> None:
    shots = [await keep_clip(far_store, f"shot {number}") for number in range(6)]
    at_hand = AtHand()
    for shot in shots:  # as the run that verified them
        await far_store.write(poster_path(shot.sha256 or ""), b"poster")
        at_hand.posters.add(shot.sha256 or "")
    with requests(line) as new:
        await leave(far_store, shots[:5], at_hand=at_hand)
    assert (new["PUT shots"], new["HEAD posters"], new["PUT posters"]) == (5, 0, 0)
    with requests(line) as changed:
        await leave(far_store, [*shots[:5], without_clip("fog")], made=LATER)
    once = ("timeline.otio", "timeline.edl", "index.html", "manifest.json", "latest.json", "film.mp4")
    assert changed == Counter(
        {"PUT shots": 5, "GET latest.json": 2, "GET manifest.json": 1} | {f"PUT {name}": 1 for name in once}
    )
    with requests(line) as unchanged:
        await leave(far_store, [*shots[:5], without_clip("fog")], made=LATER)
    assert dict(unchanged) == {"GET latest.json": 1, "GET manifest.json": 1}


async def test_what_this_run_has_verified_is_not_downloaded_for_the_film(
    line: Line, far_store: Store, tmp_path: Path
) -> None:
    shots = [await keep_clip(far_store, name) for name in ("known", "new")]
    async with kept_at_hand(far_store) as at_hand:
        file = far_store.scratch() / "download.mp4"
        await far_store.fetch(shots[1].clip or "", file)
        at_hand.keep(file, shots[1].sha256 or "")
        with requests(line) as asked:
            await leave(far_store, shots, at_hand=at_hand)
        assert asked["GET clips"] == 2  # of the known one, for its poster and for the film; of the new one for neither
    assert await asyncio.to_thread(lambda: list(far_store.scratch().iterdir())) == []
