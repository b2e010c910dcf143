"""What one run may spend: its budget, counted by true cost, and the reservation that its claims draw on."""

from __future__ import annotations

import asyncio
import datetime
from decimal import Decimal

from prefect_seedance.errors import OverBudget
from prefect_seedance.lifecycle import Record
from prefect_seedance.spending import EXTEND_BELOW, Reservation, Spending


class Purse:
    """What one run may spend, and the reservation it draws on. Shared by all shots of the run."""

    def __init__(
        self, budget: Decimal | None = None, spending: Spending | None = None, reservation: Reservation | None = None
    ) -> None:
        self.budget = budget
        self.spending = spending
        self.reservation = reservation
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

    async def extend(self) -> None:
        """Keep the reservation open while the run still claims."""
        async with self._extending:
            now = datetime.datetime.now(datetime.UTC)
            if self.spending and self.reservation and self.reservation.until - now < EXTEND_BELOW:
                self.reservation = await self.spending.extend(self.reservation, now)
