"""The jobs of a cancelled run are cancelled at Runpod; one whose cancelling it does not take is told with its price."""

from __future__ import annotations

import logging

import pytest
from pydantic import SecretStr

from prefect_seedance.generation.poll_times import Waiting
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.orchestration.blocks import RunpodCredentials
from prefect_seedance.orchestration.cancellation import cancel_jobs
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator
from tests.support.generating import rendered
from tests.support.renderer import small


async def test_a_job_whose_cancelling_is_refused_does_not_pass_for_cancelled(
    emulator: RunningEmulator, folder_store: Store, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.fault("run", "never")
    emulator.fault("run", "never")
    waiting = Waiting(first=0.05, pause=0.05, longest=0.1, deadline=0.5)
    async with RunpodClient(account) as client:
        session = RenderSession(client, Ledger(folder_store), waiting=waiting, flow_run_id="one")
        await rendered(session, small("A lamp."), small("A boat."))
    emulator.fault("cancel", "status", code=500, prompt="lamp")
    credentials = RunpodCredentials(api_key=SecretStr(account.api_key), base_url=account.base_url)
    with caplog.at_level(logging.WARNING, logger="prefect_seedance"):
        taken = await cancel_jobs(Ledger(folder_store), credentials, "one")
    assert (len(taken), emulator.calls()["cancel"]) == (1, 2)
    [told] = [record.getMessage() for record in caplog.records if "did not take the cancelling" in record.message]
    assert taken[0] not in told
    assert "it goes on and may be charged" in told
    assert len(emulator.bill()["charges"]) == 2
