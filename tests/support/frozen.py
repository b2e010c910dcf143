"""A frozen campaign whose shards run in this process, over a store that may misbehave."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from prefect_seedance.campaign.document import Campaign
from prefect_seedance.campaign.draft import Asked, drafted
from prefect_seedance.campaign.freeze import freeze
from prefect_seedance.campaign.host import QuietHost
from prefect_seedance.campaign.results import ShardResult
from prefect_seedance.campaign.run import CampaignRun
from prefect_seedance.campaign.shard import run_shard
from prefect_seedance.campaign.shards import ShardsHere
from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.errors import SeedanceError, StoreUnavailable
from prefect_seedance.rendering.options import Options
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage.store import Store
from tests.support.campaigns import ONE_SHOT, mugs
from tests.support.renderer import HookedStore


async def frozen_mugs(
    folder: Path, store: Store, account: Account, rows: int, *, shard_size: int = 1, canary: int = 0
) -> Campaign:
    """A campaign of one clip for each of so many mugs."""
    board = folder / "board.yaml"
    board.write_text(textwrap.dedent(ONE_SHOT))
    asked = Asked(str(board), mugs(rows), canary=canary, shard_size=shard_size)
    async with drafted(asked, store, account, KNOWN) as draft:
        return await freeze(draft, store)


class Silent(HookedStore):
    """A store that does not answer what *when* says, given a kind of question ("read", "write" …) and a path."""

    def __init__(
        self, inner: Store, when: Callable[[str, str], bool], error: type[SeedanceError] = StoreUnavailable
    ) -> None:
        async def moment(what: str, path: str) -> None:
            tense, _, kind = what.partition(" ")
            if tense == "before" and when(kind, path):
                raise error(f"The store did not answer for {path}.")

        super().__init__(inner, moment)


class Run:
    """One run of *campaign*. `most` is how many of its shards were out at once; `said` is what it told people."""

    def __init__(
        self, campaign: Campaign, store: Store, account: Account, options: Options, at_once: int = 4, **more: Any
    ) -> None:
        self.said: list[str] = []
        self.out = self.most = 0
        self.store, self.account = store, account
        self.before_shard: Callable[[int], Awaitable[object]] = lambda _: asyncio.sleep(0)
        self.campaign = campaign
        self.running = CampaignRun(campaign, store, account, options, say=self.said.append, **more)
        self.shards = ShardsHere(self._shard, at_once, self.said.append, pauses=more.get("pauses", ()))

    async def _shard(self, number: int, options: Options) -> ShardResult:
        self.out += 1
        self.most = max(self.most, self.out)
        try:
            await self.before_shard(number)
            host = QuietHost(lambda _: None)
            return await run_shard(self.store, self.account, self.campaign.id, number, options, host)
        finally:
            self.out -= 1
