"""How long to wait before trying again."""

from __future__ import annotations

import random
from collections.abc import Iterator


def pauses(first: float, longest: float) -> Iterator[float]:
    """Seconds to wait before each further try: doubling from *first* to *longest*, each of them half random."""
    while True:
        yield first * random.uniform(0.5, 1.0)
        first = min(first * 2, longest)
