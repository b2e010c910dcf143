"""A store that counts what is asked of it."""

from __future__ import annotations

from collections import Counter

from prefect_seedance.storage.store import Store
from tests.support.renderer import HookedStore


class CountedStore(HookedStore):
    """Counts operations by kind; of a bucket each would be a request."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner, self._count)
        self.operations: Counter[str] = Counter()
        self.asked: list[str] = []

    async def _count(self, moment: str, path: str) -> None:
        when, kind = moment.split()
        if when == "before":
            self.operations[kind] += 1
            self.asked.append(f"{kind} {path}")

    def clear(self) -> None:
        self.operations.clear()
        self.asked.clear()
