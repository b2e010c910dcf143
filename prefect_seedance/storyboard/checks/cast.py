"""Checks of the cast: who and what is seen in a shot, as reference pictures for models that take them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

from prefect_seedance.catalog.model import Model, References
from prefect_seedance.sources.images import PictureSource
from prefect_seedance.storyboard.checks.findings import Findings
from prefect_seedance.storyboard.checks.pictures import MOST_CAST, MOST_REFERENCES, Pictures, picture_at
from prefect_seedance.storyboard.documents import Loc
from prefect_seedance.text import printable

Cast = Mapping[str, tuple[PictureSource, ...] | None]
"""The pictures of each name, in their order; None where one of them can't be used."""


def cast_of(found: Findings, pictures: Pictures) -> Cast:
    """The cast of a board. What can't be used is reported here, once, and not at each shot that names it."""
    cast = found.outline.board.cast
    if sum(map(len, cast.values())) > MOST_CAST or any(len(places) > MOST_REFERENCES for places in cast.values()):
        most = f"{MOST_CAST:,} pictures, {MOST_REFERENCES} for each name"
        found.problem(("cast",), f"the cast has more than {most}; name fewer")
        return dict.fromkeys(cast)
    return {name: _pictures_of(name, places, found, pictures) for name, places in cast.items()}


def _pictures_of(
    name: str, places: tuple[str, ...], found: Findings, pictures: Pictures
) -> tuple[PictureSource, ...] | None:
    if not places:
        found.problem(("cast", name), f"`{printable(name)}` has no picture; name at least one")
        return None
    seen = [picture_at(("cast", name, place), where, found, pictures) for place, where in enumerate(places)]
    good = tuple(one for one in seen if one is not None)
    return good if len(good) == len(seen) and not found.outline.is_broken(("cast", name)) else None


def references_of(number: int, model: Model, cast: Cast, found: Findings) -> tuple[PictureSource, ...]:
    """The reference pictures of a shot: those of its cast in the order in which it names them, each picture once.

    A model that takes none, or not so many, is a problem: no picture is ever left out silently.
    """
    spec, loc = found.outline.board.shots[number], ("shots", number, "cast")
    pictures = [_of(name, number, cast, found) for name in spec.cast]
    references: dict[str, PictureSource] = {}
    for one in chain.from_iterable(some or () for some in pictures):
        references.setdefault(one.picture.sha256, one)
    if model.references is None:
        if spec.cast:
            message = f"{model.slug} takes no reference pictures; remove `cast` here, or choose a model that does"
            found.problem(loc, f"{message}, such as kling-video-o1-r2v")
        return ()
    if None not in pictures:
        _check_number(len(references), model.slug, model.references, found, loc)
    return tuple(references.values())


def _check_number(count: int, slug: str, takes: References, found: Findings, loc: Loc) -> None:
    if count > takes.at_most:
        message = f"{slug} takes at most {takes.at_most} reference pictures, and this cast has {count}"
        found.problem(loc, f"{message}; name fewer of them")
    if count < takes.at_least:
        message = f"{slug} needs at least {takes.at_least} reference picture{'s' if takes.at_least > 1 else ''}"
        found.problem(loc, f"{message}; name a `cast` for the board, and whom of it this shot shows")


def _of(name: str, number: int, cast: Cast, found: Findings) -> tuple[PictureSource, ...] | None:
    """The pictures of *name*; None, and the shot is blocked, if they can't be had."""
    outline = found.outline
    if name in cast and (pictures := cast[name]) is not None:
        return pictures
    if name in cast or outline.is_broken(("cast", name)):
        found.block(number, f"the pictures of `{printable(name)}` can't be used")
    else:
        meant = found.hints.near(name, cast) or "; name it with its pictures in `cast:` of the board"
        found.problem(("shots", number, "cast"), f"there is no `{printable(name)}` in the cast{meant}")
    return None
