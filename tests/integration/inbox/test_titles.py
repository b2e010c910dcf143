"""Titles that differ in their marks alone do not get into each other's way in an inbox."""

from __future__ import annotations

from pathlib import Path

from prefect_seedance.catalog.loading import load_catalog
from prefect_seedance.cli.run_direct import TerminalRenderer
from prefect_seedance.inbox.process import process
from prefect_seedance.rendering.options import Options
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator

BOARD = """
title: "{title}"
defaults: {{size: 640x640, duration: 2}}
shots:
  - {{id: turn, prompt: "{title}"}}
"""


async def test_what_is_dropped_again_is_not_made_again_beside_a_title_of_the_same_letters(
    account: Account, folder_store: Store, emulator: RunningEmulator
) -> None:
    async def delivered(title: str) -> str | None:
        folder = Path(folder_store.url, "inbox", "film")
        folder.mkdir(parents=True)
        (folder / "board.yaml").write_text(BOARD.format(title=title), encoding="utf-8")
        catalog = load_catalog()
        renderer = TerminalRenderer(account, folder_store, catalog)
        report = await process(account, folder_store, Options(), catalog, renderer)
        return report.boards[0].production

    titles = ("Spring (C++)", "Spring (C#)")
    first = [await delivered(title) for title in titles]
    again = [await delivered(title) for title in titles]
    assert first == again
    assert len(set(first)) == len(emulator.charges) == 2
