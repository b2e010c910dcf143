"""A store whose volume goes away while a run pays is waited for: it is not begun anew in the folder below."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from prefect_seedance.catalog.loading import load_catalog
from prefect_seedance.cli.run_direct import TerminalHost
from prefect_seedance.errors import StoreUnavailable
from prefect_seedance.production.manifest import Manifest
from prefect_seedance.rendering.options import Options
from prefect_seedance.rendering.render import render_board
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage.local import LocalStore
from prefect_seedance.storyboard.reading import read_board
from tests.support.emulating import RunningEmulator
from tests.support.flow_boards import make_board

PROMPTS = ("Dawn.", "Noon.", "Dusk.")


async def rendered(folder: Path, account: Account) -> Manifest:
    catalog, store = load_catalog(), LocalStore(folder)
    board = await read_board(make_board(*PROMPTS), catalog=catalog, store=store)
    return await render_board(board, account, store, Options(max_in_flight=1), catalog, TerminalHost())


async def test_a_run_whose_store_goes_away_pays_for_nothing_more_and_nothing_twice(
    account: Account, emulator: RunningEmulator, tmp_path: Path
) -> None:
    store, away = tmp_path / "store", tmp_path / "away"
    rendering = asyncio.create_task(rendered(store, account))
    async with asyncio.timeout(100):
        while not list(store.glob("ledger/*/0002.json")):
            await asyncio.sleep(0.005)
        store.rename(away)
        paid = len(emulator.charges)
        store.mkdir()  # the place where it was mounted
        await asyncio.sleep(3)
        assert [path.name for path in store.iterdir() if path.name != ".scratch"] == []
        assert len(emulator.charges) <= paid + 1
        store.rename(tmp_path / "below")
        away.rename(store)
        await rendering
    manifest = await rendered(store, account)
    assert [shot.status for shot in manifest.shots] == ["stored"] * 3
    assert len(emulator.charges) == 3


async def test_a_store_that_has_gone_takes_nothing_and_is_not_made_again(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    await store.belongs_to("pretend")
    (tmp_path / "store").rename(tmp_path / "away")
    for writing in (store.create("ledger/a/0001.json", b"1"), store.write("ledger-open/a-0001", b"1")):
        with pytest.raises(StoreUnavailable, match="is the volume still there"):
            await writing
    (tmp_path / "clip.mp4").write_bytes(b"a clip")
    with pytest.raises(StoreUnavailable, match="is the volume still there"):
        await store.put(tmp_path / "clip.mp4", "clips/a.mp4")
    assert not (tmp_path / "store").exists()
    (tmp_path / "away").rename(tmp_path / "store")
    await store.create("ledger/a/0001.json", b"1")
