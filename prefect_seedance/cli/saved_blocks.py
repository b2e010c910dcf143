"""Blocks by the name under which they are saved in Prefect, for `--store block:NAME` and `--account block:NAME`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import httpx

from prefect_seedance.cli import temporary_server
from prefect_seedance.errors import BadInput
from prefect_seedance.orchestration.blocks import RunpodCredentials, VideoStore


def load_store(name: str, public_base_url: str | None = None) -> VideoStore:
    """The saved store `block:NAME`, served from *public_base_url* where one is given; `BadInput` if there is none."""
    store: VideoStore = _loaded(VideoStore, name)
    return store if public_base_url is None else store.model_copy(update={"public_base_url": public_base_url})


def load_credentials(name: str) -> RunpodCredentials:
    """The saved credentials `block:NAME`; `BadInput` if there are none."""
    credentials: RunpodCredentials = _loaded(RunpodCredentials, name)
    return credentials


def _loaded(kind: Any, name: str) -> Any:
    temporary_server.wait_until_ready()
    name = name.removeprefix("block:")
    try:
        with ThreadPoolExecutor(1) as thread:  # beside a running loop Prefect would hand out a coroutine
            return thread.submit(copy_context().run, kind.load, name).result()
    except ValueError as error:
        raise BadInput(
            f"There is no saved {kind.get_block_type_slug()} block named {name}; nothing was submitted; save one in "
            "the Prefect UI under Blocks."
        ) from error
    except (httpx.HTTPError, RuntimeError) as error:
        raise BadInput(
            f"The Prefect API did not hand out the block {name} ({type(error).__name__}: {error}); nothing was "
            "submitted; start it, or name the place itself."
        ) from error
