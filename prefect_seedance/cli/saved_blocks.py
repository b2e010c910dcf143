"""Blocks by the name under which they are saved in Prefect, for `--store block:NAME` and `--account block:NAME`."""

from __future__ import annotations

from typing import Any

from prefect_seedance.cli import temporary_server
from prefect_seedance.errors import BadInput
from prefect_seedance.orchestration.blocks import RunpodCredentials, VideoStore


def load_store(name: str) -> VideoStore:
    """The saved store `block:NAME`; `BadInput` if there is none."""
    store: VideoStore = _loaded(VideoStore, name)
    return store


def load_credentials(name: str) -> RunpodCredentials:
    """The saved credentials `block:NAME`; `BadInput` if there are none."""
    credentials: RunpodCredentials = _loaded(RunpodCredentials, name)
    return credentials


def _loaded(kind: Any, name: str) -> Any:
    temporary_server.wait_until_ready()
    name = name.removeprefix("block:")
    try:
        return kind.load(name)
    except ValueError as error:
        raise BadInput(
            f"There is no saved {kind.get_block_type_slug()} block named {name}; nothing was submitted; save one in "
            "the Prefect UI under Blocks."
        ) from error
