"""By whom the shards of a campaign are run: here in this process, or by others who keep the same protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from prefect_seedance.campaign.document import Campaign
from prefect_seedance.campaign.patience import PAUSES, patiently
from prefect_seedance.campaign.results import ShardResult
from prefect_seedance.campaign.shard import run_shard
from prefect_seedance.errors import StoreUnavailable, summary
from prefect_seedance.rendering.board_run import cancelled_and_ended
from prefect_seedance.rendering.options import Options
from prefect_seedance.rendering.render import Host
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage.store import Store


class Shards(Protocol):
    """Starts shards and tells which have ended. Whether they run here or elsewhere is the maker's affair."""

    at_once: int
    """How many the campaign may have out: the window that slides over what is left."""

    async def start(self, number: int, options: Options) -> None:
        """Begin shard *number*, or join whoever has begun it already: a restarted campaign starts it again."""

    async def ended(self) -> Mapping[int, ShardResult | Exception]:
        """Wait until one of those that were started has ended; what became of all that have, each told once."""

    async def aclose(self) -> None:
        """Nobody waits any more: stop what must not go on by itself."""


def begun_anew(number: int, why: str) -> str:
    """What is said where the run of a shard left nothing and another one begins."""
    return (
        f"The run of shard {number} ended without results ({why.rstrip('.')}); it is begun anew; what it has paid, if "
        "anything, is not in the cost of this run: see report."
    )


class ShardsHere:
    """Runs shards in this process, each by a call of *run*, and anew after *pauses* where the store was silent."""

    def __init__(
        self,
        run: Callable[[int, Options], Awaitable[ShardResult]],
        at_once: int,
        say: Callable[[str], None],
        *,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self.at_once = at_once
        self._run = run
        self._say = say
        self._pauses = pauses
        self._tasks: dict[asyncio.Task[None], int] = {}
        self._ends: dict[int, ShardResult | Exception] = {}

    async def start(self, number: int, options: Options) -> None:
        self._tasks[asyncio.create_task(self._end(number, options))] = number

    async def _end(self, number: int, options: Options) -> None:
        def told(silent: StoreUnavailable) -> None:
            self._say(begun_anew(number, summary(silent)))

        try:
            self._ends[number] = await patiently(lambda: self._run(number, options), self._pauses, told)
        except Exception as error:  # its siblings' money is out: whatever it is, it ends this shard alone
            self._ends[number] = error

    async def ended(self) -> Mapping[int, ShardResult | Exception]:
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        return {number: self._ends.pop(number) for number in map(self._tasks.pop, done)}

    async def aclose(self) -> None:
        """Cancel what runs and wait: a claim on its way is always followed by its outcome."""
        await cancelled_and_ended(list(self._tasks))


def shards_here(
    store: Store, account: Account, campaign: Campaign, at_once: int, host: Callable[[], Host]
) -> ShardsHere:
    """The shards of *campaign* in this process, each with a *host* of its own."""

    async def render(number: int, options: Options) -> ShardResult:
        return await run_shard(store, account, campaign.id, number, options, host())

    return ShardsHere(render, at_once, host().say)
