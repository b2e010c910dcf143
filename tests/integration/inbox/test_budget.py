"""The budget of an inbox is for all its boards and for all tries of one flow run."""

from __future__ import annotations

import textwrap
from decimal import Decimal
from pathlib import Path

import pytest

from prefect_seedance.budget.limits import Limits
from prefect_seedance.catalog.loading import load_catalog
from prefect_seedance.cli.run_direct import TerminalHost
from prefect_seedance.inbox.process import process
from prefect_seedance.inbox.report import Report
from prefect_seedance.production.manifest import Manifest
from prefect_seedance.rendering.options import Options
from prefect_seedance.rendering.render import render_board
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.board import Board
from tests.support.emulating import RunningEmulator

ROWS = """
    title: Spring sale
    defaults: {size: 640x640, duration: 2}
    rows: products.csv
    shots:
      - {id: turn, prompt: "A {product} turns slowly."}
"""
EACH = Decimal("0.06")
"""Enough for one row and not for two."""


class OneFlowRun:
    """Renders as a flow run does that is tried again: under the same id."""

    flow_run_id: str | None = "one-flow-run"

    def __init__(self, account: Account, store: Store) -> None:
        self.account, self.store = account, store
        self.budgets: list[Decimal | None] = []

    async def render(self, file: str, board: Board, options: Options) -> Manifest:
        self.budgets.append(options.budget)
        host = TerminalHost()
        host.flow_run_id = self.flow_run_id
        return await render_board(board, self.account, self.store, options, load_catalog(), host)

    async def run_is_over(self, flow_run_id: str) -> bool:
        return flow_run_id == self.flow_run_id

    def budget_refused(self, why: str) -> None:
        pass


@pytest.fixture
def store(folder_store: Store) -> Store:
    folder = Path(folder_store.url, "inbox", "sale")
    folder.mkdir(parents=True)
    (folder / "board.yaml").write_text(textwrap.dedent(ROWS))
    (folder / "products.csv").write_text("product\nRed mug\nBlue mug\nGreen mug\n")
    return folder_store


@pytest.mark.parametrize("options", [Options(budget=2 * EACH), Options(limits=Limits(per_run=2 * EACH))], ids=str)
async def test_a_retried_flow_run_has_no_second_budget(
    options: Options, account: Account, store: Store, emulator: RunningEmulator
) -> None:
    async def tried() -> Report:
        return await process(account, store, options, load_catalog(), OneFlowRun(account, store))

    for _ in range(2):
        report = await tried()
        assert [outcome.status for outcome in report.boards] == ["complete", "complete", "over_budget"]
    assert len(emulator.charges) == 2


async def test_a_board_may_spend_its_share_and_no_more_where_only_the_run_is_limited(
    account: Account, store: Store, emulator: RunningEmulator
) -> None:
    renderer = OneFlowRun(account, store)
    await process(account, store, Options(limits=Limits(per_run=3 * EACH)), load_catalog(), renderer)
    assert len(renderer.budgets) == 3
    assert all(budget is not None and budget <= EACH for budget in renderer.budgets)
    assert len(emulator.charges) == 3
