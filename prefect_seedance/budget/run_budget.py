"""What one run may spend: its budget, counted by true cost, and the reservation that its claims draw on."""

from __future__ import annotations

import asyncio
import datetime
from decimal import Decimal

from prefect_seedance.budget.limits import Limits
from prefect_seedance.budget.months import EXTEND_BELOW, Reservation, Spending, Totals
from prefect_seedance.errors import OverBudget, SeedanceError
from prefect_seedance.ledger.record import Record

NO_LIMITS = Limits()


class Purse:
    """What one run may spend, and the reservation it draws on. Shared by all shots of the run."""

    def __init__(
        self,
        budget: Decimal | None = None,
        spending: Spending | None = None,
        reservation: Reservation | None = None,
        limits: Limits = NO_LIMITS,
    ) -> None:
        self.budget = budget
        self.spending = spending
        self.reservation = reservation
        self.limits = limits
        self.charged: dict[str, Decimal] = {}
        self.stopped: str | None = None
        self._extending = asyncio.Lock()

    @property
    def taken_usd(self) -> Decimal:
        return sum(self.charged.values(), Decimal(0))

    def set_aside(self, claim_id: str, price: Decimal) -> None:
        """Count *price* for a claim, or raise `OverBudget` if the true cost could pass the budget."""
        if self.stopped:
            raise OverBudget(self.stopped)
        if self.budget is not None and self.taken_usd + price > self.budget:
            raise OverBudget(
                f"not submitted: of the budget of ${self.budget:.2f} ${self.taken_usd:.2f} is taken and this would "
                f"cost ${price:.2f}; raise the budget and render again"
            )
        self.charged[claim_id] = price

    def correct(self, record: Record) -> None:
        """Replace the estimate of a claim by what it is known to have cost."""
        if record.claim_id in self.charged:
            self.charged[record.claim_id] = record.charged_usd

    async def told(self) -> list[str]:
        """What is spent, reserved and left of every limit that this run is under: nothing without one. Never raises."""
        lines = []
        if self.budget is not None and self.charged:
            lines.append(f"This run: {Totals(spent_usd=self.taken_usd).told(self.budget)}.")
        if self.spending and self.limits.reserve:
            try:
                lines += (await self.spending.standing(datetime.datetime.now(datetime.UTC))).told(self.limits)
            except SeedanceError as error:
                lines.append(f"What all runs have spent can't be read just now: {error}")
        return lines

    async def extend(self) -> None:
        """Keep the reservation open while the run still claims."""
        async with self._extending:
            now = datetime.datetime.now(datetime.UTC)
            if self.spending and self.reservation and self.reservation.until - now < EXTEND_BELOW:
                self.reservation = await self.spending.extend(self.reservation, now)
