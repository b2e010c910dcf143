"""What a model offers: why a duration or a frame rate can't be asked of it, and what comes nearest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prefect_seedance.catalog.model import Model
from prefect_seedance.models import AUTO


def duration_problem(seconds: int, model: Model) -> str | None:
    """Why *model* does not make clips of so many *seconds*, and the remedy; None if it does."""
    if seconds in model.durations or (seconds == AUTO and model.auto):
        return None
    if not model.durations:
        return f"duration is not an input of {model.slug}, which gives its clips their length itself; leave it out"
    if seconds == AUTO:
        return f"{model.slug} does not choose the length itself; name a duration, such as {model.durations[0]}"
    return f"duration {seconds} is not offered by {model.slug}; the nearest is {_nearest(seconds, model.durations)}"


def fps_problem(fps: int, model: Model) -> str | None:
    """Why *model* can't be asked for *fps*, and the remedy; None if it can."""
    if fps in model.fps:
        return None
    if not model.fps:
        return f"fps is not an input of {model.slug}; leave it out"
    return f"fps {fps} is not offered by {model.slug}; the nearest is {_nearest(fps, model.fps)}"


PROBLEMS_OF: dict[str, Callable[[Any, Model], str | None]] = {"duration": duration_problem, "fps": fps_problem}


def first_offered(field: str, model: Model) -> Any:
    """The value of *field* that *model* is asked for where the storyboard names none; None where it takes none."""
    if field == "duration":
        return model.durations[0] if model.durations else AUTO
    return model.fps[0] if model.fps else None


def is_input(field: str, model: Model) -> bool:
    """Whether *model* can be asked for a *field* at all."""
    return bool(model.durations if field == "duration" else model.fps)


def _nearest(asked: int, offered: Iterable[int]) -> int:
    return min(offered, key=lambda one: (abs(one - asked), one))
