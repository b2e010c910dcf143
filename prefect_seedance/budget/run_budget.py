"""What one run may spend: its budget, counted by true cost, and the reservations that its claims draw on."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType

from prefect_seedance.budget.counting import ZERO
from prefect_seedance.budget.limits import Limits
from prefect_seedance.budget.months import Load, MonthlySpend
from prefect_seedance.budget.records import Reservation, Totals
from prefect_seedance.errors import LostRace, OverBudget, SeedanceError, summary
from prefect_seedance.ledger.clocks import Elapsed
from prefect_seedance.ledger.durable import run_to_completion
from prefect_seedance.ledger.record import Record, Writer
from prefect_seedance.text import dollars

EXTEND_AT = 0.25
"""An end that is nearer than this part of a reservation's time is put off before a claim."""


@dataclass
class Term:
    """How long something lasts from now on."""

    seconds: float
    elapsed: Elapsed = field(default_factory=Elapsed)

    @property
    def left(self) -> float:
        return self.seconds - self.elapsed.seconds


@dataclass
class Priced:
    """What a plan may submit, and where its money is kept."""

    prices: Mapping[str, Decimal]
    """The upper price of every key that may be claimed in this run."""
    limits: Limits
    spend: MonthlySpend
    load: Load
    writer: Writer


