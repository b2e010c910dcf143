"""A store in a folder or in a bucket keeps what it is given, by the same rules."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from prefect_seedance.errors import BadStore, Missing, StoreUnavailable, Taken
from prefect_seedance.storage import open_store
from prefect_seedance.storage.store import Store

MEGABYTE = 2**20


async def test_no_path_leaves_the_store(either_store: Store) -> None:
    for path in ("", "/etc/passwd", "../x", "a/../b", "a//b", "a/", "./a", "a\\b", "a\0b"):
        for asking in (either_store.read, either_store.age, either_store.delete):
            with pytest.raises(ValueError, match="not a path"):
                await asking(path)
        with pytest.raises(ValueError, match="not a path"):
            await either_store.create(path, b"")


async def test_what_is_written_is_read(either_store: Store) -> None:
    await either_store.write("a/b c/ü.json", b"one")
    await either_store.write("a/b c/ü.json", b"two", "application/json")
    assert await either_store.read("a/b c/ü.json") == b"two"
    assert await either_store.exists("a/b c/ü.json")
    await either_store.delete("a/b c/ü.json")
    await either_store.delete("a/b c/ü.json")
    assert not await either_store.exists("a/b c/ü.json")


async def test_what_is_not_there_is_missing(either_store: Store, tmp_path: Path) -> None:
    await either_store.write("folder/file", b"")
    for path in ("nothing", "folder", "folder/file/below"):
        assert not await either_store.exists(path)
        for asking in (
            either_store.read(path),
            either_store.age(path),
            either_store.fetch(path, tmp_path / "f"),
            either_store.copy(path, "copy"),
        ):
            with pytest.raises(Missing):
                await asking
    assert not (tmp_path / "f").exists()
    assert not await either_store.exists("copy")
    with pytest.raises(Missing):
        await either_store.put(tmp_path / "never written", "target")


async def test_names_are_those_directly_below_a_folder(either_store: Store) -> None:
    for path in ("top", "b/2", "b/10", "b/c/deep", "bb/x", "b/.hidden", ".dot/x"):
        await either_store.write(path, b"")
    assert await either_store.names("") == ["b", "bb", "top"]
    assert await either_store.names("b") == ["10", "2", "c"]
    assert await either_store.names("nothing") == []
    assert await either_store.names_in(["b", "nothing", "top", *["b"] * 100]) == [
        ["10", "2", "c"],
        [],
        [],
        *[["10", "2", "c"]] * 100,
    ]
    assert await either_store.names_in([]) == []


async def test_names_go_on_after_the_first_thousand(either_store: Store) -> None:
    await asyncio.gather(*(either_store.write(f"many/{number:04}", b"") for number in range(1005)))
    assert await either_store.names("many") == [f"{number:04}" for number in range(1005)]


RACER = """
import asyncio, sys
from prefect_seedance.errors import Taken
from prefect_seedance.storage import open_store

async def race(store, name):
    try:
        await store.create("race/0001.json", name.encode())
    except Taken:
        return
    print(name)

async def main():
    store = open_store(sys.argv[1])
    await store.exists("race")
    print("ready", flush=True)
    sys.stdin.readline()
    await asyncio.gather(*(race(store, f"{sys.argv[2]}.{n}") for n in range(4)))
    await store.aclose()

