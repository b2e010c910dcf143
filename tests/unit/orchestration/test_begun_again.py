"""The run of a deployment goes on with the campaign that it froze, also where another flow started it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

from prefect_seedance.campaign.draft import Asked
from prefect_seedance.catalog.loading import load_catalog
from prefect_seedance.flows.campaign import _frozen
from prefect_seedance.orchestration.approval import can_pause
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage.store import Store

BOARD = """
title: Mugs
defaults: {size: 640x640, duration: 2}
shots:
  - {id: turn, prompt: "A {product} turns."}
"""


@pytest.mark.parametrize("parent", [None, uuid4()], ids=["by itself", "in another flow"])
async def test_a_deployed_run_that_is_begun_again_goes_on_with_what_it_froze(
    parent: UUID | None, folder_store: Store, tmp_path: Path
) -> None:
    board, table = tmp_path / "board.yaml", tmp_path / "table.csv"
    board.write_text(BOARD)
    table.write_text("product\nred mug\n")
    account, asked = Account("k", "http://127.0.0.1:9/v2"), Asked(str(board), str(table))
    run = FlowRun(flow_id=uuid4(), deployment_id=uuid4(), parent_task_run_id=parent)
    within: Any = FlowRunContext
    with within.model_construct(flow_run=run):
        assert can_pause() is (parent is None)
        frozen = await _frozen(asked, folder_store, account, load_catalog(), None)
        table.unlink()
        again = await _frozen(asked, folder_store, account, load_catalog(), None)
    assert again.id == frozen.id
