"""What processes leave behind that were killed, and old productions, can go; clips and ledger never do."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from prefect_seedance.ledger.rescue import keep_copy
from prefect_seedance.production.pictures import poster_path
from prefect_seedance.production.score import film_path
from prefect_seedance.production.tidy import remove, untidy
from prefect_seedance.storage import open_store
from prefect_seedance.storage.store import Store
from tests.support.boards import keep_clip, leave
from tests.support.commanding import Desk
from tests.support.s3_server import RunningS3

NOW = datetime.datetime(2026, 11, 25, 12, tzinfo=datetime.UTC)
KEPT = (
    *("clips/sd1-a-0.mp4", "clips/sd1-b-0.unreadable", "ledger/sd1-a/0001.json", "ledger-open/sd1-a-0001"),
    *("spending/2026-11/00001.json", "store.json", "stills/x.png", "productions/mine/notes/a.txt"),
)


def made(days_ago: float, title: str = "film") -> str:
    at = NOW - datetime.timedelta(days=days_ago)
    return f"productions/{title}/{at:%Y%m%dT%H%M%SZ}-abcdef"


async def produce(store: Store, *folders: str, whole: bool = True) -> None:
    for folder in folders:
        await store.write(f"{folder}/shots/01-a.mp4", b"clip")
        if whole:
            await store.write(f"{folder}/manifest.json", b"{}")


async def test_of_each_title_the_newest_production_and_a_month_stay(either_store: Store) -> None:
    for path in KEPT:
        await either_store.write(path, b"kept")
    await produce(either_store, made(0), made(29), made(31), made(300), made(90, "other"), made(91, "other"))
    await produce(either_store, made(0.5, "broken"), made(2, "broken"), whole=False)
    found = await untidy(either_store, NOW)
    assert found.productions == (made(2, "broken"), made(300), made(31), made(91, "other"))
    few = await untidy(either_store, NOW, keep=2)
    assert few.productions == (made(2, "broken"), made(300), made(31))
    await remove(either_store, found)
    assert await either_store.names("productions/film") == sorted(
        folder.rpartition("/")[2] for folder in (made(0), made(29))
    )
    assert await either_store.names("productions/other") == [made(90, "other").rpartition("/")[2]]
    assert await either_store.exists(f"{made(29)}/shots/01-a.mp4")
    assert [await either_store.read(path) for path in KEPT] == [b"kept"] * len(KEPT)
    assert (await untidy(either_store, NOW)).productions == ()


async def test_of_two_titles_in_one_folder_the_newest_of_each_stays(either_store: Store) -> None:
    """As an earlier version left them there."""
    await produce(either_store, made(40), made(50), made(60), made(70))
    for days, title in ((40, "Film!"), (50, "Film?"), (60, "FILM?"), (70, "Film!")):
        await either_store.write(f"{made(days)}/manifest.json", f'{{"title": "{title}"}}'.encode())
    assert (await untidy(either_store, NOW)).productions == (made(70), made(60))


async def test_the_production_that_a_title_leads_to_stays(either_store: Store) -> None:
    await produce(either_store, made(100), made(50))
    await either_store.write("productions/film/latest.json", b'{"production": "%s"}' % made(100).encode())
    assert (await untidy(either_store, NOW)).productions == ()


async def test_a_film_goes_with_the_last_production_that_shows_it_and_no_clip_does(either_store: Store) -> None:
    one, two = [await keep_clip(either_store, name) for name in ("one", "two")]
    both, single = film_path([one.sha256 or "", two.sha256 or ""]), film_path([one.sha256 or ""])
    _, first = await leave(either_store, [one, two], made=NOW - datetime.timedelta(hours=2))
    _, second = await leave(either_store, [one], made=NOW - datetime.timedelta(hours=1))
    assert {f"films/{name}" for name in await either_store.names("films")} == {both, single}
    assert (await untidy(either_store, NOW)).films == ()
    await leave(either_store, [two, one], title="Another", made=NOW)
    found = await untidy(either_store, NOW + datetime.timedelta(days=40))
    assert (found.productions, found.films) == ((first,), (both,))
    await remove(either_store, found)
    assert not await either_store.exists(both)
    assert await either_store.exists(f"{second}/film.mp4")
    assert [await either_store.exists(shot.clip or "") for shot in (one, two)] == [True, True]
    assert len(await either_store.names("films")) == 2
    _, third = await leave(either_store, [one, two], made=NOW)
    assert await either_store.read(f"{third}/film.mp4") == await either_store.read(both)


async def test_a_poster_goes_when_nothing_shows_its_clip_any_more(folder_store: Store) -> None:
    one, two = [await keep_clip(folder_store, name) for name in ("one", "two")]
    await leave(folder_store, [one, two], made=NOW - datetime.timedelta(days=40))
    await leave(folder_store, [one], made=NOW)
    posters = [poster_path(shot.sha256 or "") for shot in (one, two)]
    assert (await untidy(folder_store, NOW)).posters == ()  # a day old at least: a run may still wait for it
    for poster in posters:
        os.utime(Path(folder_store.url) / poster, (time.time() - 90_000, time.time() - 90_000))
    found = await untidy(folder_store, NOW)
    assert found.posters == (posters[1],)
    await remove(folder_store, found)
    assert [await folder_store.exists(poster) for poster in posters] == [True, False]
    _, again = await leave(folder_store, [one, two], made=NOW + datetime.timedelta(hours=1))
    assert len(await folder_store.names(f"{again}/posters")) == 2


LEAVES_BEHIND = """
import os, sys
from pathlib import Path
from prefect_seedance.storage import open_store
from prefect_seedance.storage.local import written_beside

