"""Prefect as the command line uses it: quiet on the terminal, with time for a first start, and with an API.

Settings have to be in the environment before Prefect is imported, so nothing here imports it.
"""

from __future__ import annotations

import os

from prefect_seedance.cli import temporary_server

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


def prepare_prefect() -> None:
    """Make Prefect quiet and see that it has an API. Call it before anything imports Prefect; again does nothing."""
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
    temporary_server.start_unless_configured()
