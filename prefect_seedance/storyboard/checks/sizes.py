"""Checks of the size of each shot: from a size, a word such as 720p and a ratio to the exact size that is asked for."""

from __future__ import annotations

from prefect_seedance.catalog.model import Model
from prefect_seedance.catalog.sizes import NoSuchSize, chosen_size
from prefect_seedance.storyboard.checks.findings import Findings


def check_default_size(found: Findings, model: Model) -> None:
    defaults = found.outline.board.defaults
    try:
        chosen_size(defaults.size, defaults.aspect_ratio, model)
    except NoSuchSize as error:
        found.problem(("defaults", error.field), str(error))


def size_of(number: int, model: Model, found: Findings) -> str | None:
    """The exact size of a shot, by its own words before those of the defaults; None, with a problem, if there is none.

    An exact size of its own leaves the ratio of the defaults aside, a ratio of its own turns the size of the defaults.
    """
    spec, defaults = found.outline.board.shots[number], found.outline.board.defaults
    if spec.size is None and spec.aspect_ratio is None:
        return _default_size(number, model, found)
    size, ratio = spec.size, spec.aspect_ratio
    if size is None and defaults.size is not None:
        tier = model.tier_of(defaults.size)
        size = tier.name if tier else defaults.size
    elif ratio is None and size not in model.sizes:
        ratio = defaults.aspect_ratio
    try:
        return _with_a_picture(number, ratio, chosen_size(size, ratio, model), model, found)
    except NoSuchSize as error:
        own = error.field if getattr(spec, error.field) is not None else "size" if spec.size else "aspect_ratio"
        found.problem(("shots", number, own), str(error))
        return None


def _default_size(number: int, model: Model, found: Findings) -> str | None:
    spec, defaults = found.outline.board.shots[number], found.outline.board.defaults
    for field in ("size", "aspect_ratio"):
        if found.outline.is_broken(("defaults", field)):
            found.block(number, f"the {field} of the defaults is wrong")
    try:
        size = chosen_size(defaults.size, defaults.aspect_ratio, model)
    except NoSuchSize as error:
        if spec.model:
            message = f"{error}; it comes from the defaults, so give one here"
            found.problem(("shots", number, "model"), message)
        found.block(number, str(error))
        return None
    return _with_a_picture(number, defaults.aspect_ratio, size, model, found)


def _with_a_picture(number: int, ratio: str | None, size: str, model: Model, found: Findings) -> str:
    """*size*, where a ratio that follows the picture has a picture to follow; a problem where it has none."""
    spec = found.outline.board.shots[number]
    follows = ratio is not None and ratio == model.ratio_with_image
    if follows and not (spec.image or spec.last_image or spec.continue_from):
        message = f"aspect_ratio {ratio} is that of the first picture, and there is none; name a ratio"
        found.problem(("shots", number, "aspect_ratio"), message)
    return size
