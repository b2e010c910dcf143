"""Prefect tasks: thin wrappers that decide nothing. Each is safe to repeat, because the ledger decides.

Nothing here is cached by Prefect: its cache runs a task again whenever it can't be read, and a submit would pay again.
Every task takes a *run* that shares its client, its budget and its places in flight; without one it makes its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from prefect_seedance.errors import (
    BadInput,
    DownloadFailed,
    LedgerUnreadable,
    LinkDead,
    NeedsAttention,
    OverBudget,
    StillRunning,
    StoreUnavailable,
)
from prefect_seedance.generation import frames
from prefect_seedance.generation.session import Run
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Record
from prefect_seedance.ledger.rules import History
from prefect_seedance.models import Footage, Request
from prefect_seedance.orchestration.blocks import RunpodCredentials, VideoStore
from prefect_seedance.production.manifest import Manifest, ShotResult
from prefect_seedance.production.write import assemble_film as assemble
from prefect_seedance.production.write import write_production as write
from prefect_seedance.runpod.client import open_client
from prefect_seedance.sources.images import PictureSource

FOR_A_PERSON = (BadInput, OverBudget, NeedsAttention, StillRunning, LedgerUnreadable, LinkDead)


def safe_to_repeat(task: Any, task_run: Any, state: Any) -> bool:
    """Retry what another try can mend, and nothing that waits for a person. A plain function: Prefect needs one."""
    error = getattr(state.data, "result", state.data)  # not state.result(), which an async task would have to await
    return isinstance(error, StoreUnavailable | DownloadFailed) and not isinstance(error, FOR_A_PERSON)


@asynccontextmanager
async def own_or(run: Run | None, credentials: RunpodCredentials, store: VideoStore) -> AsyncIterator[Run]:
    """*run*, or one of its own for a task that is used alone."""
    if run is not None:
        yield run
        return
    opened = store.open()
    account = credentials.account()
    await opened.belongs_to(account.kind)
    await opened.prove()
    try:
        async with open_client(account) as client:
            yield Run(client, Ledger(opened))
    finally:
        await opened.aclose()


@task(task_run_name="submit clip: {request.prompt:.40}", retries=0, cache_policy=NO_CACHE, persist_result=False)
async def submit_clip(
    request: Request,
    credentials: RunpodCredentials,
    store: VideoStore,
    image: str | None = None,
    last_image: str | None = None,
    *,
    retry: bool = False,
    run: Run | None = None,
) -> Record:
    """Make sure that a job for *request* was submitted, once and by whomever, and return its last record.

    *image* and *last_image* are paths in the store or https links. Raises `OverBudget` before anything is submitted.
    Without retries and without a time limit on purpose: either could cut between the payment and its record.
    """
    async with own_or(run, credentials, store) as own:
        return _last(await own.submit(request, image, last_image, retry=retry))


@task(
    task_run_name="wait for clip: {record.request.prompt:.40}",
    retries=2,
    retry_delay_seconds=5,
    retry_condition_fn=safe_to_repeat,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def wait_for_clip(
    record: Record, credentials: RunpodCredentials, store: VideoStore, *, run: Run | None = None
) -> Record:
    """Wait until the job of *record* has ended, or go on waiting where an earlier run stopped. Costs nothing."""
    async with own_or(run, credentials, store) as own:
        return _last(await own.wait(await own.history_of(record)))


@task(
    task_run_name="persist clip: {record.request.prompt:.40}",
    retries=3,
    retry_delay_seconds=10,
    retry_condition_fn=safe_to_repeat,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def persist_clip(
    record: Record, credentials: RunpodCredentials, store: VideoStore, *, run: Run | None = None
) -> Record:
    """Bring the clip of a completed job into the store: whole, decoded, hashed. Costs nothing."""
    async with own_or(run, credentials, store) as own:
        return _last(await own.persist(await own.history_of(record)))


@task(task_run_name="publish image: {source.picture.source}", retries=2, retry_delay_seconds=5, cache_policy=NO_CACHE)
async def publish_image(source: PictureSource, size: str, store: VideoStore, *, run: Run | None = None) -> str:
    """Put a picture, cropped to the ratio of *size* if it asks for that, where the provider can fetch it.

    Returns its path in the store, or its own https link where the store can't be reached from outside.
    """
    opened = run.ledger.store if run else store.open()
    return await frames.publish_picture(opened, source, size)


@task(
    task_run_name="take last frame: {record.request.prompt:.40}",
    retries=2,
    retry_delay_seconds=5,
    cache_policy=NO_CACHE,
)
async def take_last_frame(record: Record, store: VideoStore, *, run: Run | None = None) -> str:
    """Keep the true last frame of a stored clip under `stills/` and return its path in the store."""
    opened = run.ledger.store if run else store.open()
    return await frames.take_last_frame(opened, record)


@task(task_run_name="assemble film", retries=2, retry_delay_seconds=5, cache_policy=NO_CACHE)
async def assemble_film(clips: Sequence[str], target: str, store: VideoStore) -> Footage:
    """Join stored clips, in order, into one film at *target*: copied where they agree, re-encoded where not."""
    return await assemble(store.open(), clips, target)


@task(task_run_name="write production", retries=2, retry_delay_seconds=5, cache_policy=NO_CACHE)
async def write_production(
    title: str, shots: Sequence[ShotResult], store: VideoStore, *, run: Run | None = None, **facts: Any
) -> tuple[Manifest, str]:
    """Leave what people open: manifest, film, timeline, review page, shots in order. Returns it and its folder."""
    opened = run.ledger.store if run else store.open()
    return await write(opened, title=title, shots=shots, **facts)


def _last(history: History) -> Record:
    if history.last is None:
        raise LedgerUnreadable(f"{history.key} has no history though a step was just taken; nothing more is submitted.")
    return history.last
