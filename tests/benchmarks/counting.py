"""Counting what a process asks of its Prefect server (httpx logs every request that it makes) and of its store."""

from __future__ import annotations

import logging
import os
from typing import Any

from prefect_seedance.storage.local import LocalStore


class PrefectCalls(logging.Handler):
    """How many requests went to the Prefect API; events go by websocket and are not among them."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        logger = logging.getLogger("httpx")
        logger.setLevel(logging.INFO)
        logger.addHandler(self)
        logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        self.count += os.environ["PREFECT_API_URL"] in record.getMessage()


class StoreRequests:
    """How many operations were asked of a store in a folder; of a bucket each would be a request."""

    def __init__(self) -> None:
        self.count = 0
        on_disk: Any = LocalStore._on_disk

        async def counted(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            return await on_disk(*args, **kwargs)

        LocalStore._on_disk = counted  # type: ignore[method-assign]
