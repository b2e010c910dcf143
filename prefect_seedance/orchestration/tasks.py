"""Prefect tasks: thin wrappers that decide nothing. Each is safe to repeat, because the ledger decides.

Nothing here is cached by Prefect, whose cache runs a task again whenever it can't be read: it keeps no promise about
money, and the ledger does.
Tasks that a board run awaits share its session; one that is used alone opens its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from prefect_seedance.budget.limits import Limits
from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.budget.run_budget import Priced, RunBudget
from prefect_seedance.catalog.endpoints import Catalog
from prefect_seedance.catalog.loading import refuse_wrong
from prefect_seedance.catalog.pricing import upper
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
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.durable import run_to_completion
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Record
from prefect_seedance.ledger.writer import this_writer
from prefect_seedance.models import Footage, Request
from prefect_seedance.orchestration.blocks import RunpodCredentials, VideoStore
from prefect_seedance.orchestration.logs import log
from prefect_seedance.production.film import assemble_film as assemble
from prefect_seedance.production.manifest import Manifest
from prefect_seedance.production.write import Content
from prefect_seedance.production.write import write_production as write
from prefect_seedance.rendering.steps import DirectSteps
from prefect_seedance.runpod.client import open_client
from prefect_seedance.sources.catalog import catalog_of
from prefect_seedance.sources.images import PictureSource
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.texts import text_problem

FOR_A_PERSON = (BadInput, OverBudget, NeedsAttention, StillRunning, LedgerUnreadable, LinkDead)


def safe_to_repeat(task: Any, task_run: Any, state: Any) -> bool:
    """Retry what another try can mend, and nothing that waits for a person. A plain function: Prefect needs one."""
    error = getattr(state.data, "result", state.data)  # not state.result(), which an async task would have to await
    return isinstance(error, StoreUnavailable | DownloadFailed) and not isinstance(error, FOR_A_PERSON)


_SESSION: ContextVar[RenderSession | None] = ContextVar("render session of this board run", default=None)


@contextmanager
def sharing(session: RenderSession) -> Iterator[None]:
    """Within this context tasks use *session*: its client, its budget, its places in flight."""
    token = _SESSION.set(session)
    try:
        yield
    finally:
        _SESSION.reset(token)


@asynccontextmanager
async def session_or_new(
    credentials: RunpodCredentials, store: VideoStore, request: Request | None = None
) -> AsyncIterator[RenderSession]:
    """The session of the board run that awaits this task, or a new one for a task that is used alone.

    A new one may pay for *request* and for nothing else; other runs' limits count it once the task has ended.
    """
    if (shared := _SESSION.get()) is not None:
        yield shared
        return
    account, run_id = credentials.account(), flow_run.get_id()
    account.check()
    opened = store.open()
    ledger = Ledger(opened)
    try:
        catalog = await catalog_of(opened)
        if request is not None:
            refuse_wrong(request, catalog)
            if not request.is_speech and (problem := text_problem(request.prompt, "prompt")):
                raise BadInput(f"{problem}; nothing was submitted.")
        budget = _budget_for(request, catalog, ledger, run_id)
        await opened.belongs_to(account.kind)
        await opened.prove()
        async with open_client(account) as client:
            try:
                yield RenderSession(client, ledger, catalog=catalog, budget=budget, flow_run_id=run_id)
            finally:
                for line in await run_to_completion(budget.close):
                    log().warning(line)
    finally:
        await opened.aclose()


def _budget_for(request: Request | None, catalog: Catalog, ledger: Ledger, flow_run_id: str | None) -> RunBudget:
    prices = {key_of(request): upper(request, catalog[request.model])} if request else {}
    spend = MonthlySpend(ledger.store)
    return RunBudget(priced=Priced(prices, Limits(), spend, ledger.load_whole, this_writer(flow_run_id)))


@asynccontextmanager
async def _store_of(store: VideoStore) -> AsyncIterator[Store]:
    if (shared := _SESSION.get()) is not None:
        yield shared.ledger.store
        return
    opened = store.open()
    try:
        yield opened
    finally:
        await opened.aclose()


@task(task_run_name="submit clip: {request.prompt:.40}", retries=0, cache_policy=NO_CACHE, persist_result=False)
async def submit_clip(
    request: Request,
    credentials: RunpodCredentials,
    store: VideoStore,
    image: str | None = None,
    last_image: str | None = None,
    references: Sequence[str] = (),
    *,
    retry: bool = False,
) -> Record:
    """Make sure that a job for *request* was submitted, once and by whomever, and return its last record.

    *image*, *last_image* and *references* are paths in the store or https links. Raises `OverBudget` before anything is
    submitted.
    Without retries and without a time limit on purpose: either could cut between the payment and its record.
    """
    async with session_or_new(credentials, store, request) as session:
        return await DirectSteps(session).submit("", request, image, last_image, references, retry=retry)


@task(
    task_run_name="wait for clip: {record.request.prompt:.40}",
    retries=2,
    retry_delay_seconds=5,
    retry_condition_fn=safe_to_repeat,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def wait_for_clip(record: Record, credentials: RunpodCredentials, store: VideoStore) -> Record:
    """Wait until the job of *record* has ended, or go on waiting where an earlier run stopped. Costs nothing."""
    async with session_or_new(credentials, store) as session:
        return await DirectSteps(session).wait("", record)


@task(
    task_run_name="persist clip: {record.request.prompt:.40}",
    retries=3,
    retry_delay_seconds=10,
    retry_condition_fn=safe_to_repeat,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def persist_clip(record: Record, credentials: RunpodCredentials, store: VideoStore) -> Record:
    """Bring the clip of a completed job into the store: whole, decoded, hashed. Costs nothing."""
    async with session_or_new(credentials, store) as session:
        return await DirectSteps(session).persist("", record)


@task(
    task_run_name="publish image: {source.picture.source}",
    retries=2,
    retry_delay_seconds=5,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def publish_image(source: PictureSource, size: str, store: VideoStore) -> str:
    """Put a picture, cropped to the ratio of *size* if it asks for that, where the provider can fetch it.

    Returns its path in the store, or its own https link where the store can't be reached from outside.
    """
    async with _store_of(store) as opened:
        return await frames.publish_picture(opened, source, size)


@task(
    task_run_name="take last frame: {record.request.prompt:.40}",
    retries=2,
    retry_delay_seconds=5,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def take_last_frame(record: Record, store: VideoStore) -> str:
    """Keep the true last frame of a stored clip under `stills/` and return its path in the store."""
    async with _store_of(store) as opened:
        return await frames.take_last_frame(opened, record)


@task(task_run_name="assemble film", retries=2, retry_delay_seconds=5, cache_policy=NO_CACHE, persist_result=False)
async def assemble_film(clips: Sequence[str], target: str, store: VideoStore) -> Footage:
    """Join stored clips, in order, into one silent film at *target*: copied where they agree, re-encoded where not.

    Raises `BadInput` for a *target* that is one of the clips or what the store has for itself.
    """
    async with _store_of(store) as opened:
        return await assemble(opened, clips, target)


@task(task_run_name="write production", retries=2, retry_delay_seconds=5, cache_policy=NO_CACHE, persist_result=False)
async def write_production(content: Content, store: VideoStore) -> tuple[Manifest, str]:
    """Leave what people open: manifest, film, timeline, review page, shots in order. Returns it and its folder."""
    async with _store_of(store) as opened:
        return await write(opened, content)
