"""The same storyboard, delivered again, is made anew only where what is there lacks something, and never paid again."""

from __future__ import annotations

import json
from pathlib import Path

from prefect_seedance.catalog.loading import load_catalog
from prefect_seedance.cli.run_direct import TerminalRenderer
from prefect_seedance.inbox.process import process
from prefect_seedance.rendering.options import Options
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator

BOARD = "title: Film\ndefaults: {size: 640x640, duration: 2}\nshots:\n  - {id: a, prompt: Gulls.}\n"


async def test_a_production_that_lacks_something_is_made_anew_for_nothing(
    account: Account, folder_store: Store, emulator: RunningEmulator
) -> None:
    async def delivered() -> str | None:
        folder = Path(folder_store.url, "inbox", "film")
        folder.mkdir(parents=True)
        (folder / "board.yaml").write_text(BOARD, encoding="utf-8")
        catalog = load_catalog()
        renderer = TerminalRenderer(account, folder_store, catalog)
        report = await process(account, folder_store, Options(), catalog, renderer)
        assert [(one.status, one.error) for one in report.boards] == [("complete", None)]
        return report.boards[0].production

    first = await delivered()
    assert await delivered() == first
    latest = Path(folder_store.url, "productions", "film", "latest.json")
    latest.write_text(json.dumps(json.loads(latest.read_text()) | {"shows": None}))  # as without room for its film
    assert await delivered() != first
    assert len(emulator.charges) == 1
