"""What people write beside their shots comes out of an inbox, in any script, and a change of it pays nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from prefect_seedance.catalog.loading import load_catalog
from prefect_seedance.cli.run_direct import TerminalRenderer
from prefect_seedance.inbox.process import process
from prefect_seedance.rendering.options import Options
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator

BOARD = """
title: 灯塔：第一集
notes: {notes}
defaults: {{size: 640x640, duration: 2}}
shots:
  - {{id: 到达, prompt: 黎明时分的灯塔。, dialogue: {{守灯人: 快到了。}}, 场景: 12}}
"""


async def test_a_note_that_was_changed_is_in_the_next_production_and_nothing_is_paid_again(
    account: Account, folder_store: Store, emulator: RunningEmulator
) -> None:
    async def delivered(notes: str) -> dict[str, Any]:
        folder = Path(folder_store.url, "inbox", "film")
        folder.mkdir(parents=True)
        (folder / "board.yaml").write_text(BOARD.format(notes=notes), encoding="utf-8")
        catalog = load_catalog()
        renderer = TerminalRenderer(account, folder_store, catalog)
        report = await process(account, folder_store, Options(), catalog, renderer)
        assert [(one.status, one.error) for one in report.boards] == [("complete", None)]
        manifest: dict[str, Any] = json.loads(await folder_store.read(report.boards[0].manifest or ""))
        return manifest

    for notes in ("需要雾。", "不要雾。"):
        manifest = await delivered(notes)
        assert manifest["notes"] == notes
        shot = manifest["shots"][0]
        assert (shot["id"], shot["dialogue"], shot["metadata"]) == ("到达", "守灯人: 快到了。", {"场景": "12"})
        assert manifest["film"].startswith("productions/灯塔-第一集/")
    assert await folder_store.names("productions") == ["灯塔-第一集"]
    assert len(emulator.charges) == 1
