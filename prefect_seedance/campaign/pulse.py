"""How a shard that runs elsewhere is known to live, and how it has ended: two small files of the store.

So whoever waits for it needs neither its process nor a server: the end of a run is read where its results are.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pydantic import ValidationError

from prefect_seedance.campaign.document import Campaign, Shard
from prefect_seedance.campaign.results import ShardResult
from prefect_seedance.campaign.shard import begin, note_of
from prefect_seedance.errors import (
    ApiUnreachable,
    BadInput,
    BadStore,
    Missing,
    NotApproved,
    OverBudget,
    SeedanceError,
    StoreUnavailable,
)
from prefect_seedance.ledger.writer import is_gone
from prefect_seedance.models import Frozen
from prefect_seedance.storage.store import Store

SECONDS = 30.0
"""Between two signs of life of a shard."""


KINDS = (BadInput, BadStore, StoreUnavailable, ApiUnreachable, OverBudget, NotApproved)
"""Errors that a campaign, or its exit code, tells from others."""


@dataclass(frozen=True)
class Pulse:
    """A sign of life: another one than the last while the run lives. `gone`: its process surely does not."""

    nonce: str
    gone: bool


@asynccontextmanager
async def pulsing(
    store: Store, campaign: Campaign, shard: Shard, run: str, *, seconds: float = SECONDS
) -> AsyncIterator[None]:
    """Give signs of life for *run* meanwhile, and none after it. Whatever keeps them from being given ends no shard."""
    ended = asyncio.Event()

    async def give() -> None:
        while True:
            with contextlib.suppress(TimeoutError):  # its first is the note with which a shard begins
                await asyncio.wait_for(ended.wait(), seconds)
                return
            with contextlib.suppress(Exception):
                await begin(store, campaign, shard, run)

    giving = asyncio.create_task(give())
    try:
        yield
    finally:
        ended.set()
        await giving


async def pulse_of(store: Store, campaign: Campaign, shard: Shard, run: str) -> Pulse | None:
    """The last sign of life of *run*; None where it has given none."""
    note = await note_of(store, campaign, shard)
    if note is None or note.writer.flow_run_id != run:
        return None
    return Pulse(note.nonce, is_gone(note.writer))


class End(Frozen):
    """How a run of a shard has ended, as it says itself: with a result, or with an error of ours."""

    run: str
    result: ShardResult | None = None
    error: str | None = None
    message: str = ""


def end_path(campaign: Campaign, shard: Shard) -> str:
    return f"{campaign.folder}/ended/{shard.name}.json"


async def leave_end(store: Store, campaign: Campaign, shard: Shard, run: str, end: ShardResult | SeedanceError) -> None:
    """Say for whoever waits how *run* has ended. Where the store does not take it, its results have to do."""
    if isinstance(end, SeedanceError):
        note = End(run=run, error=type(end).__name__, message=str(end))
    else:
        note = End(run=run, result=end)
    with contextlib.suppress(SeedanceError):
        await store.write(end_path(campaign, shard), note.model_dump_json(indent=1).encode(), "application/json")


async def end_of(store: Store, campaign: Campaign, shard: Shard, run: str) -> ShardResult | SeedanceError | None:
    """How *run* says that it has ended; None where it has not said it."""
    try:
        end = End.model_validate_json(await store.read(end_path(campaign, shard)))
    except (Missing, ValidationError):
        return None
    return (end.result or _error_of(end)) if end.run == run else None


def _error_of(end: End) -> SeedanceError:
    return next((kind(end.message) for kind in KINDS if kind.__name__ == end.error), SeedanceError(end.message))
