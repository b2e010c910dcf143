"""Whatever a stranger drops, and whatever the store does to one delivery, ends that delivery alone, with a report."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefect_seedance.catalog.loading import load_catalog
from prefect_seedance.cli.run_direct import TerminalRenderer
from prefect_seedance.errors import StoreUnavailable
from prefect_seedance.inbox.folder import Inbox
from prefect_seedance.inbox.process import InboxRun, process
from prefect_seedance.inbox.report import Report
from prefect_seedance.rendering.options import Options
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage.dropped import DroppedOnDisk, Found
from prefect_seedance.storage.local import LocalStore
from prefect_seedance.text import printable

BROKEN = "title: A film\nnonsense: 1\n"
NOWHERE = Account("k", "http://127.0.0.1:9/v2")
"""No board of these tests is rendered."""


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    for name in ("a-film", "b-film"):
        (tmp_path / "inbox" / name).mkdir(parents=True)
        (tmp_path / "inbox" / name / "board.yaml").write_text(BROKEN)
    return tmp_path / "inbox"


async def processed(store: LocalStore, quiet_seconds: float = 0) -> Report:
    catalog = load_catalog()
    renderer = TerminalRenderer(NOWHERE, store, catalog)
    return await process(NOWHERE, store, Options(), catalog, renderer, quiet_seconds=quiet_seconds)


def statuses(report: Report) -> dict[str, str]:
    return {outcome.file: outcome.status for outcome in report.boards}


@pytest.mark.parametrize("quiet_seconds", [0, 0.001])
@pytest.mark.parametrize("name", ["a\\b.png", "a\nb.png", "a\udcffb.png", "a\\b/c.png"], ids=ascii)
async def test_a_name_that_no_store_takes_is_left_out_and_stops_nothing(
    inbox: Path, name: str, quiet_seconds: float
) -> None:
    (inbox / "a-film" / name).parent.mkdir(exist_ok=True)
    (inbox / "a-film" / name).write_text("dropped")
    report = await processed(LocalStore(inbox.parent), quiet_seconds)
    assert statuses(report) == {"a-film/board.yaml": "rejected", "b-film/board.yaml": "rejected"}
    left_out = (inbox.parent / "inbox-rejected" / "a-film" / "left-out.txt").read_text()
    assert "it stays in the inbox; rename it" in left_out
    assert (inbox / "a-film" / name).read_text() == "dropped"
    assert (await processed(LocalStore(inbox.parent))).boards == ()


@pytest.mark.parametrize(
    "name", ["a\tb.yaml", "film.yaml\r", "a\\b.csv", "a\udcffb.json", "new\nfilm/board.yaml"], ids=ascii
)
async def test_a_storyboard_that_is_never_read_for_its_name_is_reported_and_stops_nothing(
    inbox: Path, name: str
) -> None:
    (inbox / name).parent.mkdir(exist_ok=True)
    (inbox / name).write_text(BROKEN)
    (inbox / "harbour\tat dawn.png").write_text("no storyboard")
    report = await processed(LocalStore(inbox.parent))
    named, *others = sorted(report.boards, key=lambda one: one.status)
    assert [one.status for one in others] == ["rejected", "rejected"]
    assert (named.status, named.refused, named.file) == ("nothing", True, printable(name.split("/")[0]))
    assert "can't be part of a path; nothing was submitted; rename it." in (named.error or "")
    assert (inbox / name).read_text() == BROKEN
    assert (await processed(LocalStore(inbox.parent))).exit_code == 2


class Surprising(LocalStore):
    """A store that fails at the names of one delivery, in a way that nobody thought of."""

    def __init__(self, folder: Path, at: str) -> None:
        super().__init__(folder)
        self.at = at

    async def create(self, path: str, content: bytes) -> None:
        self._surprise(path)
        await super().create(path, content)

    async def write(self, path: str, content: bytes, content_type: str | None = None) -> None:
        self._surprise(path)
        await super().write(path, content, content_type)

    def _surprise(self, path: str) -> None:
        if path.startswith(self.at):
            raise ValueError("nobody thought of this")


@pytest.mark.parametrize("at", ["inbox-taken/a-film", "inbox-rejected/a-film"])
async def test_a_surprise_at_one_delivery_stops_no_other_and_is_told(inbox: Path, at: str) -> None:
    report = await processed(Surprising(inbox.parent, at))
    assert statuses(report) == {"a-film/board.yaml": "nothing", "b-film/board.yaml": "rejected"}
    assert "nobody thought of this" in (report.boards[0].error or "")
    assert "stays in the inbox" in (report.boards[0].error or "")
    assert [folder.name for folder in inbox.iterdir()] == ["a-film"]


class Unreadable(DroppedOnDisk):
    """A folder that fails where one delivery lies."""

    async def walk(self, path: str) -> Found:
        if path == "inbox/a-film":
            raise StoreUnavailable("The disk failed.")
        return await super().walk(path)


async def test_a_delivery_that_cannot_be_looked_at_stops_no_other_and_is_told(inbox: Path) -> None:
    store, catalog = LocalStore(inbox.parent), load_catalog()
    place = Inbox(store, "inbox")
    place.dropped = Unreadable(store, "inbox")
    run = InboxRun(place, NOWHERE, Options(), catalog, TerminalRenderer(NOWHERE, store, catalog))
    report = await run.process(0)
    assert statuses(report) == {"a-film": "nothing", "b-film/board.yaml": "rejected"}
    assert report.boards[0].error == "The disk failed. It stays in the inbox for the next run."


class Unreleasing(LocalStore):
    """A store that answers no removal of a lease."""

    async def delete(self, path: str) -> None:
        if path.startswith("inbox-taken"):
            raise StoreUnavailable("503 on delete")
        await super().delete(path)


async def test_a_lease_that_cannot_be_given_back_takes_no_report_away(inbox: Path) -> None:
    report = await processed(Unreleasing(inbox.parent))
    assert statuses(report) == {"a-film/board.yaml": "rejected", "b-film/board.yaml": "rejected"}
    assert list((inbox.parent / "inbox-taken").iterdir())
