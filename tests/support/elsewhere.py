"""Whoever runs the shards of a campaign elsewhere, in memory: our own protocol `Runs`, and a frozen campaign for it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Literal

from prefect_seedance.campaign.document import Campaign, Shard
from prefect_seedance.campaign.elsewhere import ShardsElsewhere
from prefect_seedance.campaign.results import ShardResult, result_path
from prefect_seedance.campaign.runs import Away, Runs, Seen
from prefect_seedance.errors import SeedanceError
from prefect_seedance.rendering.options import Options
from prefect_seedance.storage.store import Store

State = Literal["waiting", "starting", "running", "ended"]


def campaign_of(shards: int, store: Store) -> Campaign:
    return Campaign(
        id="mugs-0123456789ab",
        hash="0123456789ab",
        title="Mugs",
        storyboard="board.yaml",
        table="table.csv",
        rows=shards,
        duplicates=0,
        clips=shards,
        matrix={},
        canary=0,
        shard_size=1,
        shards=tuple(Shard(number=n, rows=1, clips=1, first_page=n, sha256="0") for n in range(1, shards + 1)),
        upper_usd=Decimal(shards),
        store=store.url,
        account="a",
        nonce="n",
    )


def result(number: int, **statuses: int) -> ShardResult:
    return ShardResult(
        number=number, statuses=statuses or {"stored": 1}, clips_usd=Decimal("0.05"), spent_usd=Decimal("0.05")
    )


async def leave_result(store: Store, campaign: Campaign, end: ShardResult) -> None:
    await store.write(result_path(campaign, campaign.shard(end.number)), end.model_dump_json().encode())


class RunsInMemory(Runs):
    """A run is known by SHARD.ATTEMPT. `calls` says what was asked.

    While `away` is set nobody answers; while `refuses` is, everything is refused.
    """

    def __init__(self) -> None:
        self.known: dict[str, Seen] = {}
        self.calls: list[str] = []
        self.options: dict[str, Options] = {}
        self.away = False
        self.refuses = False
        self.when_looked: Callable[[], None] = lambda: None

    def _asked(self, what: str) -> None:
        self.calls.append(what)
        if self.away:
            raise Away("it is down")
        if self.refuses:
            raise SeedanceError("The Prefect server refused (HTTP 403).")

    def set(self, run: str, state: State, message: str = "") -> None:
        self.known[run] = replace(self.known[run], state=state, message=message)

    async def of_campaign(self) -> Sequence[Seen]:
        self._asked("of_campaign")
        return list(self.known.values())

    async def begin(self, shard: int, attempt: int, options: Options) -> Seen:
        self._asked("begin")
        name = f"{shard}.{attempt}"
        self.options[name] = options
        return self.known.setdefault(name, Seen(name, shard, attempt, "waiting"))

    async def look(self, ids: Collection[str]) -> Sequence[Seen]:
        self.when_looked()
        self._asked("look")
        return [self.known[one] for one in ids if one in self.known]

    async def is_dead(self, run: str, why: str) -> None:
        self._asked("is_dead")
        self.set(run, "ended", f"Crashed: {why}")

    async def call_back(self, ids: Collection[str]) -> None:
        self._asked("call_back")
        for one in ids:
            if self.known[one].state == "waiting":
                self.set(one, "ended", "Cancelled")


def watched(campaign: Campaign, store: Store, runs: Runs, said: list[str], **seconds: float) -> ShardsElsewhere:
    return ShardsElsewhere(campaign, store, runs, 4, said.append, **{"tick": 0.01, **seconds})
