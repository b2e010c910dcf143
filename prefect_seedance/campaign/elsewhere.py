"""Shards as runs of somebody else: begun once each, watched all together, begun anew where one died.

What became of a run is read from the store. So whoever counts the runs may be gone for a while, or forget them: a run
that is begun twice finds in the ledger what the first has paid.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from prefect_seedance.campaign.document import Campaign
from prefect_seedance.campaign.marks import Marks
from prefect_seedance.campaign.pulse import end_of, pulse_of
from prefect_seedance.campaign.results import ShardResult, not_begun, result_of
from prefect_seedance.campaign.runs import Away, Runs, Seen, newest
from prefect_seedance.campaign.shard import to_do_again
from prefect_seedance.campaign.shards import begun_anew
from prefect_seedance.errors import BadInput, SeedanceError, StoreUnavailable, summary
from prefect_seedance.rendering.options import Options
from prefect_seedance.storage.store import Store

TICK = 2.0
"""Seconds between two looks at all runs that are out."""
LIFE_SIGNS = 20.0
"""Seconds between two looks at their signs of life."""
SILENT = 240.0
"""Seconds without a sign of life after which a run that has begun counts as dead: many that were to come."""
STARTING = 240.0
"""Seconds that whoever was handed a run may take to begin it, for its second run twice that and so on: a worker may
have died with it in its hands, and images may have to be pulled."""
PATIENCE = 600.0
"""Seconds that whoever counts the runs may be gone."""
UNTAKEN = 300.0
"""Seconds in which nobody takes up a shard after which it is said."""
MOST_STARTS = 4
"""How often one campaign run begins a shard whose runs end without results."""


@dataclass(frozen=True)
class _Out:
    """A shard that is out, and since when nothing has changed about it."""

    run: Seen
    options: Options
    starts: int = 1
    sign: tuple[str, str] = ("", "")
    since: float = 0.0


class ShardsElsewhere:
    """Runs the shards of *campaign* as *runs*; see the protocol `Shards`."""

    def __init__(
        self,
        campaign: Campaign,
        store: Store,
        runs: Runs,
        at_once: int,
        say: Callable[[str], None],
        *,
        tick: float = TICK,
        patience: float = PATIENCE,
        silent: float = SILENT,
        starting: float = STARTING,
        untaken: float = UNTAKEN,
    ) -> None:
        self.at_once = at_once
        self._campaign = campaign
        self._store = store
        self._runs = runs
        self._say = say
        self._tick = tick
        self._patience = patience
        self._silent = silent
        self._starting = starting
        self._untaken = untaken
        self._newest: dict[int, Seen] | None = None
        self._out: dict[int, _Out] = {}
        self._ends: dict[int, ShardResult | Exception] = {}
        self._away_since: float | None = None
        self._listened = 0.0
        self._marks = Marks(store, campaign)
        self._stopped: str | None = None
        self._moved = time.monotonic()
        self._told_untaken = False

    async def start(self, number: int, options: Options) -> None:
        """Join the run of the shard that has begun and not ended, or begin the next attempt."""
        until = time.monotonic() + self._patience
        while True:
            try:
                run = await self._joined_or_begun(number, options)
                break
            except Away as away:
                if time.monotonic() > until:
                    self._ends[number] = _nobody_answers(away)
                    return
                await asyncio.sleep(self._tick)
            except SeedanceError as error:  # its siblings are out: it ends this shard alone
                self._ends[number] = error
                return
        self._out[number] = _Out(run, options, since=time.monotonic())
        self._moved = time.monotonic()

    async def _joined_or_begun(self, number: int, options: Options) -> Seen:
        if self._newest is None:
            self._newest = newest(await self._runs.of_campaign())
        last = self._newest.get(number)
        if last is not None and last.state != "ended" and (begun := await self._unless_waiting(last)) is not None:
            return begun
        self._newest[number] = await self._runs.begin(number, last.attempt + 1 if last else 1, options)
        return self._newest[number]

    async def _unless_waiting(self, run: Seen) -> Seen | None:
        """*run* as it stands. None for one that had not begun: called back, since its limits were somebody else's."""
        now = await self._now(run)
        if now.state != "waiting":
            return now
        await self._runs.call_back([run.id])
        now = await self._now(run)
        return None if now.state == "ended" else now

    async def _now(self, run: Seen) -> Seen:
        return next(iter(await self._runs.look([run.id])), replace(run, state="ended"))

    async def ended(self) -> Mapping[int, ShardResult | Exception]:
        while not self._ends:
            await asyncio.sleep(self._tick)
            try:
                await self._look()
                self._away_since = None
            except (Away, SeedanceError) as silent:  # the server, or the store
                await self._without_an_answer(silent)
        ends, self._ends = self._ends, {}
        return ends

    async def _look(self) -> None:
        """One question for all that are out."""
        seen = {run.id: run for run in await self._runs.look([out.run.id for out in self._out.values()])}
        listen = time.monotonic() - self._listened >= min(LIFE_SIGNS, self._tick * 10)
        if listen:
            self._listened = time.monotonic()
        for number, out in list(self._out.items()):
            run = seen.get(out.run.id, replace(out.run, state="ended", message="it is not known any more"))
            self._out[number] = out = replace(out, run=run)
            if run.state == "ended":
                await self._has_ended(number, out)
            elif listen and (why := await self._why_dead(number, out)) is not None:
                await self._is_dead(number, out, why)
        if any(run.state != "waiting" for run in seen.values()):
            self._moved = time.monotonic()
        if listen:
            await self._see_to_what_waits()

    async def _see_to_what_waits(self) -> None:
        """Call it back where the campaign was stopped, since nobody may ever take it up; say once that nobody does."""
        waiting = [out.run for out in self._out.values() if out.run.state == "waiting"]
        if not waiting:
            return
        self._stopped = await self._marks.stopped()
        untaken = len(waiting) == len(self._out) and time.monotonic() - self._moved >= self._untaken
        if self._stopped is not None:
            await self._runs.call_back([run.id for run in waiting])
        elif untaken and not self._told_untaken:
            self._told_untaken = True
            self._say(_untaken_for(self._untaken, waiting[0].place, self._campaign))

    async def _why_dead(self, number: int, out: _Out) -> str | None:
        """Why nobody can be at work at a run that has not ended; None where somebody may be."""
        run, now = out.run, time.monotonic()
        pulse = await pulse_of(self._store, self._campaign, self._campaign.shard(number), run.id)
        if run.state == "running" and pulse is not None and pulse.gone:
            return "its process is gone"
        sign = (run.state, pulse.nonce if pulse else "")
        if sign != out.sign:
            self._out[number] = replace(out, sign=sign, since=now)
            return None
        most = {"running": self._silent, "starting": self._starting * out.starts}.get(run.state)
        return None if most is None or now - out.since < most else f"it gave no sign of life for {most:.0f} s"

    async def _is_dead(self, number: int, out: _Out, why: str) -> None:
        """Have its run end, unless it has ended by itself since it was looked at."""
        run = await self._now(out.run)
        if run.state != "ended":
            await self._runs.is_dead(run.id, why)
            run = replace(run, message=why)
        await self._has_ended(number, replace(out, run=run))

    async def _has_ended(self, number: int, out: _Out) -> None:
        """Tell what has become of the shard, or begin it anew where its run left nothing or had a silent store."""
        try:
            end = await self._end_of(number, out)
        except BadInput as error:  # its results are damaged: another look finds the same
            end = error
        if end is None and self._stopped is not None and not await self._began(number, out):
            end = not_begun(number, f"the campaign was stopped: {self._stopped}; its run had not begun")
        silent = summary(end) if isinstance(end, StoreUnavailable) else None
        if (end is None or silent) and out.starts < MOST_STARTS:
            assert self._newest is not None  # it was started
            self._say(begun_anew(number, silent or out.run.message))
            if silent:
                await asyncio.sleep(self._tick * 5 ** (out.starts - 1))  # a minute in all
            try:
                run = await self._runs.begin(number, out.run.attempt + 1, out.options)
            except SeedanceError as error:
                self._tell(number, error)
                return
            self._newest[number] = run
            self._out[number] = _Out(run, out.options, out.starts + 1, since=time.monotonic())
            return
        self._tell(number, end or _died(out))

    async def _began(self, number: int, out: _Out) -> bool:
        return await pulse_of(self._store, self._campaign, self._campaign.shard(number), out.run.id) is not None

    async def _end_of(self, number: int, out: _Out) -> ShardResult | SeedanceError | None:
        """How the run of a shard ended, by its own word or by results that nothing is left to be done about."""
        shard = self._campaign.shard(number)
        if (end := await end_of(self._store, self._campaign, shard, out.run.id)) is not None:
            return end
        there = await result_of(self._store, self._campaign, shard)
        return None if there is None or to_do_again(there, out.options.retry_failed) else there

    async def _without_an_answer(self, silent: Exception) -> None:
        """Take what the shards themselves have left; give up after a while."""
        now = time.monotonic()
        self._away_since = self._away_since or now
        for number, out in list(self._out.items()):
            end = None
            with contextlib.suppress(SeedanceError):
                end = await end_of(self._store, self._campaign, self._campaign.shard(number), out.run.id)
            if end is not None:
                self._tell(number, end)
            elif now - self._away_since > self._patience:
                self._tell(number, _nobody_answers(silent))

    def _tell(self, number: int, end: ShardResult | Exception) -> None:
        del self._out[number]
        self._ends[number] = end

    async def aclose(self) -> None:
        """Call back what has not begun; what has goes on, and is paid once."""
        if self._out:
            try:
                await self._runs.call_back([out.run.id for out in self._out.values()])
            except (Away, SeedanceError):
                self._say("Shards that wait could not be called back; campaign stop keeps them from beginning.")


def _untaken_for(seconds: float, place: str, campaign: Campaign) -> str:
    return (
        f"No worker has taken up a shard for {seconds / 60:.0f} minutes{place and f' from {place}'}; nothing was "
        "submitted for those that wait; see that their work pool is there, is not paused and has a worker with room, "
        f"or call them back with `campaign stop {campaign.id}`."
    )


def _nobody_answers(silent: Exception) -> SeedanceError:
    who = "The Prefect server" if isinstance(silent, Away) else "The store or the Prefect server"
    return StoreUnavailable(
        f"{who} has not answered ({str(silent).rstrip('.')}); shards that are out go on, and nothing is paid twice; "
        "run the campaign again once it is there."
    )


def _died(out: _Out) -> SeedanceError:
    return SeedanceError(
        f"its runs ended {out.starts} times without results, the last of them: {out.run.message or 'no message'}; what "
        "is stored stays; look at the logs of that run, and run the campaign again."
    )
