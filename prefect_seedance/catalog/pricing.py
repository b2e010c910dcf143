"""The estimate before, the true cost after. Decimal dollars; estimates round up to the cent."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Any

from prefect_seedance.catalog.endpoints import Model
from prefect_seedance.models import Request
from prefect_seedance.text import CENT

DEAREST = Decimal(10_000)
DECIMALS = 6
"""What is above that, or finer, is no charge for a clip but a mistake of the API."""


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
    """The true charge that an API answer reports in `output.cost`, or None where it reports none that can be one.

    In dollars, from 0 to `DEAREST`, with no more than `DECIMALS` decimals.
    """
    return _charge(_reported(answer.get("output")))


def may_have_cost(answer: dict[str, Any]) -> bool:
    """Does an API answer speak of a cost, here or there, that is not surely zero? What can't be read is not zero."""
    reported = (_reported(answer.get("output")), _reported(answer))
    return any(cost not in (None, "") and _charge(cost) != 0 for cost in reported)


def _reported(part: Any) -> Any:
    return part.get("cost") if isinstance(part, dict) else None


def _charge(reported: Any) -> Decimal | None:
    if isinstance(reported, bool) or not isinstance(reported, int | float | str):
        return None
    try:
        cost = Decimal(str(reported))
    except (InvalidOperation, ValueError):
        return None
    if not cost.is_finite() or not 0 <= cost <= DEAREST:
        return None
    exponent = cost.normalize().as_tuple().exponent
    return cost if isinstance(exponent, int) and exponent >= -DECIMALS else None
