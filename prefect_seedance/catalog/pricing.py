"""The estimate before, the true cost after. Decimal dollars; estimates round up to the cent."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Any

from prefect_seedance.catalog.endpoints import Model
from prefect_seedance.models import Request
from prefect_seedance.text import CENT


def estimate(request: Request, model: Model) -> Decimal:
    """The list price of *request* in dollars: that of its length where one is listed, else seconds times the rate."""
    tier = model.tier_of(request.size)
    if tier is None:
        raise ValueError(f"{model.slug} has no size {request.size}")
    if request.duration in tier.per_clip:
        return tier.per_clip[request.duration]
    if tier.per_second is None:
        raise ValueError(f"{model.slug} has no price for {request.duration} s")
    return (tier.per_second * request.duration).quantize(CENT, ROUND_CEILING)


def upper(request: Request, model: Model) -> Decimal:
    """The most that *request* is known to cost; what a budget sets aside for it."""
    tier = model.tier_of(request.size)
    listed = estimate(request, model)
    if tier is None or tier.upper_per_second is None:
        return listed
    return max(listed, (tier.upper_per_second * request.duration).quantize(CENT, ROUND_CEILING))


def cost_of(answer: dict[str, Any]) -> Decimal | None:
    """The true charge that an API answer reports in `output.cost`, or None where it reports none."""
    output = answer.get("output")
    reported = output.get("cost") if isinstance(output, dict) else None
    if reported is None or isinstance(reported, bool):
        return None
    try:
        cost = Decimal(str(reported))
    except InvalidOperation:
        return None
    return cost if cost.is_finite() and cost >= 0 else None
