"""Bring home what other runs left: looks only at what is open, spends nothing, asks for no approval.

First one look at everything, and what has ended is written down, since the API forgets a job half an hour after its
end; then the downloads, in places of their own, while what still runs is looked at again now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import secrets
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.errors import (
    BadStore,
    LedgerUnreadable,
    LostRace,
    Missing,
    SeedanceError,
    StoreUnavailable,
    summary,
)
from prefect_seedance.generation.persist import persist
from prefect_seedance.generation.poll import wait
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.ledger.ledger import marker_path
from prefect_seedance.ledger.record import Record, RefusalReason, Step
from prefect_seedance.ledger.rules import History, seconds_until_overdue
from prefect_seedance.ledger.writer import new_claim_id

LOOKS_AT_ONCE = 20
DOWNLOADS_AT_ONCE = 8


@dataclass
class Collected:
    """What became of the keys that were open, each with the record that tells its state."""

    found: dict[str, History] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    """Why a key is not at its end yet."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """The keys whose record or marker can't be read, and `spending` if the books can't, each with the reason."""

    def of(self, *steps: Step) -> list[Record]:
        return [h.last for h in self.found.values() if h.last is not None and h.last.step in steps]

    @property
    def running(self) -> list[Record]:
        return self.of(Step.CLAIMED, Step.ACCEPTED, Step.COMPLETED)

    def as_json(self) -> dict[str, Any]:
        """Schema `prefect-seedance/collect/1`: counts, what each clip is, and what could not be read, each with why.

        Of a clip whose cost nobody has told `at_risk_usd` is the most that it may have been.
        """
        return {
            "schema": "prefect-seedance/collect/1",
            "stored": len(self.of(Step.STORED)),
            "running": len(self.running),
            "unclear": len(self.of(Step.UNCLEAR)),
            "lost": len(self.of(Step.LOST)),
            "spent_usd": 0,
            "clips": [
                {
                    "key": record.key,
                    "record": record.number,
                    "status": str(record.step),
                    "clip": record.clip,
                    "cost_usd": None if record.cost_usd is None else float(record.cost_usd),
                    "at_risk_usd": float(record.charged_usd) if record.cost_usd is None else 0.0,
                    "error": self.errors.get(record.key) or record.reason,
                }
                for record in self.of(*Step)
            ],
            "errors": [{"key": key, "error": error} for key, error in sorted(self.unreadable.items())],
        }


async def collect(run: RenderSession, spending: MonthlySpend) -> Collected:
    """Follow every open key to where it can be brought without spending: stored, failed, lost, unclear or running."""
    collector = _Collector(run, spending)
    try:
        await collector.look_at_everything()
        while collector.begin_what_takes_time():
            _, pending = await asyncio.wait(collector.going_on.values(), timeout=4 * run.waiting.longest)
            if pending:
                with contextlib.suppress(StoreUnavailable):  # looked again soon; the downloads go on
                    await collector.look_at_everything()
    finally:
        await collector.end()
    if collector.writable:
        try:
            # A run that was taken for dead too early may have gone on: what it has out is followed as well.
            met = [*run.budget.met, *collector.collected.running]
            await spending.release_ended(run.ledger.load_whole, met, of_all_months=True)
            await run.notes.sweep(run.ledger.markers)
        except SeedanceError as error:  # the clips are home: the books wait for the next run
            collector.collected.unreadable["spending"] = summary(error)
    return collector.collected


class _Collector:
    """One run over all that is open. What goes wrong with a key ends it alone."""

    def __init__(self, run: RenderSession, spending: MonthlySpend) -> None:
        self.run = run
        self.spending = spending
        self.collected = Collected()
        self.going_on: dict[str, asyncio.Task[None]] = {}
        self.writable = True
        self._begun: set[str] = set()
        self._markers: dict[str, list[int]] = {}
        self._looks = asyncio.Semaphore(LOOKS_AT_ONCE)
        self._downloads = asyncio.Semaphore(DOWNLOADS_AT_ONCE)

    async def look_at_everything(self) -> None:
        """One look at every open key that nothing is going on for, and what has ended is written down."""
        markers: dict[str, list[int]] = {}
        for key, number in await self.run.ledger.markers():
            markers.setdefault(key, []).append(number)
        new, self._markers = not self._markers, self._markers | markers
        if new and markers:
            self.writable = await _takes_files(self.run)
        await asyncio.gather(*(self._apart(key, self._look(key)) for key in markers if key not in self._begun))

    def begin_what_takes_time(self) -> bool:
        """Begin to download what is done and to watch young claims, once each; is any of that going on?"""
        for key, history in self.collected.found.items():
            takes_time = history.state in (Step.CLAIMED, Step.COMPLETED) and self.writable
            if takes_time and key not in self._begun:
                self._begun.add(key)
                self.going_on[key] = asyncio.create_task(self._apart(key, self._follow(key, history)))
        self.going_on = {key: task for key, task in self.going_on.items() if not task.done()}
        return bool(self.going_on)

    async def end(self) -> None:
        """Nothing uses the client or the store any more when this returns, however it came to an early end."""
        for task in self.going_on.values():
            task.cancel()
        await asyncio.gather(*self.going_on.values(), return_exceptions=True)

    async def _apart(self, key: str, work: Coroutine[Any, Any, None]) -> None:
        for told_before in (self.collected.errors, self.collected.unreadable):
            told_before.pop(key, None)
        try:
            await work
        except Exception as error:  # the others' clips are on their way home: it ends this key alone
            self.collected.errors[key] = summary(error)
            history = None
            with contextlib.suppress(Exception):
                self.collected.found[key] = history = await self.run.ledger.load(key)
            if history is None or isinstance(error, LedgerUnreadable):
                self.collected.unreadable[key] = summary(error)

    async def _look(self, key: str) -> None:
        async with self._looks:
            history = await self.run.ledger.load_whole(key)  # a stored key may still have an answer before it
            for number in self._markers[key]:
                if number > history.number:
                    history = await _close_free_number(self.run, history, number)
            self.collected.found[key] = history
            last = history.last
            if last and last.step is Step.CLAIMED and _overdue_in(self.run, last) <= 0:
                history = self.run.taken(await self.run.ledger.call_unclear(history, needed=False))
            if not self.writable and history.state in (Step.ACCEPTED, Step.COMPLETED):
                raise StoreUnavailable(
                    f"The store {self.run.ledger.store.url} takes no files now, so nothing can be brought home into "
                    "it; what is out goes on; make it writable and collect again."
                )
            await self._seen(await wait(self.run, history, deadline=0))

    async def _follow(self, key: str, history: History) -> None:
        """To the end of a young claim or of a download."""
        while history.state is Step.CLAIMED and history.last is not None:
            if (remaining := _overdue_in(self.run, history.last)) <= 0:
                history = self.run.taken(await self.run.ledger.call_unclear(history, needed=False))
                continue
            await asyncio.sleep(min(remaining, 2.0))
            history = await self.run.ledger.load(key)
        async with self._looks:
            history = await wait(self.run, history, deadline=0)
        await self._seen(history)
        async with self._downloads:
            await self._seen(await persist(self.run, history))

    async def _seen(self, history: History) -> None:
        self.collected.found[history.key] = history
        if self.writable:
            if history.strays or any(record.by == "person" for record in history.records):
                await self.spending.follow(history.records, self.run.ledger.load_whole)
            await self.run.ledger.unmark(history, *self._markers[history.key])


async def _takes_files(run: RenderSession) -> bool:
    """Can anything be written down? Asked first: an end that can't be kept would be held on to until a kill."""
    probe = f".probe-{secrets.token_hex(8)}"
    try:
        await run.ledger.store.create(probe, b"")
        await run.ledger.store.delete(probe)
    except (StoreUnavailable, BadStore):
        return False
    return True


