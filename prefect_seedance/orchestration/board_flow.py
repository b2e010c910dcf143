"""Flows that take a whole storyboard as a parameter, which may be more than Prefect's API takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import copy
from typing import Any, ParamSpec, Self, TypeVar

from prefect import Flow
from prefect.settings import get_current_settings

from prefect_seedance.errors import BadInput

P = ParamSpec("P")
R = TypeVar("R")

MOST_BYTES = 512 * 1024
"""What Prefect's API takes, where its settings do not say."""


class BoardFlow(Flow[P, R]):
    """A flow that says in one sentence that its parameters are too large, before anything happens."""

    def with_options(self, **options: Any) -> Self:
        """As Prefect does, but of this class: Prefect makes a plain `Flow`, without its promises."""
        changed = copy(self)
        vars(changed).update(vars(super().with_options(**options)))
        return changed

    def serialize_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """As Prefect sends them to its API, which refuses what is too large with an error of its own; `BadInput`."""
        serialized = super().serialize_parameters(parameters)
        size = len(json.dumps(serialized, separators=(",", ":")).encode())
        most = getattr(get_current_settings().server.api, "max_parameter_size", MOST_BYTES)
        if 0 < most < size:
            raise BadInput(
                f"This storyboard makes {size:,} bytes of parameters, and Prefect takes {most:,}; nothing was "
                "submitted; save it as a YAML or JSON file that the worker can read (or s3://…), and give its path."
            )
        return serialized


def board_flow(**options: Any) -> Callable[[Callable[P, R]], BoardFlow[P, R]]:
    """Prefect's `flow`, with the same *options*, for a function that takes a storyboard."""
    return lambda function: BoardFlow(function, **options)


class TableFlow(BoardFlow[P, R]):
    """A flow whose `table` may be the rows of a program. They are not sent to Prefect's API: it would keep them all."""

    def serialize_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """As `BoardFlow` does, but for the rows, which are read once and may be of any number."""
        table = parameters.get("table")
        seen = {} if table is None or isinstance(table, str) else {"table": "the rows of a program"}
        return super().serialize_parameters(parameters | seen)


def table_flow(**options: Any) -> Callable[[Callable[P, R]], TableFlow[P, R]]:
    """Prefect's `flow`, with the same *options*, for a function that takes a table."""
    return lambda function: TableFlow(function, **options)
