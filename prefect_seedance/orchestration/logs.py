"""Lines for whoever watches a run, on the terminal and in the UI; and the names that runs go by."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from prefect_seedance.storyboard.schema import Storyboard
from prefect_seedance.storyboard.texts import title_of
from prefect_seedance.text import printable as in_short

TERMINAL = logging.getLogger("prefect_seedance.progress")
"""What the command line prints while a flow runs."""


def log() -> Any:
    """The run's logger, or a plain one outside of runs."""
    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger(__name__)


def log_line(line: str, *, logged: bool = True) -> None:
    """One line for whoever watches the run, on the terminal and, where it is *logged*, in the run's log in the UI."""
    TERMINAL.info(line)
    if logged:
        log().info(line)


def run_name(verb: str) -> Callable[[], str]:
    """Names a flow run after what it works on: "render The lighthouse", "animate frames". Never a link's secrets."""

    def name() -> str:
        given = flow_run.get_parameters()
        what = given.get("title") or given.get("storyboard") or given.get("images") or ""
        if isinstance(what, Storyboard):
            what = title_of(what.title, what.variables)
        elif not given.get("title"):
            what = re.sub(r".*[/\\@]|\.\w+$", "", re.split(r"[?#*\[]", str(what))[0].rstrip("/\\"))
        return f"{verb} {in_short(what, 60)}".strip()

    return name
