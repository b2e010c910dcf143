"""The emulator's jobs: what was accepted, what becomes of it as its clock runs, and what it costs."""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TextIO

from prefect_seedance import pricing
from prefect_seedance.catalog import KNOWN, Model, nearest_ratio
from prefect_seedance.emulator_faults import MODERATED, Rule
from prefect_seedance.models import Request

RECORD_KEPT = 30 * 60
LINK_KEPT = 7 * 24 * 3600
NATIVE = {"1920x1080": "1920x1088", "1280x720": "1248x704", "854x480": "864x480"}
"""The size that a clip comes back in, where it is not the size that was asked for."""

Word = Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"]


@dataclasses.dataclass
class Job:
    """One accepted POST. `began`, `ends` are the emulator's time, `at` is the wall's."""

    id: str
    number: int
    slug: str
    input: dict[str, Any]
    at: str
    accepted: float
    ends: float
    usd: float
    fate: Word = "COMPLETED"
    error: str | None = None
    cost: float | None = None
    purged: bool = False

    @property
    def prompt(self) -> str:
        return str(self.input.get("prompt", ""))

    @property
    def began(self) -> float:
        return self.accepted + (self.ends - self.accepted) / 5

    def word(self, now: float) -> Word:
        """The status word at *now*. A fate of IN_PROGRESS is a job that never ends."""
        if now < self.ends:
            return "IN_QUEUE" if now < self.began else "IN_PROGRESS"
        return self.fate

    def known(self, now: float) -> bool:
        return self.accepted <= now and not self.purged and (self.fate == "IN_PROGRESS" or now < self.ends + RECORD_KEPT)

    def charge(self, now: float) -> float:
        """Dollars: the price from acceptance on, nothing for a failure, unless it reports a cost."""
        if self.word(now) in ("FAILED", "TIMED_OUT", "CANCELLED") and self.cost is not None:
            return self.cost
        return 0 if self.word(now) in ("FAILED", "TIMED_OUT") else self.usd
