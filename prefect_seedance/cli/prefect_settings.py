"""Prefect as the command line uses it: quiet on the terminal, with time for a first start, and blocks by name.

The settings have to be in the environment before Prefect is imported, so they are made when this module is.
"""

from __future__ import annotations

import os
from typing import Any

QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    # Only the terminal is quiet: a configured Prefect API still gets the logs of the run.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_CLI_PROMPT": "false",
    # A call to a server that has died takes 6 s and not 62, and that it misses events is not printed.
    "PREFECT_CLIENT_MAX_RETRIES": "2",
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
    # A first start makes a database, which takes up to 40 s on two cores.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}
os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})

from prefect_seedance.errors import BadInput  # noqa: E402
from prefect_seedance.orchestration.blocks import RunpodCredentials, VideoStore  # noqa: E402


def load_store(name: str) -> VideoStore:
    """The saved store `block:NAME`; `BadInput` if there is none."""
    store: VideoStore = _loaded(VideoStore, name)
    return store


def load_credentials(name: str) -> RunpodCredentials:
    """The saved credentials `block:NAME`; `BadInput` if there are none."""
    credentials: RunpodCredentials = _loaded(RunpodCredentials, name)
    return credentials


def _loaded(kind: Any, name: str) -> Any:
    name = name.removeprefix("block:")
    try:
        return kind.load(name)
    except ValueError as error:
        raise BadInput(
            f"There is no saved {kind.get_block_type_slug()} block named {name}; nothing was submitted; save one in "
            "the Prefect UI under Blocks."
        ) from error
