"""From the words for a size (1280x720, 720p, 9:16) to the exact one that is asked for, or why there is none."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction

from prefect_seedance.catalog.model import RATIOS, Model, Tier, nearest_ratio
from prefect_seedance.text import printable

SIZE = re.compile(r"(\d{1,5})\s*[x×*:]\s*(\d{1,5})", re.IGNORECASE)
RATIO = re.compile(r"(\d{1,4})\s*[:x×/]\s*(\d{1,4})", re.IGNORECASE)


class NoSuchSize(Exception):
    """What was asked for is not offered; its text says what is. `field` is the word that is wrong."""

    def __init__(self, message: str, field: str = "size") -> None:
        super().__init__(message)
        self.field = field


def chosen_size(size: str | None, ratio: str | None, model: Model) -> str:
    """The exact size for a *size*, which may be the name of a tier, and a *ratio*; raises `NoSuchSize`."""
    exact = size is not None and size in model.sizes
    tier = model.tiers[0] if size is None else model.tier_of(size) if exact else tier_named(size, model)
    if tier is None:
        raise NoSuchSize(_not_offered(str(size), model))
    if ratio is None or ratio == model.ratio_with_image:
        return size if exact and size is not None else _usual(tier)
    wanted = _ratio_named(ratio)
    if exact and size is not None:
        if nearest_ratio(size) != wanted:
            message = f"size {size} is {nearest_ratio(size)}, not {printable(ratio)}; leave one of the two out"
            raise NoSuchSize(message, "aspect_ratio")
        return size
    for offered in tier.sizes:
        if nearest_ratio(offered) == wanted:
            return offered
    ratios = ", ".join(ratios_of(tier))
    message = f"aspect_ratio `{printable(ratio)}` is not offered by {model.slug} at {tier.name}; it offers {ratios}"
    raise NoSuchSize(message, "aspect_ratio")


def tier_named(word: str, model: Model) -> Tier | None:
    """The tier that a word such as 720p names."""
    return next((tier for tier in model.tiers if tier.name.casefold() == word.strip().casefold()), None)


def ratios_of(tier: Tier) -> list[str]:
    return list(dict.fromkeys(map(nearest_ratio, tier.sizes)))


def _usual(tier: Tier) -> str:
    """What a tier is without a ratio: its first size, which is 16:9 wherever there is one."""
    return tier.sizes[0]


def _ratio_named(word: str) -> str | None:
    """The usual name of a ratio, however it is written: 1080x1920 is 9:16."""
    if not (match := RATIO.fullmatch(word.strip())) or not int(match[2]):
        return None
    asked = Fraction(int(match[1]), int(match[2]))
    return next((name for name in RATIOS if Fraction(*map(int, name.split(":"))) == asked), None)


def _not_offered(size: str, model: Model) -> str:
    shown, offered = printable(size), ", ".join(model.sizes)
    asked = SIZE.fullmatch(size)
    if asked is None:
        names = ", ".join(tier.name for tier in model.tiers)
        if re.fullmatch(r"\d{1,4}[pk]", size.strip(), re.IGNORECASE):
            return f"size `{shown}` is not offered by {model.slug}; it offers {names}"
        return f"size `{shown}` is not a width x height; {model.slug} offers {offered}, or {names}"
    if _ratio_named(size) and re.search("[:/]", size):
        return f"size {shown} is a ratio; write `aspect_ratio: {shown}`, and a size such as {model.tiers[0].name}"
    nearest = min(model.sizes, key=lambda one: _distance(asked.groups(), one.split("x")))
    return f"size {shown} is not offered by {model.slug}; the nearest is {nearest}"


def _distance(asked: Iterable[str], offered: Iterable[str]) -> int:
    return sum(abs(int(one) - int(other)) for one, other in zip(asked, offered, strict=True))