async def _close_free_number(run: RenderSession, history: History, number: int) -> History:
    """An overdue marker whose number is free: take the number, so that its writer can never open the key there."""
    if number > history.number + 1:
        raise LedgerUnreadable(f"Records of {history.key} are missing below {number:04d}.json; restore them.")
    announced = await run.ledger.marker(history.key, number)
    if announced is None:
        return history
    closing = await _lost_again(run, history, number) if history.state is Step.LOST else _refused(run, announced)
    if closing is None:
        return history
    try:
        return await run.ledger.append(history, closing)
    except LostRace:
        return await run.ledger.load(history.key)


def _refused(run: RenderSession, claim: Record) -> Record | None:
    """What closes the number of an announced claim; None while it may still come."""
    if _overdue_in(run, claim) > 0:
        return None
    why = {
        "step": Step.REFUSED,
        "claim_id": new_claim_id(),  # nobody's: the announced claim must not find itself here
        "at": _now(),
        "kind": RefusalReason.LATE,
        "reason": "its writer never claimed what it had announced",
    }
    return claim.model_copy(update=why)


async def _lost_again(run: RenderSession, history: History, number: int) -> Record | None:
    """What closes the number of an announced step out of lost; None while it may still come.

    The claim is old by then and its writer gone: how long ago the step was announced is told by its marker alone.
    """
    assert history.last is not None  # lost
    try:
        announced_for = await run.ledger.store.age(marker_path(history.key, number))
    except Missing:
        return None
    if announced_for < history.last.submit_timeout_seconds:
        return None
    return history.last.model_copy(update={"at": _now()})


def _overdue_in(run: RenderSession, claim: Record) -> float:
    return seconds_until_overdue(claim, _now(), run.ledger.observation(claim))


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
