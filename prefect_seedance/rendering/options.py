"""How a board is rendered: the one definition of what a flow, the command line and an inbox can say."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from prefect_seedance.budget.limits import Limits
from prefect_seedance.models import Frozen

MOST_IN_FLIGHT = 1000
MOST_RETRIES = 5

Dollars = Annotated[float, Field(ge=0)]
InFlight = Annotated[int, Field(ge=1, le=MOST_IN_FLIGHT)]
Retries = Annotated[int, Field(ge=0, le=MOST_RETRIES)]
Minutes = Annotated[float, Field(gt=0)]


class Options(Frozen):
    """What may be spent, in dollars, and how many jobs go out, how often and how long they are waited for."""

    budget: Decimal | None = Field(None, ge=0)
    limits: Limits = Limits()
    approve: str | None = None
    max_in_flight: InFlight = 10
    retry_failed: Retries = 0
    wait_seconds: float = 3600.0
