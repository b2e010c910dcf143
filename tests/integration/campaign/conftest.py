"""A desk with a storyboard, a table and an emulator of its own, whose jobs end at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.campaigns import desk
from tests.support.emulating import RunningEmulator

__all__ = ["desk"]


@pytest.fixture
def emulator() -> Iterator[RunningEmulator]:
    with RunningEmulator.start(latency=0.025) as running:
        yield running
