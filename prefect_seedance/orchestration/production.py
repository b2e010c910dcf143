"""What a render leaves, as the result of a flow: small enough to be kept, and able to fetch the rest."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from pydantic import Field, PrivateAttr

from prefect_seedance.errors import Missing
from prefect_seedance.models import Frozen, Usd
from prefect_seedance.orchestration.blocks import VideoStore
from prefect_seedance.production.manifest import Manifest, ShotResult
from prefect_seedance.storage.store import Store
from prefect_seedance.text import dollars

KEPT_AS = "compressed/json"
"""How Prefect keeps results. What is kept as plain JSON it may take for a format of its own, and read as a dict."""

FOLDERS = 4
"""A manifest lies at productions/TITLE/TIME/manifest.json below its store."""


class Production(Frozen):
    """Where a production is, what became of its shots and what it cost; `load` fetches its manifest.

    Other processes get it as the result of a deployment run, where they share Prefect's result storage with the worker.
    """

    title: str
    status: Literal["complete", "partial", "nothing"]
    plan_hash: str
    counts: dict[str, int] = Field(description="How many shots have each status, such as stored or unclear.")
    spent_usd: Usd = Field(description="What the run paid.")
    reused_usd: Usd = Field(description="What the clips that were already there had cost.")
    manifest: str | None = Field(None, description="The address of manifest.json; null if it could not be written.")
    film: str | None = Field(None, description="The address of the film, if there is one.")

    _loaded: Manifest | None = PrivateAttr(None)

    @classmethod
    def of(cls, manifest: Manifest, folder: str | None, store: Store) -> Production:
        """The production of *manifest* in *folder* of *store*, or in none, if it could not be written."""
        made = cls(
            title=manifest.title,
            status=manifest.status,
            plan_hash=manifest.plan_hash,
            counts=dict(Counter(shot.status for shot in manifest.shots)),
            spent_usd=manifest.spent_usd,
            reused_usd=manifest.reused_usd,
            manifest=None if folder is None else address_of(store, f"{folder}/manifest.json"),
            film=None if manifest.film is None else address_of(store, manifest.film),
        )
        made._loaded = manifest
        return made

    @property
    def message(self) -> str:
        """What became of it in one line: "2 of 3 shots stored, 1 unclear, $0.24 spent"."""
        stored = self.counts.get("stored", 0)
        others = "".join(f", {count} {status}" for status, count in self.counts.items() if status != "stored")
        return f"{stored} of {sum(self.counts.values())} shots stored{others}, {dollars(self.spent_usd)} spent"

    @property
    def shots(self) -> tuple[ShotResult, ...]:
        """What became of each shot, from the manifest; in another process than the run's it is loaded for that."""
        return self.load().shots

    def load(self, store: VideoStore | None = None) -> Manifest:
        """As `aload`, for whoever does not await, inside a running loop or outside."""
        if self._loaded is not None:
            return self._loaded
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(lambda: asyncio.run(self.aload(store))).result()

    async def aload(self, store: VideoStore | None = None) -> Manifest:
        """The manifest, with what became of each shot.

        *store* is needed where this process can't read the store by itself, as with keys that only a block has.
        Raises `Missing` where it was not written or has been removed.
        """
        if self._loaded is not None:
            return self._loaded
        if self.manifest is None:
            raise Missing("This run could not write its production; its clips are stored: render again for nothing.")
        root, *names = self.manifest.rsplit("/", FOLDERS)
        opened = (store or VideoStore(url=root.removeprefix("file://"))).open()
        try:
            self._loaded = Manifest.model_validate_json(await opened.read("/".join(names)))
        finally:
            await opened.aclose()
        return self._loaded


def address_of(store: Store, path: str) -> str:
    """Where *path* of *store* is, for other programs: s3://bucket/prefix/path, or file:///folder/path."""
    return f"{store.url if '://' in store.url else f'file://{store.url}'}/{path}"
