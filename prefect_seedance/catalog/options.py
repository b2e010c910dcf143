"""What a model offers: why a size, a duration or a frame rate can't be asked of it, and what comes nearest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from prefect_seedance.catalog.endpoints import Model
from prefect_seedance.text import printable

SIZE = re.compile(r"(\d{1,5})\s*[x×*:]\s*(\d{1,5})", re.IGNORECASE)


def size_problem(size: str, model: Model) -> str | None:
    """Why *model* does not make clips of *size*, and the remedy; None if it does."""
    sizes = [offered for tier in model.tiers for offered in tier.sizes]
    if size in sizes:
        return None
    if tier := next((tier for tier in model.tiers if tier.name == size.casefold()), None):
        return f"size {printable(size)} is not a width x height; {model.slug} calls {tier.sizes[0]} so"
    if not (asked := SIZE.fullmatch(size)):
        return f"size `{printable(size)}` is not a width x height; {model.slug} offers {', '.join(sizes)}"
    nearest = min(sizes, key=lambda offered: _distance(asked.groups(), offered.split("x")))
    return f"size {printable(size)} is not offered by {model.slug}; the nearest is {nearest}"


def duration_problem(seconds: int, model: Model) -> str | None:
    """Why *model* does not make clips of so many *seconds*, and the remedy; None if it does."""
    if seconds in model.durations:
        return None
    return f"duration {seconds} is not offered by {model.slug}; the nearest is {_nearest(seconds, model.durations)}"


def fps_problem(fps: int, model: Model) -> str | None:
    """Why *model* can't be asked for *fps*, and the remedy; None if it can."""
    if fps in model.fps:
        return None
    if not model.fps:
        return f"fps is not an input of {model.slug}; leave it out"
    return f"fps {fps} is not offered by {model.slug}; the nearest is {_nearest(fps, model.fps)}"


PROBLEMS_OF: dict[str, Callable[[Any, Model], str | None]] = {
    "size": size_problem,
    "duration": duration_problem,
    "fps": fps_problem,
}


def first_offered(field: str, model: Model) -> Any:
    """The value of *field* that *model* is asked for where the storyboard names none; None where it takes none."""
    match field:
        case "size":
            return model.default_size
        case "duration":
            return model.durations[0]
        case _:
            return model.fps[0] if model.fps else None


def _nearest(asked: int, offered: Iterable[int]) -> int:
    return min(offered, key=lambda one: (abs(one - asked), one))


def _distance(asked: Iterable[str], offered: Iterable[str]) -> int:
    return sum(abs(int(one) - int(other)) for one, other in zip(asked, offered, strict=True))