asyncio.run(main())
"""


@pytest.mark.slow
async def test_of_twelve_racers_in_three_processes_one_wins(either_store: Store, store_url: str) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, store_url, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for racer in racers:
        assert racer.stdout
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("\n")
        racer.stdin.flush()
    winners = "".join(racer.communicate()[0] for racer in racers).split()
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert winners == [(await either_store.read("race/0001.json")).decode()]
    assert await either_store.names("race") == ["0001.json"]


async def test_one_store_serves_many_threads_with_loops_of_their_own(either_store: Store) -> None:
    async def attempt(number: int) -> bool:
        try:
            await either_store.create("race", str(number).encode())
        except Taken:
            return False
        return await either_store.read("race") == str(number).encode()

    with ThreadPoolExecutor(12) as threads:
        wins = threads.map(lambda number: asyncio.run(attempt(number)), range(12))
        assert sorted(wins) == [False] * 11 + [True]


async def test_a_second_creation_leaves_the_first_content(either_store: Store) -> None:
    await either_store.create("a/1", b"first")
    with pytest.raises(Taken):
        await either_store.create("a/1", b"second")
    assert await either_store.read("a/1") == b"first"


async def test_who_finds_the_very_bytes_there_that_it_wrote_has_won(either_store: Store) -> None:
    await either_store.create("a", b"mine alone")
    await either_store.create("a", b"mine alone")
    for other in (b"", b"mine", b"mine alone, and more"):
        with pytest.raises(Taken):
            await either_store.create("a", other)


async def test_a_published_file_replaces_the_old_one(either_store: Store, tmp_path: Path) -> None:
    for content in (b"old", b"new", b"x" * 8 * MEGABYTE, b"", os.urandom(17 * MEGABYTE)):
        local = either_store.scratch() / tmp_path.name
        local.write_bytes(content)
        await either_store.put(local, "clips/a.mp4", "video/mp4")
        await either_store.fetch("clips/a.mp4", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == content
        local.unlink(missing_ok=True)
    assert await either_store.names("clips") == ["a.mp4"]


async def test_a_copy_is_independent_of_its_source(either_store: Store) -> None:
    await either_store.write("a", b"one")
    await either_store.copy("a", "b/c")
    await either_store.copy("a", "b/c")
    await either_store.write("a", b"two")
    assert (await either_store.read("a"), await either_store.read("b/c")) == (b"two", b"one")
    await either_store.copy("a", "b/c")
    assert await either_store.read("b/c") == b"two"


async def test_nothing_temporary_is_left_on_disk(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    await store.prove()
    await store.create("a", b"")
    with pytest.raises(Taken):
        await store.create("a", b"another's")
    await store.copy("a", "b")
    await store.copy("a", "b")
    await store.age("a")
    (store.scratch() / "c").touch()
    await store.put(store.scratch() / "c", "c")
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["a", "b", "c"]
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [".scratch"]


async def test_a_finished_file_is_moved_and_not_copied_on_disk(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    local = store.scratch() / "clip"
    local.write_bytes(b"clip")
    before = local.stat().st_ino
    await store.put(local, "clips/a.mp4")
    assert (tmp_path / "clips" / "a.mp4").stat().st_ino == before


@pytest.mark.parametrize("scratch", ["store", "/dev/shm"])
async def test_no_program_changes_a_published_file_or_a_second_name_of_it_in_place(
    tmp_path: Path, scratch: str
) -> None:
    """And it is replaced, named anew and removed all the same."""
    store = open_store(tmp_path / "store")
    folder = store.scratch() if scratch == "store" else Path(scratch)
    if scratch != "store" and (not folder.is_dir() or folder.stat().st_dev == tmp_path.stat().st_dev):
        pytest.skip("needs a second filesystem")
    for content in (b"one", b"two"):
        local = folder / f"{tmp_path.name}-{os.getpid()}.local"
        local.write_bytes(content)
        local.chmod(0o640)
        await store.put(local, "clips/a.mp4")
        local.unlink(missing_ok=True)
        await store.copy("clips/a.mp4", "productions/x/01-a.mp4")
    group = store.scratch() / "group"
    group.write_bytes(b"of a store that a group shares")
    group.chmod(0o664)
    await store.put(group, "clips/b.mp4")
    assert (tmp_path / "store" / "clips" / "b.mp4").stat().st_mode & 0o777 == 0o664
    await store.delete("clips/b.mp4")
    await store.write("productions/x/timeline.edl", b"to be edited")
    files = ("clips/a.mp4", "productions/x/01-a.mp4", "productions/x/timeline.edl")
    modes = [(tmp_path / "store" / path).stat().st_mode & 0o777 for path in files]
    assert modes[:2] == [0o440 if scratch == "store" else 0o444 & modes[2]] * 2
    assert modes[2] & 0o200
    assert await store.read("productions/x/01-a.mp4") == b"two"
    await store.fetch("clips/a.mp4", tmp_path / "mine.mp4")
    assert (tmp_path / "mine.mp4").stat().st_mode & 0o200
    await store.delete_folder("productions/x")
    await store.delete("clips/a.mp4")
    assert await store.names("clips") == []


async def test_age_grows_by_the_clock_of_the_store(either_store: Store) -> None:
    await either_store.write("a", b"")
    before = time.monotonic()
    first = await either_store.age("a")
    await asyncio.sleep(2)  # S3 tells whole seconds
    assert first + 1 <= await either_store.age("a") <= time.monotonic() - before + 1


async def test_age_does_not_look_at_the_clock_of_this_machine(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    await store.write("a", b"")
    os.utime(tmp_path / "a", (time.time() - 3600, time.time() - 3600))
    assert 3590 <= await store.age("a") < 3660
    os.utime(tmp_path / "a", (time.time() + 3600, time.time() + 3600))
    assert await store.age("a") == 0


async def test_a_folder_has_links_only_where_it_is_served(tmp_path: Path) -> None:
    assert await open_store(tmp_path).link("a b.png", 60) is None
    served = open_store(tmp_path, public_base_url="https://host/files/")
    assert await served.link("x/a b#.png", 60) == "https://host/files/x/a%20b%23.png"


async def test_a_store_that_keeps_its_promises_is_proved_and_left_empty(either_store: Store, store_url: str) -> None:
    await either_store.prove()
    await either_store.prove()
    assert await either_store.names("") == []


async def test_a_store_can_be_used_again_after_it_was_closed(either_store: Store) -> None:
    await either_store.write("a", b"")
    await either_store.aclose()
    await either_store.aclose()
    assert await either_store.exists("a")


async def test_a_folder_without_the_right_to_write_is_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    tmp_path.chmod(0o500)
    me = os.geteuid()
    if me == 0:  # who may write everywhere
        os.seteuid(65534)
    try:
        with pytest.raises(BadStore, match="needs the right to write"):
            await store.prove()
        if me == 0:
            with pytest.raises(BadStore, match="can't be looked at"):
                open_store(tmp_path / "store")
    finally:
        os.seteuid(me)


async def test_an_error_of_the_disk_is_not_taken_for_an_empty_store(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    store = open_store(tmp_path)
    for asking in (store.read("loop/a"), store.exists("loop/a"), store.names("loop"), store.create("loop/a", b"")):
        with pytest.raises(StoreUnavailable):
            await asking


async def test_no_more_of_a_file_is_read_than_asked_for(either_store: Store) -> None:
    await either_store.write("large", b"0123456789" * 100_000)
    assert await either_store.read("large", 250_001) == (b"0123456789" * 25_001)[:250_001]
    assert len(await either_store.read("large")) == 1_000_000
