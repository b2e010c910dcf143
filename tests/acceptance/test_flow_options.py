"""A flow that was given other options than its own keeps what it promises of its parameters."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from prefect_seedance import RunpodCredentials, VideoStore, storyboard_to_shots
from prefect_seedance.errors import BadInput
from prefect_seedance.flows.campaign import campaign
from tests.support.campaigns import ONE_SHOT, mugs
from tests.support.emulating import RunningEmulator
from tests.support.flow_boards import make_board
from tests.support.prefect_server import RunningPrefect
from tests.support.shown import credentials, run_id, serving, store

__all__ = ["credentials", "serving", "store"]


async def test_rows_of_a_program_are_not_kept_by_the_server(
    credentials: RunpodCredentials, store: VideoStore, prefect_server: RunningPrefect, tmp_path: Path
) -> None:
    board = tmp_path / "mugs.yaml"
    board.write_text(textwrap.dedent(ONE_SHOT))
    nightly = campaign.with_options(name="nightly", retries=1)
    running: Any = nightly(str(board), mugs(1), credentials, store, return_state=True)
    state: State[Any] = await running
    kept = prefect_server.flow_run(run_id(state))
    assert (state.name, kept["empirical_policy"]["retries"]) == ("Completed", 1)
    assert kept["parameters"]["table"] == "the rows of a program"


async def test_a_storyboard_too_large_for_prefect_is_one_sentence(
    credentials: RunpodCredentials, store: VideoStore, serving: RunningEmulator
) -> None:
    board = make_board(*(f"Scene {n}. {'A long description. ' * 50}" for n in range(600)))
    with pytest.raises(BadInput, match=r"and Prefect takes 524,288; nothing was submitted; save it as a YAML"):
        await storyboard_to_shots.with_options(name="nightly")(board, credentials, store)
    assert serving.calls()["run"] == 0
