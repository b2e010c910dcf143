"""Counting what a process asks of its Prefect server (httpx logs every request that it makes), of its store and of the
media host."""

from __future__ import annotations

import datetime
import json
import logging
import os
import statistics
import time
from pathlib import Path
from typing import Any

from prefect_seedance.runpod.client import RunpodClient
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


class Lags:
    """How long jobs wait: from their end until it is seen, and from there until their download begins."""

    def __init__(self) -> None:
        self._begun: dict[Path, float] = {}
        download: Any = RunpodClient.download

        async def noted(client: RunpodClient, link: str, path: Path, **options: Any) -> str:
            told = options["on_begin"]

            def begin() -> None:
                self._begun[path] = time.time()
                told()

            sha256: str = await download(client, link, path, **options | {"on_begin": begin})
            return sha256

        RunpodClient.download = noted  # type: ignore[method-assign, assignment]

    def medians(self, store: Path, latency: float) -> tuple[float, float]:
        """In seconds, where each job takes *latency* of them from its acceptance to its end."""
        seen, fetched = [], []
        for file, begun in self._begun.items():
            key = file.name.rpartition("-")[0]
            record = json.loads((store / "ledger" / key / "0003.json").read_text())
            accepted, completed = (datetime.datetime.fromisoformat(record[name]) for name in ("accepted_at", "at"))
            seen.append((completed - accepted).total_seconds() - latency)
            fetched.append(begun - completed.timestamp())
        return statistics.median(seen or [0.0]), statistics.median(fetched or [0.0])
