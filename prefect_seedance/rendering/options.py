"""How a board is rendered: the one definition of what a flow, the command line and an inbox can say."""

from __future__ import annotations

from decimal import Decimal

from prefect_seedance.budget.limits import Limits
from prefect_seedance.models import Frozen


class Options(Frozen):
    """What may be spent, in dollars, and how many jobs go out, how often and how long they are waited for."""

    budget: Decimal | None = None
    limits: Limits = Limits()
    approve: str | None = None
    max_in_flight: int = 10
    retry_failed: int = 0
    wait_seconds: float = 3600.0
