"""What whoever awaits a flow gets where it has failed and made something all the same: a sentence, and what it made."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import allow_failure, flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State

from prefect_seedance import (
    Production,
    RunpodCredentials,
    VideoStore,
    collect_finished,
    process_inbox,
    storyboard_to_shots,
)
from prefect_seedance.campaign.document import load_campaign
from prefect_seedance.campaign.marks import Marks
from prefect_seedance.errors import NotDone
from prefect_seedance.flows.campaign import campaign
from prefect_seedance.flows.campaign_shard import campaign_shard
from tests.support.campaigns import ONE_SHOT, mugs
from tests.support.dropping import drop, one
from tests.support.emulating import RunningEmulator
from tests.support.flow_boards import make_board
from tests.support.shown import credentials, run_id, serving, store

pytestmark = pytest.mark.usefixtures("prefect_server")

__all__ = ["credentials", "serving", "store"]

REMEDY = "; `result` of this error says what became of each, and running it again pays for nothing that is there."
NONE_STORED = "0 of 1 shots stored, 1 refused, $0.00 spent"


@pytest.fixture(autouse=True)
def _refusing(serving: RunningEmulator) -> None:
    serving.fault("run", "status", code=400, times=100)


async def test_a_board_that_stored_nothing_is_one_sentence_and_its_production(
    credentials: RunpodCredentials, store: VideoStore, serving: RunningEmulator
) -> None:
    with pytest.raises(NotDone) as caught:
        await storyboard_to_shots(make_board("Dawn."), credentials, store)
    assert str(caught.value) == NONE_STORED + REMEDY
    made = caught.value.result
    assert isinstance(made, Production)
    assert (made.status, [shot.status for shot in made.shots]) == ("nothing", ["refused"])
    assert serving.charges == []


async def test_a_state_that_is_asked_for_gives_the_production_or_raises_the_sentence(
    credentials: RunpodCredentials, store: VideoStore
) -> None:
    state: Any = await storyboard_to_shots(make_board("Dawn."), credentials, store, return_state=True)
    made = await state.aresult(raise_on_failure=False)
    assert (state.name, state.message, made.status) == ("Failed", NONE_STORED, "nothing")
    asked: list[Any] = [state.aresult, state.result]
    for asking in asked:
        with pytest.raises(NotDone, match="0 of 1 shots stored") as caught:
            await asking()
        assert caught.value.result == made
    assert state.result(raise_on_failure=False, _sync=True) == made

    @task
    def look(production: Production) -> str:
        return production.status

    @flow
    def parent() -> str:
        given: Any = allow_failure(state)
        return look(given)

    assert parent() == "nothing"


async def test_a_parent_that_does_not_catch_it_has_failed_with_the_sentence_and_hands_on_the_production(
    credentials: RunpodCredentials, store: VideoStore
) -> None:
    @flow(persist_result=True)
    async def parent() -> None:
        await storyboard_to_shots(make_board("Dawn."), credentials, store)

    ended: State[Any] = await parent(return_state=True)
    async with get_client() as client:
        elsewhere = (await client.read_flow_run(UUID(run_id(ended)))).state
    assert elsewhere is not None
    assert NONE_STORED + REMEDY in (elsewhere.message or "")
    error: Any = await elsewhere.aresult(raise_on_failure=False)
    assert (str(error), error.result.status) == (NONE_STORED + REMEDY, "nothing")


async def test_a_flow_with_retries_is_run_again_and_pays_for_nothing_twice(
    credentials: RunpodCredentials, store: VideoStore, serving: RunningEmulator
) -> None:
    serving.clear_faults()
    serving.fault("run", "status", code=400, prompt="Dusk.")
    patient = storyboard_to_shots.with_options(retries=2)
    board = make_board("Dawn.", "Dusk.")
    state: Any = await patient(board, credentials, store, fail_on_partial=True, return_state=True)
    made = await state.aresult(raise_on_failure=False)
    assert (state.name, made.status) == ("Completed", "complete")
    assert len(serving.charges) == 2

    serving.fault("run", "status", code=400, times=100)
    state = await patient(make_board("Noon."), credentials, store, return_state=True)
    made = await state.aresult(raise_on_failure=False)
    assert (state.name, state.message, made.status) == ("Failed", NONE_STORED, "nothing")
    async with get_client() as client:
        assert (await client.read_flow_run(UUID(run_id(state)))).run_count == 3
    assert len(serving.charges) == 2


async def test_an_inbox_or_a_collector_that_counts_as_failed_is_one_sentence_and_its_report(
    credentials: RunpodCredentials, store: VideoStore, serving: RunningEmulator
) -> None:
    await drop(store.open(), "board.yaml", one("Refused"))
    with pytest.raises(NotDone, match=r"^1 productions, not all of them complete, \$0\.00 spent; `result`") as caught:
        await process_inbox(credentials, store, fail_on_partial=True)
    report: Any = caught.value.result
    assert [board["status"] for board in report["boards"]] == ["nothing"]

    serving.clear_faults()
    serving.fault("run", "drop_after")
    with pytest.raises(NotDone, match="1 unclear"):
        await storyboard_to_shots(make_board("Unclear."), credentials, store)
    [unclear] = [file for file in Path(store.url).glob("ledger/*/0002.json") if "unclear" in file.read_text()]
    unclear.write_text("{")
    with pytest.raises(NotDone, match=r"1 not readable; `result`") as caught:
        await collect_finished(credentials, store, fail_on_partial=True)
    found: Any = caught.value.result
    assert len(found["errors"]) == 1


async def test_a_campaign_or_a_shard_that_is_not_done_is_one_sentence_and_its_result(
    credentials: RunpodCredentials, store: VideoStore, serving: RunningEmulator, tmp_path: Path
) -> None:
    board = tmp_path / "mugs.yaml"
    board.write_text(textwrap.dedent(ONE_SHOT))
    rows: Any = campaign(str(board), mugs(1), credentials, store)
    with pytest.raises(NotDone, match=r"1 refused.*; `result` of this error") as caught:
        await rows
    made: Any = caught.value.result
    assert made.status == "nothing"

    opened = store.open()
    await Marks(opened, await load_campaign(opened, made.id)).stop()
    with pytest.raises(NotDone, match=r"not done: the campaign was stopped.*; `result` of this error") as caught:
        await campaign_shard(made.id, 1, credentials, store)
    shard: Any = caught.value.result
    assert shard["left"].startswith("the campaign was stopped")
    assert serving.charges == []
