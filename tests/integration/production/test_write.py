from __future__ import annotations

import html
import io
import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import opentimelineio
import pytest
from PIL import Image

from prefect_seedance.errors import BadInput, StoreUnavailable
from prefect_seedance.models import Words
from prefect_seedance.production.film import assemble_film
from prefect_seedance.production.manifest import Manifest, words_of
from prefect_seedance.production.names import shot_names
from prefect_seedance.storage import open_store
from prefect_seedance.storage.local import LocalStore
from prefect_seedance.storage.signing import AwsKeys
from prefect_seedance.storage.store import Store
from prefect_seedance.video import clips
from tests.support.boards import NOON, keep_clip, leave, without_clip
from tests.support.s3_server import RunningS3


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


async def manifest_at(store: Store, folder: str) -> Manifest:
    return Manifest.model_validate_json(await store.read(f"{folder}/manifest.json"))


async def page_at(store: Store, folder: str) -> str:
    return (await store.read(f"{folder}/index.html")).decode()


async def posters_of(store: Store, folder: str) -> set[str]:
    """The shots whose poster the page shows, each of which was looked at."""
    found = set()
    for name, source in re.findall('href="#([^"]*)"[^>]*><img src="([^"]*)"', await page_at(store, folder)):
        address = html.unescape(source)
        picture = httpx.get(address).content if "://" in address else await store.read(f"{folder}/{address}")
        with Image.open(io.BytesIO(picture)) as image:
            assert image.format == "JPEG"
        found.add(name)
    return found


async def test_a_production_is_whole(either_store: Store, tmp_path: Path) -> None:
    shots = [await keep_clip(either_store, "arrival"), await keep_clip(either_store, "climb", seconds=2)]
    manifest, folder = await leave(either_store, shots)

    assert re.fullmatch("productions/the-lighthouse/20261123T141530Z-[0-9a-f]{6}", folder)
    assert await either_store.names(folder) == [
        *("film.mp4", "index.html", "manifest.json"),
        *(["posters"] if isinstance(either_store, LocalStore) else []),  # a bucket's page links to the kept ones
        *("shots", "timeline.edl", "timeline.otio"),
    ]
    assert await either_store.names(f"{folder}/shots") == ["01-arrival.mp4", "02-climb.mp4"]
    assert await posters_of(either_store, folder) == {"01-arrival", "02-climb"}
    assert await either_store.read(f"{folder}/shots/02-climb.mp4") == await either_store.read(shots[1].clip or "")
    await either_store.fetch(f"{folder}/film.mp4", tmp_path / "film.mp4")
    assert clips.examine(tmp_path / "film.mp4").frames == 72
    assert manifest == await manifest_at(either_store, folder)
    assert (manifest.status, manifest.film) == ("complete", f"{folder}/film.mp4")
    assert manifest.timeline == f"{folder}/timeline.otio"
    assert manifest.review == f"{folder}/index.html"
    latest = json.loads(await either_store.read("productions/the-lighthouse/latest.json"))
    assert {name: latest[name] for name in ("schema", "production", "manifest", "status")} == {
        "schema": "prefect-seedance/latest/1",
        "production": folder,
        "manifest": f"{folder}/manifest.json",
        "status": "complete",
    }


async def test_a_refused_shot_costs_neither_film_nor_timeline_nor_page(either_store: Store, tmp_path: Path) -> None:
    shots = [await keep_clip(either_store, "arrival"), without_clip("climb"), await keep_clip(either_store, "lamp")]
    manifest, folder = await leave(either_store, shots, wanted_seconds={"climb": 10})

    assert manifest.status == "partial"
    await either_store.fetch(manifest.film or "", tmp_path / "film.mp4")
    assert clips.examine(tmp_path / "film.mp4").frames == 48
    otio = (await either_store.read(manifest.timeline or "")).decode()
    assert opentimelineio.adapters.read_from_string(otio).duration().to_seconds() == 12
    assert "The prompt was refused." in otio
    page = await page_at(either_store, folder)
    assert "Left out: climb (refused)." in page
    assert "The prompt was refused." in page
    assert await either_store.names(f"{folder}/shots") == ["01-arrival.mp4", "03-lamp.mp4"]


