"""What strangers drop into a folder: no link of theirs is followed and no pipe waited for, whenever it comes there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prefect_seedance.errors import BadInput, Missing
from prefect_seedance.inbox.folder import Inbox, Replaced
from prefect_seedance.storage import open_store
from prefect_seedance.storage.dropped import DroppedOnDisk, dropped
from prefect_seedance.storage.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


@pytest.fixture
def inbox(store: Store) -> Path:
    folder = Path(store.url, "inbox")
    (folder / "film" / "references").mkdir(parents=True)
    (folder / "film" / "board.yaml").write_text("title: A film")
    (folder / "film" / "notes.txt").write_text("notes")
    (folder / "film" / "references" / "keeper.png").write_bytes(b"a picture")
    return folder


@pytest.fixture
def private(tmp_path: Path) -> Path:
    folder = tmp_path / "private"
    folder.mkdir()
    for name in ("notes.txt", "keeper.png", "board.yaml"):
        (folder / name).write_text("SECRET")
    return folder


def kept(store: Store, outcome: str) -> dict[str, str]:
    top = Path(store.url, f"inbox-{outcome}")
    return {str(file.relative_to(top)): file.read_text() for file in sorted(top.rglob("*")) if file.is_file()}


async def test_a_link_swapped_in_after_a_delivery_was_found_leads_nowhere(
    store: Store, inbox: Path, private: Path
) -> None:
    [delivery] = await Inbox(store, "inbox").deliveries()
    (inbox / "film" / "notes.txt").unlink()
    (inbox / "film" / "notes.txt").symlink_to(private / "notes.txt")
    (inbox / "film" / "references").rename(inbox.parent / "aside")
    (inbox / "film" / "references").symlink_to(private)
    await Inbox(store, "inbox").archive(delivery, "done", {"report.json": "{}"})

    files = kept(store, "done")
    assert sorted(files) == ["film/board.yaml", "film/left-out.txt", "film/report.json"]
    assert "SECRET" not in "".join(files.values())
    assert "inbox/film/notes.txt: it is a link; drop the file itself" in files["film/left-out.txt"]
    assert "inbox/film/references/keeper.png: a folder on its way is a link" in files["film/left-out.txt"]
    assert sorted(file.name for file in private.iterdir()) == ["board.yaml", "keeper.png", "notes.txt"]


async def test_a_pipe_swapped_in_hangs_nothing(store: Store, inbox: Path) -> None:
    [delivery] = await Inbox(store, "inbox").deliveries()
    (inbox / "film" / "notes.txt").unlink()
    os.mkfifo(inbox / "film" / "notes.txt")
    await Inbox(store, "inbox").archive(delivery, "done", {})
    assert "notes.txt: it is no file but a named pipe" in kept(store, "done")["film/left-out.txt"]
    assert list(inbox.iterdir()) == []


async def test_what_is_put_away_is_a_copy_that_its_author_can_no_longer_change(store: Store, inbox: Path) -> None:
    [delivery] = await Inbox(store, "inbox").deliveries()
    with (inbox / "film" / "notes.txt").open("a") as still_open:
        await Inbox(store, "inbox").archive(delivery, "done", {})
        still_open.write("CHANGED")
    assert kept(store, "done")["film/notes.txt"] == "notes"


async def test_an_earlier_delivery_of_the_name_keeps_its_place(store: Store, inbox: Path) -> None:
    for content in ("first", "second", "third"):
        (inbox / "film").mkdir(exist_ok=True)
        (inbox / "film" / "board.yaml").write_text(content)
        [delivery] = await Inbox(store, "inbox").deliveries()
        await Inbox(store, "inbox").archive(delivery, "done", {"report.json": content})
    files = kept(store, "done")
    for place, content in {"film": "first", "film-2": "second", "film-3": "third"}.items():
        assert (files[f"{place}/board.yaml"], files[f"{place}/report.json"]) == (content, content)


@pytest.mark.parametrize("path", ["film/notes.txt", "film/references/keeper.png", "board.yaml"])
async def test_nothing_behind_a_link_or_in_a_pipe_is_read(store: Store, inbox: Path, private: Path, path: str) -> None:
    files = dropped(store, "inbox")
    place = inbox / path
    for make in (lambda: place.symlink_to(private / place.name), lambda: os.mkfifo(place), place.mkdir):
        place.unlink(missing_ok=True)
        make()
        with pytest.raises(BadInput):
            await files.read(f"inbox/{path}", 100)
        with pytest.raises(BadInput):
            await files.age(f"inbox/{path}")
    place.rmdir()
    with pytest.raises(Missing):
        await files.read(f"inbox/{path}", 100)


async def test_nothing_behind_a_linked_folder_is_removed(store: Store, inbox: Path, private: Path) -> None:
    (inbox / "film" / "references" / "keeper.png").unlink()
    (inbox / "film" / "references").rmdir()
    (inbox / "film" / "references").symlink_to(private)
    (private / "empty").mkdir()
    files = dropped(store, "inbox")
    await files.delete("inbox/film/references/keeper.png")
    await files.sweep("inbox/film")
    await files.sweep("inbox/film/references")
    assert (private / "keeper.png").read_text() == "SECRET"
    assert (private / "empty").is_dir()


async def test_an_inbox_that_its_owner_made_a_link_is_read(store: Store, inbox: Path, tmp_path: Path) -> None:
    inbox.rename(tmp_path / "uploads")
    inbox.symlink_to(tmp_path / "uploads")
    [delivery] = await Inbox(store, "inbox").deliveries()
    await Inbox(store, "inbox").archive(delivery, "done", {})
    assert sorted(kept(store, "done")) == ["film/board.yaml", "film/notes.txt", "film/references/keeper.png"]


@pytest.mark.parametrize("name", ["board.yaml", "notes.txt", "references/keeper.png"])
async def test_nothing_is_put_away_where_a_file_is_another_one_than_was_read(
    store: Store, inbox: Path, name: str
) -> None:
    place = Inbox(store, "inbox")
    [delivery] = await place.deliveries()
    await place.remember(delivery)
    (inbox / "film" / name).write_text("another one")
    with pytest.raises(Replaced, match=f"film/{name} was replaced since this run has read it."):
        await place.archive(delivery, "rejected", {"report.json": "{}"})
    assert kept(store, "rejected") == {}
    assert (inbox / "film" / name).read_text() == "another one"
    assert len([path for path in inbox.rglob("*") if path.is_file()]) == 3


class ReplacedAfterItsCopy(DroppedOnDisk):
    """A folder where somebody drops the notes anew as soon as they were copied."""

    async def copy(self, path: str, target: str) -> None:
        await super().copy(path, target)
        if path.endswith("notes.txt"):
            Path(self.store.url, path).write_text("another one")


async def test_a_file_that_is_replaced_while_it_is_copied_is_not_removed(store: Store, inbox: Path) -> None:
    place = Inbox(store, "inbox")
    [delivery] = await place.deliveries()
    await place.remember(delivery)
    place.dropped = ReplacedAfterItsCopy(store, "inbox")
    with pytest.raises(Replaced):
        await place.archive(delivery, "done", {"report.json": "{}"})
    assert (inbox / "film" / "notes.txt").read_text() == "another one"
    assert (inbox / "film" / "board.yaml").exists()
