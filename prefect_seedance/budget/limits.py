"""What may be spent, as a person said it."""

from __future__ import annotations

from pydantic import Field

from prefect_seedance.models import Frozen, Usd


class Limits(Frozen):
    """What may be spent, in dollars. Nothing is limited unless it is said."""

    per_run: Usd | None = Field(None, gt=0)
    per_day: Usd | None = Field(None, gt=0)
    per_month: Usd | None = Field(None, gt=0)
    approve_above: Usd | None = Field(None, ge=0)

    @property
    def reserve(self) -> bool:
        return self.per_day is not None or self.per_month is not None
