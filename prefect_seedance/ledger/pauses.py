"""How long to wait before trying again."""

from __future__ import annotations

import random
from collections.abc import Iterator


def pauses(first: float, longest: float, *, least: float = 0.5) -> Iterator[float]:
    """Seconds to wait before each further try: doubling from *first* to *longest*, random above *least* of each."""
    while True:
        yield first * random.uniform(least, 1.0)
        first = min(first * 2, longest)