async def test_nothing_stored_is_a_production_too(store: Store) -> None:
    manifest, folder = await leave(store, [without_clip("arrival"), without_clip("climb", "unclear")])
    assert (manifest.status, manifest.film) == ("nothing", None)
    assert await store.names(folder) == ["index.html", "manifest.json", "timeline.edl", "timeline.otio"]


async def test_rendering_again_leaves_a_new_production_and_the_old_one_as_it_was(either_store: Store) -> None:
    arrival = await keep_clip(either_store, "arrival")
    _, first = await leave(either_store, [arrival, without_clip("climb")])
    before = {name: await either_store.read(f"{first}/{name}") for name in ("manifest.json", "index.html", "film.mp4")}
    _, second = await leave(either_store, [arrival, await keep_clip(either_store, "climb")])

    assert first != second
    assert {name: await either_store.read(f"{first}/{name}") for name in before} == before
    latest = json.loads(await either_store.read("productions/the-lighthouse/latest.json"))
    assert (latest["production"], latest["status"]) == (second, "complete")


async def test_rendering_again_what_has_not_changed_names_the_production_that_is_there(either_store: Store) -> None:
    arrival = await keep_clip(either_store, "arrival")
    first, folder = await leave(either_store, [arrival])
    again = [arrival.model_copy(update={"paid_this_run": False})]
    money: dict[str, Any] = {"estimated_usd": Decimal(0), "spent_usd": Decimal(0), "made": NOON + timedelta(hours=1)}
    same, same_folder = await leave(either_store, again, **money)

    assert same_folder == folder
    of_this_run = {"shots": tuple(again), "estimated_usd": Decimal(0), "spent_usd": Decimal(0)}
    assert same == first.model_copy(update=of_this_run)
    assert len(await either_store.names("productions/the-lighthouse")) == 2  # itself and latest.json
    _, other = await leave(either_store, again, prompts={"arrival": "Another prompt."})
    assert other != folder


@pytest.mark.parametrize("store_url", ["s3"], indirect=True)
async def test_a_page_whose_links_will_soon_be_dead_is_made_anew(either_store: Store) -> None:
    arrival = await keep_clip(either_store, "arrival")
    _, first = await leave(either_store, [arrival])
    _, second = await leave(either_store, [arrival], made=NOON + timedelta(days=6))
    assert first != second


@pytest.mark.parametrize(("token", "pages"), [(None, 1), ("session", 2)])
async def test_a_page_whose_links_end_with_temporary_credentials_is_made_anew(
    s3_server: RunningS3, token: str | None, pages: int
) -> None:
    url, place = f"s3://{s3_server.new_bucket()}/x", s3_server.endpoint_url
    store = open_store(url, signing=lambda: AwsKeys("key", "secret", token), endpoint_url=place)
    arrival = await keep_clip(store, "arrival")
    _, first = await leave(store, [arrival])
    assert (await leave(store, [arrival], made=NOON + timedelta(minutes=5)))[1] == first
    folders = {first, (await leave(store, [arrival], made=NOON + timedelta(hours=1)))[1]}
    assert len(folders) == pages
    for folder in folders:
        assert ("X-Amz-Security-Token=session" in await page_at(store, folder)) == (token is not None)
    await store.aclose()


async def test_a_film_that_can_not_be_joined_costs_only_the_film(store: Store) -> None:
    """A clip that broke on disk after it was stored."""
    shots = [await keep_clip(store, "arrival"), await keep_clip(store, "climb")]
    await store.write(shots[1].clip or "", b"no video at all")
    manifest, folder = await leave(store, shots)

    assert (manifest.status, manifest.film) == ("complete", None)
    page = await page_at(store, folder)
    assert "The film could not be joined" in page
    assert "The poster of 02-climb could not be made" in page
    assert await store.names(f"{folder}/posters") == ["01-arrival.jpg"]
    assert await manifest_at(store, folder) == manifest


async def test_a_clip_that_is_gone_from_the_store_is_left_out_and_said(either_store: Store) -> None:
    shots = [await keep_clip(either_store, "arrival"), await keep_clip(either_store, "climb")]
    await either_store.delete(shots[1].clip or "")
    manifest, folder = await leave(either_store, shots)

    assert manifest.film is not None
    assert await either_store.names(f"{folder}/shots") == ["01-arrival.mp4"]
    assert "The clip of climb could not be copied" in await page_at(either_store, folder)


