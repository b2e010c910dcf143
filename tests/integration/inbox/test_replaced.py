"""What is dropped in the place of a delivery that is being rendered is rendered too, and nothing is paid twice."""

from __future__ import annotations

import pytest

from prefect_seedance.catalog.loading import load_catalog
from prefect_seedance.cli.run_direct import TerminalRenderer
from prefect_seedance.inbox.process import process
from prefect_seedance.inbox.report import Report
from prefect_seedance.production.manifest import Manifest
from prefect_seedance.rendering.options import Options
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.board import Board
from tests.support.emulating import RunningEmulator

BOARD = """
title: Sale
rows: mugs.csv
defaults: {size: 640x640, duration: 2}
shots:
  - {id: a, prompt: "A {mug} mug."}
"""
FILES = {"board.yaml": BOARD, "mugs.csv": "mug\nRed\n"}
CHANGED = {"board.yaml": BOARD.replace(" mug.", " mug at dawn."), "mugs.csv": "mug\nBlue\n"}


class WhileRendering(TerminalRenderer):
    """Somebody drops *file* anew, with *text*, as soon as the first board is about to be rendered."""

    def __init__(self, account: Account, store: Store, file: str, text: str) -> None:
        super().__init__(account, store, load_catalog())
        self.there, self.file, self.text = store, file, text

    async def render(self, file: str, board: Board, options: Options) -> Manifest:
        await self.there.write(self.file, self.text.encode())
        return await super().render(file, board, options)


async def run(account: Account, store: Store, renderer: TerminalRenderer) -> Report:
    return await process(account, store, Options(), load_catalog(), renderer)


@pytest.mark.parametrize("folder", ["inbox", "inbox/sale"], ids=["alone", "in a folder"])
@pytest.mark.parametrize("replaced", FILES)
async def test_a_file_that_is_replaced_while_it_is_rendered_is_rendered_by_the_next_run(
    account: Account, either_store: Store, emulator: RunningEmulator, folder: str, replaced: str
) -> None:
    for name, text in FILES.items():
        await either_store.write(f"{folder}/{name}", text.encode())
    anew = WhileRendering(account, either_store, f"{folder}/{replaced}", CHANGED[replaced])
    [first] = (await run(account, either_store, anew)).boards
    name = f"{folder}/{replaced}".removeprefix("inbox/")
    stays = "It stays in the inbox for the next run, which pays for nothing twice."
    assert (first.status, first.error) == ("complete", f"{name} was replaced since this run has read it. {stays}")
    assert await either_store.names("inbox-done") == []

    [second] = (await run(account, either_store, TerminalRenderer(account, either_store, load_catalog()))).boards
    assert (second.status, second.error, second.spent_usd) == ("complete", None, first.spent_usd)
    assert await either_store.names("inbox") == []
    [done] = await either_store.names("inbox-done")
    assert await either_store.read(f"inbox-done/{done}/{replaced}") == CHANGED[replaced].encode()
    assert len(emulator.charges) == 2


async def test_a_file_dropped_anew_with_the_same_content_is_put_away(
    account: Account, either_store: Store, emulator: RunningEmulator
) -> None:
    for name, text in FILES.items():
        await either_store.write(f"inbox/sale/{name}", text.encode())
    again = WhileRendering(account, either_store, "inbox/sale/board.yaml", BOARD)
    assert [(one.status, one.error) for one in (await run(account, either_store, again)).boards] == [("complete", None)]
    assert await either_store.names("inbox") == []
    assert len(emulator.charges) == 1
