"""Keys in doubt: what is unclear, and what was lost."""

from __future__ import annotations

import contextlib

from prefect_seedance.errors import StillRunning
from prefect_seedance.generation.poll import wait
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.generation.submit import submit
from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.ledger.rules import History
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator
from tests.support.renderer import QUICK, age_the_notes, small


async def an_unclear_one(emulator: RunningEmulator, run: RenderSession, prompt: str, fault: str = "drop") -> Record:
    """Dropped before it was accepted, or with "drop_after" after that."""
    emulator.fault("run", fault, prompt=prompt)
    history = await submit(run, small(prompt))
    assert history.state is Step.UNCLEAR
    assert history.last is not None
    return history.last


async def a_lost_one(
    run: RenderSession, history: History, store: Store, emulator: RunningEmulator, prompt: str
) -> Record:
    """By a 404 that was seen again after the grace."""
    emulator.fault("status", "hidden", times=2, prompt=prompt)
    for _ in range(2):
        with contextlib.suppress(StillRunning):
            history = await wait(run, history, deadline=0)
        age_the_notes(store, QUICK.grace)
        run = RenderSession(run.client, run.ledger, waiting=QUICK)
    assert history.last is not None
    assert history.last.step is Step.LOST
    return history.last
