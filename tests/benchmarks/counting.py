"""Counting what a process asks of its Prefect server: httpx logs every request that it makes."""

from __future__ import annotations

import logging
import os


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
