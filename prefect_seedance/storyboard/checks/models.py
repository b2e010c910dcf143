"""Checks of the model of each shot, and of how long and how fast its clip is asked for."""

from __future__ import annotations

from typing import Any

from prefect_seedance.catalog.endpoints import Catalog, Model
from prefect_seedance.catalog.options import PROBLEMS_OF, first_offered, is_input
from prefect_seedance.storyboard.checks.findings import Findings
from prefect_seedance.storyboard.checks.inputs import check_default_inputs
from prefect_seedance.storyboard.checks.sizes import check_default_size
from prefect_seedance.text import printable


def check_defaults(found: Findings, catalog: Catalog) -> None:
    defaults = found.outline.board.defaults
    if not (model := catalog.get(defaults.model)):
        found.problem(("defaults", "model"), _unknown_model(defaults.model, catalog, found))
        return
    if model.kind != "video":
        found.problem(("defaults", "model"), _no_clips(model))
        return
    check_default_size(found, model)
    check_default_inputs(found, model)
    for field, problem_of in PROBLEMS_OF.items():
        value = getattr(defaults, field)
        if value is not None and (message := problem_of(value, model)):
            found.problem(("defaults", field), message)


def model_of(number: int, found: Findings, catalog: Catalog) -> Model | None:
    """The model of a shot: its own, else that of the defaults; None where the catalog has none that makes clips."""
    shots = found.outline.board.shots
    slug = shots[number].model
    model = catalog.get(slug or found.outline.board.defaults.model)
    if slug and (model is None or model.kind != "video"):
        again = any(shot.model == slug for shot in shots[:number])
        message = _no_clips(model) if model else _unknown_model(slug, catalog, found, again=again)
        found.problem(("shots", number, "model"), message)
        return None
    usable = model is not None and model.kind == "video"
    if not usable or (not slug and found.outline.is_broken(("defaults", "model"))):
        found.block(number, "the model of the defaults is wrong")
    return model if usable else None


def value_of(field: str, number: int, model: Model, found: Findings) -> Any:
    """The value of *field*: that of the shot, else of the defaults, else the first that *model* offers.

    A value that the model does not offer blocks the shot.
    """
    spec, default = found.outline.board.shots[number], getattr(found.outline.board.defaults, field)
    own, problem_of = getattr(spec, field), PROBLEMS_OF[field]
    if own is not None:
        if message := problem_of(own, model):
            found.problem(("shots", number, field), message)
        return own
    if found.outline.is_broken(("defaults", field)):
        found.block(number, f"the {field} of the defaults is wrong")
    if default is None or (spec.model and not is_input(field, model)):
        return first_offered(field, model)
    if message := problem_of(default, model):
        if spec.model:
            found.problem(("shots", number, "model"), f"{message}; it comes from the defaults, so give one here")
        found.block(number, message)
    return default


def _no_clips(model: Model) -> str:
    return f"{model.slug} speaks texts and makes no clips; choose a model that makes them"


def _unknown_model(slug: str, catalog: Catalog, found: Findings, *, again: bool = False) -> str:
    known = "; choose one of those named above" if again else "; known are " + ", ".join(catalog)
    meant = found.hints.near(slug, catalog) or known
    return f"model `{printable(slug)}` is not in the catalog{meant}"