async def test_a_clip_is_decoded_for_its_poster_only_once(store: Store) -> None:
    arrival = await keep_clip(store, "arrival")
    await leave(store, [arrival])
    kept = f"posters/{(arrival.sha256 or '')[:16]}.jpg"
    assert await store.exists(kept)
    await store.write(kept, b"the one from before")
    _, folder = await leave(store, [arrival, without_clip("climb")])
    assert await store.read(f"{folder}/posters/01-arrival.jpg") == b"the one from before"


async def test_shots_that_share_a_clip_are_both_there(either_store: Store) -> None:
    arrival = await keep_clip(either_store, "arrival")
    _, folder = await leave(either_store, [arrival, arrival.model_copy(update={"id": "again"})])
    assert await either_store.names(f"{folder}/shots") == ["01-arrival.mp4", "02-again.mp4"]
    assert await posters_of(either_store, folder) == {"01-arrival", "02-again"}


async def test_on_disk_a_shot_takes_no_room_and_nothing_is_left_in_scratch(store: Store) -> None:
    arrival = await keep_clip(store, "arrival")
    _, folder = await leave(store, [arrival])
    root = Path(store.url)
    assert (root / folder / "shots/01-arrival.mp4").samefile(root / (arrival.clip or ""))
    assert list(store.scratch().iterdir()) == []


class LosesTheManifest(LocalStore):
    """A store whose disk is full when the manifest comes."""

    async def write(self, path: str, content: bytes, content_type: str | None = None) -> None:
        if path.endswith("/manifest.json"):
            raise StoreUnavailable("no space left")
        await super().write(path, content, content_type)


async def test_nobody_is_led_to_a_production_that_is_not_whole(store: Store) -> None:
    arrival = await keep_clip(store, "arrival")
    _, whole = await leave(store, [arrival])
    with pytest.raises(StoreUnavailable):
        await leave(LosesTheManifest(Path(store.url)), [arrival, without_clip("climb")])
    assert json.loads(await store.read("productions/the-lighthouse/latest.json"))["production"] == whole


async def test_a_run_that_ends_late_does_not_lead_back_to_its_older_production(either_store: Store) -> None:
    arrival = await keep_clip(either_store, "arrival")
    now = datetime.now(UTC)
    _, newer = await leave(either_store, [arrival], made=now - timedelta(minutes=1))
    await leave(either_store, [arrival, without_clip("climb")], made=now - timedelta(minutes=2))
    assert json.loads(await either_store.read("productions/the-lighthouse/latest.json"))["production"] == newer


@pytest.mark.parametrize("made", ['"3000-01-01T00:00:00+00:00"', '"noon"', '"2026-11-23T14:15:30"', "null", "[", ""])
async def test_a_time_that_can_not_be_holds_up_no_newer_production(store: Store, made: str) -> None:
    await store.write("productions/the-lighthouse/latest.json", f'{{"made": {made}}}'.encode())
    _, folder = await leave(store, [await keep_clip(store, "arrival")])
    assert json.loads(await store.read("productions/the-lighthouse/latest.json"))["production"] == folder


async def test_a_film_is_joined_in_the_given_order(either_store: Store) -> None:
    shots = [await keep_clip(either_store, "a", seconds=2), await keep_clip(either_store, "b")]
    footage = await assemble_film(either_store, [shot.clip or "" for shot in (*shots, shots[0])], "cuts/x.mp4")
    assert footage.frames == 120
    assert await either_store.exists("cuts/x.mp4")


@pytest.mark.parametrize(
    "own",
    [
        "clips/new.mp4",
        "CLIPS/new.mp4",
        "ledger/k/0001.json",
        "store.json",
        "catalog.yaml",
    ],
)
async def test_a_film_never_replaces_a_paid_clip_nor_what_the_store_has_for_itself(store: Store, own: str) -> None:
    paid = (await keep_clip(store, "a")).clip or ""
    await store.copy(paid, "takes/a.mp4")
    before = await store.read(paid)
    for target in (paid, "takes/a.mp4", own):
        with pytest.raises(BadInput, match=r"nothing was spent or changed; choose another path"):
            await assemble_film(store, [paid, "takes/a.mp4"], target)
    assert await store.read(paid) == await store.read("takes/a.mp4") == before
    assert not await store.exists(own)


