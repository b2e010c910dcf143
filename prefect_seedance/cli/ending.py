"""How a command that has used Prefect ends: without waiting for a server that has died."""

from __future__ import annotations

import os

import httpx

from prefect_seedance.cli import prefect_api
from prefect_seedance.generation import sender


def end_at_once_if_prefect_is_gone(code: int) -> None:
    """End this process with *code* where nothing listens at the Prefect API any more, and return where something does.

    Prefect's client would try to send each event that is left for some seconds: 70 after a board of two shots, and more
    with each shot. Whatever was claimed has its outcome written down before; who writes to stdout and stderr flushes.
    """
    if _answers():
        return
    sender.finish()
    os._exit(code)


def _answers() -> bool:
    """Only what can't be connected to is gone: a server that is slow or refuses may yet take what is left."""
    try:
        httpx.get(f"{prefect_api.url()}/health", timeout=5.0, verify=False)
    except httpx.ConnectError:
        return False
    except (httpx.HTTPError, httpx.InvalidURL):
        pass
    return True
