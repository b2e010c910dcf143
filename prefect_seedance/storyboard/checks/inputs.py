"""Checks of the further inputs of each shot against what the row of its model declares."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from prefect_seedance.catalog.inputs import Wrong, checked, described, missing, without_usual
from prefect_seedance.catalog.model import Model
from prefect_seedance.storyboard.checks.findings import Findings
from prefect_seedance.storyboard.checks.texts import check_names
from prefect_seedance.storyboard.documents import Loc
from prefect_seedance.storyboard.named import texts_in
from prefect_seedance.storyboard.texts import filled, text_problem
from prefect_seedance.text import printable


def check_default_inputs(found: Findings, model: Model) -> None:
    for name, value in found.outline.board.defaults.inputs.items():
        if value is not None:
            reported_input(found, ("defaults", "inputs", name), name, value, model)


def inputs_of(number: int, model: Model, found: Findings) -> dict[str, JsonValue]:
    """What a shot asks beside its fields: its own inputs before those of the defaults, as they are sent.

    A wrong one is a problem. One of the defaults that another model of the shot does not take is a warning.
    """
    spec, defaults = found.outline.board.shots[number], found.outline.board.defaults.inputs
    asked: dict[str, JsonValue] = {}
    for name, value in defaults.items():
        if name not in spec.inputs and value is not None:
            asked |= _from_defaults(number, name, value, model, found)
    for name, value in spec.inputs.items():
        if value is not None:
            asked |= reported_input(found, ("shots", number, "inputs", name), name, value, model)
    for name in missing({**defaults, **spec.inputs}, model):
        message = f"{model.slug} needs the input `{name}`, {described(model.inputs[name])}; add it to `inputs`"
        found.problem(("shots", number, "inputs"), message)
    return without_usual(asked, model)


def _from_defaults(number: int, name: str, value: JsonValue, model: Model, found: Findings) -> dict[str, JsonValue]:
    if found.outline.board.shots[number].model is None:
        try:
            return {name: _asked(name, value, model, found)}
        except Wrong:  # which is said once, of the defaults
            found.block(number, f"the input `{name}` of the defaults is wrong")
            return {}
    if name not in model.inputs:
        message = f"input `{printable(name)}` of the defaults is not one of {model.slug}; this shot is asked without it"
        found.warn(("shots", number, "model"), message)
        return {}
    return reported_input(found, ("shots", number, "model"), name, value, model, "; it comes from the defaults")


def reported_input(
    found: Findings, loc: Loc, name: str, value: JsonValue, model: Model, suffix: str = ""
) -> dict[str, JsonValue]:
    """The input as it is sent, by its name; nothing, with a problem at *loc*, for a wrong one."""
    for text in texts_in(value):
        check_names(found, loc, text)
    try:
        return {name: _asked(name, value, model, found)}
    except Wrong as error:
        meant = found.hints.near(name, model.inputs) if name not in model.inputs else ""
        found.problem(loc, f"{error}{meant}{suffix}")
        return {}


def _asked(name: str, value: JsonValue, model: Model, found: Findings) -> JsonValue:
    asked = checked(name, _filled(value, found.outline.board.variables), model)
    if isinstance(asked, str) and (message := text_problem(asked, name)):
        raise Wrong(message)
    return asked


def _filled(value: JsonValue, variables: Mapping[str, str]) -> JsonValue:
    """*value* with the variables of all its texts filled."""
    if isinstance(value, str):
        return filled(value, variables)
    if isinstance(value, list):
        return [_filled(one, variables) for one in value]
    return {name: _filled(one, variables) for name, one in value.items()} if isinstance(value, dict) else value
