"""Animate a sequence of pictures: one clip per picture, or from each to the next, joined in order."""

from __future__ import annotations

from contextlib import aclosing
from typing import cast

from prefect import flow

from prefect_seedance.orchestration import logs
from prefect_seedance.orchestration.blocks import RunpodCredentials, SpendingLimits, VideoStore
from prefect_seedance.orchestration.cancellation import cancel_jobs_of_run, say_if_it_may_cancel_none
from prefect_seedance.orchestration.production import KEPT_AS, Production
from prefect_seedance.orchestration.render import options_of, render_board
from prefect_seedance.orchestration.shared_limits import share_quotas
from prefect_seedance.rendering.options import Dollars, InFlight, Minutes, Retries
from prefect_seedance.sources.catalog import catalog_of
from prefect_seedance.storyboard.reading import Defaults
from prefect_seedance.storyboard.sequence import read_sequence


@flow(
    name="image-sequence-animation",
    flow_run_name=logs.run_name("animate"),
    on_cancellation=[cancel_jobs_of_run],
    persist_result=True,
    result_serializer=KEPT_AS,
)
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
    max_in_flight: InFlight = 10,
    retry_failed: Retries = 0,
    wait_minutes: Minutes = 60.0,
    cancel_jobs: bool = False,
    fail_on_partial: bool = False,
) -> Production:
    """Animate a folder, a glob, an s3:// prefix or a CSV of pictures, in natural order.

    Args:
        images: A folder, a glob such as frames/*.png, an s3:// prefix or a CSV, where the worker can read it.
        prompt: What happens in every picture; a file `name.txt` beside `name.png`, or a column `prompt`, replaces it.
        credentials: The Runpod account that pays.
        store: Where clips and productions go. It knows what is paid for already, so use the same one every time.
        defaults: Model, size, duration and frame rate of the clips, where they are not the usual ones.
        between: Go from each picture to the next, instead of from each alone; the model has to take a last frame.
        title: The name of the film; without it that of the folder.
        style: Joined to the end of every prompt, so that all clips look alike.
        limits: What may be spent per run, day and month, and above which price a person has to approve.
        budget: The most that this run may spend, in US dollars; a plan that costs more is not begun.
        approve: The hash of a plan that you have seen and approve; without it the limits decide whether you are asked.
        max_in_flight: How many jobs may be out at Runpod at once.
        retry_failed: How many new attempts a failed job gets; failed jobs are not charged.
        wait_minutes: How many minutes to wait for a job; after that the collector brings its clip home.
        cancel_jobs: Whether cancelling this run also cancels its jobs at Runpod, which may still charge them. Sure
            only of a deployment's own run: a subflow, or a flow called from Python, may not hear of it.
        fail_on_partial: Whether a run that stores some of its shots and not all counts as failed; its clips stay.
    """
    say_if_it_may_cancel_none(cancel_jobs)
    options = options_of(limits, budget, approve, max_in_flight, retry_failed, wait_minutes)
    async with aclosing(store.open()) as opened:
        catalog = await catalog_of(opened)
        board = await read_sequence(
            images,
            prompt=prompt,
            defaults=defaults or Defaults(),
            catalog=catalog,
            store=opened,
            between=between,
            allow_private=credentials.account().kind == "pretend",
            title=title,
            style=style,
        )
        await share_quotas(credentials.account())
        # Prefect hands on what the state holds.
        return cast(
            "Production",
            await render_board(board, credentials, store, options, catalog, fail_on_partial=fail_on_partial),
        )
