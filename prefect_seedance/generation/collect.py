"""Bring home what other runs left: looks only at what is open, spends nothing, asks for no approval."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from dataclasses import dataclass, field
from typing import Any

from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.errors import LostRace, told
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.ledger.rules import History, seconds_until_overdue
from prefect_seedance.ledger.writer import new_claim_id

AT_ONCE = 20


@dataclass
class Collected:
    """What became of the keys that were open, each with the record that tells its state."""

    histories: list[History] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)

    def of(self, *steps: Step) -> list[Record]:
        return [h.last for h in self.histories if h.last is not None and h.last.step in steps]

    @property
    def running(self) -> list[Record]:
        return self.of(Step.CLAIMED, Step.ACCEPTED, Step.COMPLETED)

    def as_json(self) -> dict[str, Any]:
        """Schema `prefect-seedance/collect/1`: counts, and below `clips` what each of them is."""
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
                    "cost_usd": float(record.charged_usd),
                    "error": self.errors.get(record.key) or record.reason,
                }
                for record in self.of(*Step)
            ],
        }


async def collect(run: RenderSession, spending: MonthlySpend) -> Collected:
    """Follow every open key to where it can be brought without spending: stored, failed, lost, unclear or running."""
    collected, at_once = Collected(), asyncio.Semaphore(AT_ONCE)
    numbers: dict[str, list[int]] = {}
    for key, number in await run.ledger.markers():
        numbers.setdefault(key, []).append(number)

    async def follow(key: str) -> None:
        async with at_once:
            try:
                collected.histories.append(await _bring_home(run, key, numbers[key]))
            except Exception as error:  # the others' clips are on their way home: it ends this key alone
                collected.errors[key] = told(error)
                with contextlib.suppress(Exception):
                    collected.histories.append(await run.ledger.load(key))

    await asyncio.gather(*map(follow, numbers))
    await settle_what_is_over(run, spending)
    return collected


async def _bring_home(run: RenderSession, key: str, numbers: list[int]) -> History:
    history = await run.ledger.load(key)
    for number in numbers:
        if number > history.number:
            history = await _close_free_number(run, history, number)
    if history.state is Step.CLAIMED:
        history = await _watch_claim(run, history)
    history = await run.wait(history, deadline=0)
    history = await run.persist(history)
    if history.strays or any(record.by == "person" for record in history.records):
        await MonthlySpend(run.ledger.store).correct(history, run.ledger.load_whole)
    await run.ledger.unmark(history, *numbers)
    return history


async def _close_free_number(run: RenderSession, history: History, number: int) -> History:
    """An overdue marker whose number is still free: take the number, so that its writer can never claim it."""
    claim = await run.ledger.marker(history.key, number)
    if claim is None or number != history.number + 1:
        return history
    if seconds_until_overdue(claim, _now(), run.ledger.sighting(claim)) > 0:
        return history
    why = {
        "step": Step.REFUSED,
        "claim_id": new_claim_id(),  # nobody's: the announced claim must not find itself here
        "at": _now(),
        "kind": "late",
        "reason": "its writer never claimed what it had announced",
    }
    try:
        return await run.ledger.append(history, claim.model_copy(update=why))
    except LostRace:
        return await run.ledger.load(history.key)


async def _watch_claim(run: RenderSession, history: History) -> History:
    """Wait until a claim has its outcome or is overdue; then it is unclear."""
    while history.state is Step.CLAIMED and history.last is not None:
        remaining = seconds_until_overdue(history.last, _now(), run.ledger.sighting(history.last))
        if remaining <= 0:
            return await run.call_unclear(history.last)
        await asyncio.sleep(min(remaining, 2.0))
        history = await run.ledger.load(history.key)
    return history


async def settle_what_is_over(run: RenderSession, spending: MonthlySpend) -> None:
    """Give back what dead or ended runs had reserved, at the cost that the histories of their keys show."""
    await spending.release_ended(run.ledger.load_whole)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
