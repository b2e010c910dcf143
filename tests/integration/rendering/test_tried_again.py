"""A flow run that is tried again has one budget for all of its attempts, also where its board was changed meanwhile."""

from __future__ import annotations

from decimal import Decimal

import pytest

from prefect_seedance.catalog.loading import load_catalog
from prefect_seedance.cli.run_direct import TerminalHost
from prefect_seedance.errors import OverBudget
from prefect_seedance.production.manifest import Manifest
from prefect_seedance.rendering.options import Options
from prefect_seedance.rendering.render import render_board
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.reading import read_board
from tests.support.emulating import RunningEmulator
from tests.support.flow_boards import make_board

FOR_TWO = Options(budget=Decimal("0.12"))
"""Two clips cost $0.10."""


async def rendered(flow_run_id: str, prompts: list[str], account: Account, store: Store) -> Manifest:
    catalog = load_catalog()
    board = await read_board(make_board(*prompts), catalog=catalog, store=store)
    host = TerminalHost()
    host.flow_run_id = flow_run_id
    return await render_board(board, account, store, FOR_TWO, catalog, host)


async def test_a_flow_run_that_is_tried_again_has_no_second_budget(
    account: Account, folder_store: Store, emulator: RunningEmulator
) -> None:
    await rendered("one", ["Dawn."], account, folder_store)
    with pytest.raises(OverBudget, match=r"after \$0\.05 spent by this run before"):
        await rendered("one", ["Dawn.", "Dusk.", "Noon."], account, folder_store)
    assert len(emulator.charges) == 1
    manifest = await rendered("another", ["Dawn.", "Dusk.", "Noon."], account, folder_store)
    assert [shot.status for shot in manifest.shots] == ["stored"] * 3
    assert len(emulator.charges) == 3