class RunBudget:
    """What one run may spend. Shared by all shots of the run; complete from the start.

    Without *priced* any key may be claimed and nothing is reserved; with it, only a key that the plan has priced, under
    a reservation that holds it and has not ended. *charged* is what this flow run has claimed before, by claim id.
    """

    def __init__(
        self,
        budget: Decimal | None = None,
        *,
        priced: Priced | None = None,
        charged: Mapping[str, Decimal] = MappingProxyType({}),
    ) -> None:
        self.budget = budget
        self.priced = priced
        self._charged = dict(charged)
        self._stopped: str | None = None
        self._held: list[tuple[Reservation, Term]] = []
        self._ended: list[Reservation] = []
        self._claimed: set[str] = set()
        self._met: dict[str, Record] = {}
        self._changing = asyncio.Lock()

    @property
    def usage_usd(self) -> Decimal:
        """What the claims of this run have cost; each counts at its upper price until its cost is known."""
        return sum(self._charged.values(), ZERO)

    async def reserve(self) -> None:
        """Set aside the upper price of all that may be claimed, or raise `OverBudget`. Dead runs are entered first."""
        if self.priced is None or not self.priced.prices:
            return
        if self.priced.limits.reserve:
            # Also what dead runs without limits have out counts from now on.
            await self.priced.spend.release_ended(self.priced.load)
        await self._reserve(self.priced, self.priced.prices)

    async def _reserve(self, priced: Priced, prices: Mapping[str, Decimal]) -> Reservation:
        term = Term(priced.spend.reserved_for_seconds)  # begins before the store's clock does
        made: list[Reservation] = []

        async def reserve() -> None:
            made.append(await priced.spend.reserve(prices, priced.limits, priced.writer, _now()))
            self._held.append((made[0], term))

        await run_to_completion(reserve)  # a run that is cancelled meanwhile has to know what to give back
        return made[0]

    async def reservation_for(self, key: str) -> str | None:
        """The id of the reservation that a claim of *key* draws on, extended or made anew where it has ended.

        Raises `OverBudget` for a key that the plan has not priced, and where a new reservation does not fit.
        """
        if self.priced is None:
            return None
        self._refuse_stopped()
        if key not in self.priced.prices:
            raise OverBudget("not submitted: this run has set no money aside for it; render again to plan it")
        async with self._changing:
            for held in [held for held in self._held if held[1].left < EXTEND_AT * held[1].seconds]:
                await self._extend(self.priced, held)
            held_now = next((reservation for reservation, _ in self._held if key in reservation.keys), None)
            return (held_now or await self._anew(self.priced, key)).id

    async def _extend(self, priced: Priced, held: tuple[Reservation, Term]) -> None:
        reservation, term = held
        longer = Term(priced.spend.reserved_for_seconds)
        extended = term.left > 0 and await priced.spend.extend(reservation, _now())
        self._held.remove(held)
        if extended:
            self._held.append((reservation, longer))
        else:
            self._ended.append(reservation)

    async def _anew(self, priced: Priced, key: str) -> Reservation:
        """A reservation for what has lost its own, by the rules of a new one; at least for *key*."""
        for reservation in self._ended:
            await priced.spend.reconcile(reservation, priced.load, _now(), by_its_run=True)
        held = {name for reservation, _ in self._held for name in reservation.keys}
        wanted = priced.prices.keys() - held - self._claimed | {key}
        try:
            return await self._reserve(priced, {name: priced.prices[name] for name in sorted(wanted)})
        except OverBudget:
            return await self._reserve(priced, {key: priced.prices[key]})

    def lease(self, claim: Record) -> None:
        """Count the upper price of *claim*, or raise `OverBudget` if the true cost could pass the budget."""
        self._refuse_stopped()
        price = claim.charged_usd
        if self.budget is not None and self.usage_usd + price > self.budget:
            raise OverBudget(
                f"not submitted: of the budget of {dollars(self.budget)} {dollars(self.usage_usd)} is taken and this "
                f"would cost {dollars(price)}; raise the budget and render again"
            )
        self._charged[claim.claim_id] = price
        self._claimed.add(claim.key)

    def cancel(self, claim: Record) -> None:
        """Nothing was submitted for *claim*: it costs nothing."""
        self._charged.pop(claim.claim_id, None)

    def admit(self, claim: Record) -> None:
        """The last word before *claim* is written, in any thread; raises `OverBudget`, or `LostRace` to begin anew."""
        self._refuse_stopped()
        if self.has_ended(claim):
            raise LostRace("the reservation ended before the claim was written")

    def has_ended(self, claim: Record) -> bool:
        """Whether nothing may be sent for *claim* any more: its reservation has ended or does not hold its key."""
        if self.priced is None:
            return False
        return not any(
            reservation.id == claim.reservation and claim.key in reservation.keys and term.left > 0
            for reservation, term in list(self._held)
        )

    def stop(self, reason: str) -> None:
        """Admit no further claim, and say why."""
        self._stopped = self._stopped or reason

    def _refuse_stopped(self) -> None:
        if self._stopped:
            raise OverBudget(self._stopped)

    def correct(self, record: Record) -> None:
        """Count what a claim is known to have cost in place of its upper price."""
        if record.claim_id in self._charged:
            self._charged[record.claim_id] = record.charged_usd
        if record.reservation:
            self._met[record.reservation] = record

    @property
    def met(self) -> list[Record]:
        """A claim of every reservation, this run's or another's, of which this run has taken a step."""
        return list(self._met.values())

    async def close(self) -> list[str]:
        """Admit no further claim, and replace what was set aside by what was charged; also when the run is cancelled.

        Only after all that the run began has ended. What goes wrong is returned, a sentence each, and never raised:
        the clips are home, and the collector reconciles later.
        """
        self.stop("not submitted: the run has ended; render again")
        if self.priced is None:
            return []
        reservations = [*self._ended, *(reservation for reservation, _ in self._held)]
        self._held, self._ended = [], []
        try:
            for reservation in reservations:
                await self.priced.spend.reconcile(reservation, self.priced.load, _now(), by_its_run=True)
            own = {reservation.id for reservation in reservations}
            # Of another run that was taken for dead before its job came home, nobody else enters what it has cost.
            await self.priced.spend.follow([one for one in self.met if one.reservation not in own], self.priced.load)
        except Exception as error:
            return [
                "What this run has cost could not be entered into the month's spending; it stays reserved until "
                f"`prefect-seedance collect` enters it: {summary(error)}"
            ]
        return []

    async def lines(self) -> list[str]:
        """What is spent, reserved and left of every limit that this run is under: nothing without one. Never raises."""
        lines = []
        if self.budget is not None and self._charged:
            lines.append(f"This run: {Totals(spent_usd=self.usage_usd).line(self.budget)}.")
        if self.priced and self.priced.limits.reserve:
            try:
                lines += (await self.priced.spend.usage(_now())).lines(self.priced.limits)
            except SeedanceError as error:
                lines.append(f"What all runs have spent can't be read just now: {error}")
        return lines


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