async def test_the_film_plays_in_board_order(either_store: Store) -> None:
    shots = [await keep_clip(either_store, name) for name in ("zebra", "ant", "mouse")]
    manifest, _ = await leave(either_store, shots)
    await assemble_film(either_store, [shot.clip or "" for shot in shots], "cuts/expected.mp4")
    assert await either_store.read(manifest.film or "") == await either_store.read("cuts/expected.mp4")


def test_names_say_place_and_shot() -> None:
    board = [without_clip(f"Shot {number}!") for number in range(100)]
    assert shot_names(board)[::99] == ["001-shot-0", "100-shot-99"]


async def test_titles_that_differ_in_their_marks_alone_have_folders_of_their_own(either_store: Store) -> None:
    arrival = await keep_clip(either_store, "arrival")
    folders: dict[str, str] = {}
    for title in ("Spring (C++)", "Spring (C#)", "Spring (C++)", "Spring (C#)", "SPRING (C++)"):
        _, folder = await leave(either_store, [arrival], title=title)
        assert folders.setdefault(title, folder) == folder
    homes = ["productions/spring-c", "productions/spring-c-fb6b5b", "productions/spring-c"]
    assert [folder.rpartition("/")[0] for folder in folders.values()] == homes
    for title in ("Spring (C++)", "Spring (C#)"):
        latest = await either_store.read(f"{folders[title].rpartition('/')[0]}/latest.json")
        assert (await manifest_at(either_store, json.loads(latest)["production"])).title.casefold() == title.casefold()


async def test_titles_and_ids_in_any_script_are_kept_in_every_path(either_store: Store) -> None:
    shots = [await keep_clip(either_store, "到达"), await keep_clip(either_store, "المنارة القديمة")]
    manifest, folder = await leave(either_store, shots, title="灯塔：第一集")

    assert folder.startswith("productions/灯塔-第一集/")
    assert await either_store.names("productions") == ["灯塔-第一集"]
    assert await either_store.names(f"{folder}/shots") == ["01-到达.mp4", "02-المنارة-القديمة.mp4"]
    if isinstance(either_store, LocalStore):  # a bucket's page shows them where they are kept by content
        assert await either_store.names(f"{folder}/posters") == ["01-到达.jpg", "02-المنارة-القديمة.jpg"]
    assert await manifest_at(either_store, folder) == manifest
    otio = opentimelineio.adapters.read_from_string((await either_store.read(f"{folder}/timeline.otio")).decode())
    assert [(clip.name, clip.media_reference.target_url) for clip in otio.video_tracks()[0]] == [
        ("到达", "shots/01-到达.mp4"),
        ("المنارة القديمة", "shots/02-المنارة-القديمة.mp4"),
    ]
    assert "* FROM CLIP NAME: 01-到达.mp4" in (await either_store.read(f"{folder}/timeline.edl")).decode()


async def test_words_for_people_reach_the_manifest_and_a_change_of_them_the_next_production(store: Store) -> None:
    said = Words(notes="Ask Ann.", metadata={"scene": 12, "标签": ["夜"]})
    arrival = await keep_clip(store, "arrival")
    told = arrival.model_copy(update={"dialogue": "KEEPER: Nearly there."})
    manifest, folder = await leave(store, [told], words=said)
    document = json.loads(await store.read(f"{folder}/manifest.json"))
    assert (document["notes"], document["metadata"]) == ("Ask Ann.", {"scene": 12, "标签": ["夜"]})
    assert document["shots"][0]["dialogue"] == "KEEPER: Nearly there."
    assert words_of(manifest) == said

    _, same = await leave(store, [told], words=said)
    assert same == folder
    for changed in ({"shots": [arrival], "words": said}, {"shots": [told], "words": Words()}):
        _, other = await leave(store, **changed)  # type: ignore[arg-type]
        assert other != folder


async def test_a_manifest_without_words_is_read_as_before(store: Store) -> None:
    _, folder = await leave(store, [await keep_clip(store, "arrival")])
    document = json.loads(await store.read(f"{folder}/manifest.json"))
    for one in (document, *document["shots"]):
        for name in Words.model_fields:
            del one[name]
    assert words_of(Manifest.model_validate(document)) == Words()
