"""Checks of the pictures that a shot begins and ends with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Literal

from prefect_seedance.catalog.endpoints import Model
from prefect_seedance.errors import BadInput
from prefect_seedance.sources.images import SHORTEST_SIDE, PictureSource, sides_after_crop
from prefect_seedance.storyboard.board import MOST_SHOTS
from prefect_seedance.storyboard.checks.findings import Findings
from prefect_seedance.storyboard.checks.texts import check_names
from prefect_seedance.storyboard.documents import Loc
from prefect_seedance.storyboard.schema import Outline
from prefect_seedance.storyboard.texts import filled, unset
from prefect_seedance.text import printable, without_credentials

MOST_REFERENCES = 100
"""Pictures of one character, place or prop; no endpoint takes so many."""
MOST_CAST = 1_000
"""Pictures of a whole cast that are looked at."""

Pictures = Mapping[str, PictureSource | BadInput]
"""What was read at each place, or why it could not be."""


def picture_places(outline: Outline) -> Iterator[str]:
    """Where the pictures of *outline* are, as far as the variables in their paths have values."""
    shots = (place for shot in outline.board.shots[:MOST_SHOTS] for place in (shot.image, shot.last_image))
    cast = (place for places in outline.board.cast.values() for place in places[:MOST_REFERENCES])
    for place in chain(shots, islice(cast, MOST_CAST)):
        if place and not unset(place, outline.board.variables):
            yield filled(place, outline.board.variables)


def picture_of(
    field: Literal["image", "last_image"], number: int, found: Findings, pictures: Pictures
) -> PictureSource | None:
    """The picture that a shot names in *field*, to be cropped where that is wanted; None if none can be used."""
    board, spec = found.outline.board, found.outline.board.shots[number]
    place: str | None = getattr(spec, field)
    source = None if place is None else picture_at(("shots", number, field), place, found, pictures)
    return source and (source.cropped() if (board.defaults.crop if spec.crop is None else spec.crop) else source)


def picture_at(loc: Loc, place: str, found: Findings, pictures: Pictures) -> PictureSource | None:
    """The picture at *place*, which *loc* names; None, with a problem, if it can't be used."""
    variables = found.outline.board.variables
    check_names(found, loc, place)
    if unset(place, variables):
        return None
    place = filled(place, variables)
    if not place:
        found.problem(loc, "the path is empty; name a picture or leave it out")
        return None
    source = pictures[place]
    if isinstance(source, BadInput):
        found.problem(loc, f"picture {printable(without_credentials(place))}: {source}")
        return None
    return source


def check_crop(found: Findings, loc: Loc, source: PictureSource | None, size: str) -> None:
    """Report a picture of which too little is left when it is cropped to the ratio of *size*."""
    if source is None or not source.picture.crop:
        return
    wide, high = sides_after_crop(source.picture.width, source.picture.height, size)
    if min(wide, high) < SHORTEST_SIDE:
        cut = f"cropped to {size} it has only {wide}x{high} pixels of at least {SHORTEST_SIDE}; use a larger one"
        found.problem(loc, f"picture {printable(source.picture.source)}: {cut}")


def check_frames_taken(number: int, model: Model, found: Findings) -> None:
    """Report a first or last frame that *model* does not take, one that it needs, and two for one place."""
    spec, at = found.outline.board.shots[number], ("shots", number)
    if spec.image is not None and spec.continue_from is not None:
        found.problem((*at, "image"), "it has both `image` and `continue_from`, but one first frame; keep one of them")
    first = "image" if spec.image is not None else "continue_from" if spec.continue_from is not None else None
    if model.image == "none" and first:
        found.problem((*at, first), f"{model.slug} takes no picture; remove `{first}` or choose another model")
    if model.image == "required" and not first:
        message = f"{model.slug} needs a picture to begin with; add `image` or `continue_from`"
        found.problem((*at, "image"), message)
    if spec.last_image is not None and not model.last_image_key:
        message = f"{model.slug} takes no last frame; remove `last_image` or choose another model"
        found.problem((*at, "last_image"), message)
