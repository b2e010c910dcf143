"""What a run has just brought home and its production needs again, so that nothing is fetched or looked up twice."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from prefect_seedance.storage.store import Store


class AtHand:
    """Clips, as local files, and what has a poster, both by the sha256 of the clip."""

    def __init__(self, *, keeps_files: bool = False) -> None:
        """*keeps_files* only where clips go to a bucket and somebody will `forget` them."""
        self.posters: set[str] = set()
        self._files: dict[str, Path] = {}
        self._keeps_files = keeps_files

    def keep(self, file: Path, sha256: str) -> None:
        """Keep the verified clip *file*, under another name beside it."""
        kept = file.with_name(f"{secrets.token_hex(8)}{file.suffix}")
        if self._keeps_files and sha256 not in self._files:
            with suppress(OSError):  # then it is fetched again
                os.replace(file, kept)
                self._files[sha256] = kept

    def file(self, sha256: str) -> Path | None:
        """The clip, if it is at hand."""
        return self._files.get(sha256)

    def forget(self) -> None:
        """Remove the files."""
        while self._files:
            _, file = self._files.popitem()
            file.unlink(missing_ok=True)


@asynccontextmanager
async def kept_at_hand(store: Store) -> AsyncIterator[AtHand]:
    """What a run over *store* keeps at hand, until its production is there."""
    at_hand = AtHand(keeps_files=in_a_bucket(store))
    try:
        yield at_hand
    finally:
        await asyncio.to_thread(at_hand.forget)


def in_a_bucket(store: Store) -> bool:
    return store.url.startswith("s3://")
