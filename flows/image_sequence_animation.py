"""Animate a sequence of pictures: one clip per picture, or from each to the next, joined in order."""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from prefect_seedance.blocks import RunpodCredentials, SpendingLimits, VideoStore
from prefect_seedance.cancelling import cancel_jobs_of_run
from prefect_seedance.catalog_file import load_catalog
from prefect_seedance.models import Manifest
from prefect_seedance.rendering import Options, render_board
from prefect_seedance.sequence import read_sequence
from prefect_seedance.storyboard import Defaults

Dollars = Annotated[float, Field(gt=0)]


@flow(name="image-sequence-animation", flow_run_name="animate", on_cancellation=[cancel_jobs_of_run])
async def image_sequence_animation(
    images: str,
    prompt: str,
    credentials: RunpodCredentials,
    store: VideoStore,
    defaults: Defaults | None = None,
    between: bool = False,
    title: str | None = None,
    style: str = "",
    limits: SpendingLimits | None = None,
    budget: Dollars | None = None,
    approve: str | None = None,
    max_in_flight: Annotated[int, Field(ge=1, le=1000)] = 10,
    retry_failed: Annotated[int, Field(ge=0, le=5)] = 0,
    wait_minutes: Annotated[float, Field(gt=0)] = 60.0,
    cancel_jobs: bool = False,
) -> State[Manifest]:
    """Animate a folder, a glob, an s3:// prefix or a CSV of pictures, in natural order.

    Args:
        images: Where the pictures are.
        prompt: What happens in every picture; `name.txt` beside a picture, or a column, replaces it.
        credentials: The Runpod account that pays.
        store: Where clips, ledger and productions live.
        defaults: Model, size, duration and frame rate of the clips.
        between: Go from each picture to the next, with a model that takes a last frame.
        title: Of the production; the folder's name without it.
        style: Joined to every prompt.
        limits: What may be spent per run, day and month, and above what a person has to approve.
        budget: The most that this run may spend, in dollars.
        approve: The hash of a plan that a person has approved.
        max_in_flight: How many jobs may be out at once.
        retry_failed: New attempts for a job that failed; failed jobs are not charged.
        wait_minutes: How long to wait for a job before leaving it to the collector.
        cancel_jobs: Whether cancelling this run also cancels its jobs at Runpod, which may still charge them.
    """
    options = Options.of(limits, budget, approve, max_in_flight, retry_failed, wait_minutes)
    catalog = load_catalog()
    board = await read_sequence(
        images,
        prompt=prompt,
        defaults=defaults or Defaults(),
        catalog=catalog,
        store=store.open(),
        between=between,
        allow_private=credentials.account().kind == "pretend",
        title=title,
        style=style,
    )
    return await render_board(board, credentials, store, options, catalog)
