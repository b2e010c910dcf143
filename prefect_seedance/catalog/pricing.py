"""The estimate before, the true cost after. Decimal dollars; estimates round up to the cent."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Any

from prefect_seedance.catalog.model import Model, Price, effective, planned_seconds
from prefect_seedance.models import Request
from prefect_seedance.text import CENT

DEAREST = Decimal(10_000)
DECIMALS = 6
"""What is above that, or finer, is no charge for a clip but a mistake of the API."""


def estimate(request: Request, model: Model) -> Decimal:
    """The list price of *request* in dollars: that of its length where one is listed, else seconds times the rate.

    By the inputs that it asks for; what the endpoint chooses itself counts at the most that it can become.
    """
    price = price_of(request, model)
    if price.flat is not None:
        return price.flat
    if price.per_1000_characters is not None:
        return (price.per_1000_characters * len(request.prompt) / 1000).quantize(CENT, ROUND_CEILING)
    seconds = planned_seconds(request, model)
    if seconds in price.per_clip:
        return price.per_clip[int(seconds)]
    if price.per_second is None or seconds <= 0:
        raise ValueError(f"{model.slug} has no price for {request.duration} s")
    return _for(price.per_second, seconds)


def upper(request: Request, model: Model) -> Decimal:
    """The most that *request* is known to cost; what a budget sets aside for it."""
    listed, most = estimate(request, model), price_of(request, model).upper_per_second
    return listed if most is None else max(listed, _for(most, planned_seconds(request, model)))


def price_of(request: Request, model: Model) -> Price:
    """The price that holds for the size and the inputs of *request*."""
    tier = model.tier_of(request.size)
    if tier is None:
        raise ValueError(f"{model.slug} has no size {request.size}")
    asked = effective(request, model)
    return next((other for other in tier.when if other.inputs.items() <= asked.items()), tier)


def _for(per_second: Decimal, seconds: float) -> Decimal:
    return (per_second * Decimal(str(seconds))).quantize(CENT, ROUND_CEILING)


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