store = open_store(sys.argv[1])
(store.scratch() / "clip.mp4").write_bytes(b"x")
with written_beside(Path(sys.argv[1]) / "clips" / "a.mp4", b"x"):
    print("ready", flush=True)
    sys.stdin.read()
    os.kill(os.getpid(), 9)
"""


def hidden(store: Store) -> list[str]:
    files = [path for path in Path(store.url).rglob("*") if path.is_file() and "/." in str(path)]
    return sorted(str(path.relative_to(store.url)) for path in files)


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="tells processes apart by /proc")
async def test_what_a_killed_process_left_is_swept_and_what_a_living_one_needs_is_not(folder_store: Store) -> None:
    dead, living = (
        subprocess.Popen(
            [sys.executable, "-c", LEAVES_BEHIND, folder_store.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(2)
    )
    for process in (dead, living):
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    assert len(hidden(folder_store)) == 4
    assert (await untidy(folder_store, NOW)).leftovers == ()
    dead.communicate()
    found = await untidy(folder_store, NOW)
    assert all(f"{dead.pid}-" in leftover.name for leftover in found.leftovers)
    assert len(found.leftovers) == 2
    open_store(folder_store.url).scratch()
    assert len(hidden(folder_store)) == 3
    await remove(folder_store, found)
    assert len(hidden(folder_store)) == 2
    assert all(f"{living.pid}-" in path for path in hidden(folder_store))
    living.communicate()


async def test_what_nobody_can_tell_the_writer_of_goes_after_a_day(folder_store: Store) -> None:
    """Of another machine, of before the last start, or of an older version."""
    paths = [Path(folder_store.url) / name for name in (".scratch/1-2-0123456789ab/c", ".scratch/d", "clips/.ab.part")]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    folder_store.scratch()
    assert (await untidy(folder_store, NOW)).leftovers == ()
    for path in [*paths, paths[0].parent]:
        os.utime(path, (time.time() - 90_000, time.time() - 90_000))
    found = await untidy(folder_store, NOW)
    assert [one.name for one in found.leftovers] == [".scratch/1-2-0123456789ab", ".scratch/d", "clips/.ab.part"]
    await remove(folder_store, found)
    assert hidden(folder_store) == []


async def test_an_abandoned_upload_is_ended(s3_server: RunningS3) -> None:
    """The server for tests dates every upload to 2010."""
    bucket = s3_server.new_bucket()
    place = f"{s3_server.endpoint_url}/{bucket}"
    for key in ("mine/clips/a.mp4", "another's/clips/b.mp4"):
        httpx.post(f"{place}/{key}?uploads").raise_for_status()
    store = open_store(f"s3://{bucket}/mine", key="k", secret="s", endpoint_url=s3_server.endpoint_url)
    found = await untidy(store, NOW)
    assert [leftover.name for leftover in found.leftovers] == ["unfinished upload of clips/a.mp4, begun 2010-11-10"]
    await remove(store, found)
    await remove(store, found)
    left = httpx.get(f"{place}?uploads").text
    assert ("mine/clips/a.mp4" in left, "another's/clips/b.mp4" in left.replace("&#39;", "'")) == (False, True)
    await store.aclose()


async def test_tidy_lists_first_and_removes_when_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(tmp_path, {"XDG_STATE_HOME": str(tmp_path / "state")})
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "clip").write_bytes(b"paid for")
    copy = keep_copy(tmp_path / "clip", "sd1-a-0.mp4")
    assert copy is not None
    store = open_store(desk.store)
    await produce(store, made(400), made(500))
    listed = desk.run("tidy", "--json")
    assert (listed.code, listed.document["removed"]) == (0, False)
    assert listed.document["productions"] == [made(500)]
    assert listed.document["kept"] == [str(copy)]
    assert "Nothing was removed" in listed.err
    assert await store.exists(f"{made(500)}/manifest.json")
    removed = desk.run("tidy", "--yes")
    assert (removed.code, removed.out) == (0, "")
    assert f"removed: {made(500)}" in removed.err
    assert await store.names("productions/film") == [made(400).rpartition("/")[2]]
    assert copy.read_bytes() == b"paid for"
    assert "nothing to tidy" in desk.run("tidy").err
