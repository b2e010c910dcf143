"""A signal ends a run with 128 + its number, whatever comes of the run on the way down but our own sentence."""

from __future__ import annotations

import asyncio
import os
import signal

import httpx
import pytest

from prefect_seedance.cli.stopping import run_stoppable
from prefect_seedance.errors import BadStore, SeedanceError


async def _stopped(raising: Exception) -> None:
    """A run that gets a signal and can't end as it is told to."""
    os.kill(os.getpid(), signal.SIGTERM)
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        raise raising from None


def test_what_prefect_raises_because_its_server_is_gone_changes_no_exit_code_of_a_stopped_run() -> None:
    with pytest.raises(SystemExit) as stopped:
        run_stoppable(_stopped(httpx.ConnectError("All connection attempts failed")))
    assert stopped.value.code == 128 + signal.SIGTERM


def test_what_a_stopped_run_has_to_say_of_its_money_is_said() -> None:
    with pytest.raises(SeedanceError, match="can't be written"):
        run_stoppable(_stopped(BadStore("The store can't be written.")))


def test_what_goes_wrong_in_a_run_that_nobody_stops_is_raised() -> None:
    async def failing() -> None:
        raise ConnectionError("reset")

    with pytest.raises(ConnectionError, match="reset"):
        run_stoppable(failing())
