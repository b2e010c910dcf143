"""The protocol lives in the project: what was checked, what is written and what runs are the same."""

from __future__ import annotations

import itertools
import re
from importlib.resources import files

import pytest

from docs.ledger.diagram import PAGE, with_diagram
from docs.ledger.key_model import KeyModel
from docs.ledger.key_world import MAY_FOLLOW, OPEN, Rules, Troubles, World
from docs.ledger.model import WITHOUT, without
from docs.ledger.search import explore
from prefect_seedance.ledger import rules

PROTOCOL = files("prefect_seedance.ledger").joinpath("PROTOCOL.md").read_text(encoding="utf-8")
QUICK = (
    "own claim not recognised",
    "any 4xx is free",
    "a free number's marker removed by age",
    "a lost key's marker removed by age",
    "closed with the announced claim id, known by it alone",
    "dead link believed at once",
    "money: settled before what it began has ended",
    "money: late without the reservation's end",
    "money: not judged again after a lost number",
    "money: keys written after the reservation",
    "money: unreadable keys are no keys",
)
"""Rules whose failure is found within a second or two; `make model` checks them all."""


def test_the_table_that_was_checked_is_the_table_that_runs() -> None:
    runs = {
        None if before is None else before.value: {step.value for step in steps}
        for before, steps in rules.MAY_FOLLOW.items()
    }
    assert runs == MAY_FOLLOW
    assert {step.value for step in rules.OPEN} == OPEN


def test_every_step_of_the_table_is_taken_in_the_model_and_no_other() -> None:
    searches = [
        KeyModel(Rules(), Troubles(roles="RC", claims=2, fails=True, closes=True)),
        KeyModel(Rules(), Troubles(roles="RC", looks=1, false_404=True, wants_again=True, closes=True)),
        KeyModel(Rules(), Troubles(roles="RR", alike=True, looks=1, any_age=True)),
        KeyModel(Rules(another_run=False), Troubles(roles="RC", link_dies=True)),  # else it takes three processes
    ]
    seen: set[World] = set()
    for model in searches:
        assert explore(model, seen=seen).violations == {}
    taken: dict[str | None, set[str]] = {before: set() for before in MAY_FOLLOW}
    for history in {world.history for world in seen}:
        steps = [None, *(record.step for record in history if record.step != "stray")]
        for before, after in itertools.pairwise(steps):
            taken[before].add(after or "")
    assert taken == MAY_FOLLOW


@pytest.mark.parametrize("name", QUICK)
def test_without_the_rule_a_promise_breaks(name: str) -> None:
    found, _, trace = without(name)
    assert found
    assert trace


def test_the_state_diagram_is_drawn_from_the_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_diagram(page), "run: python -m docs.ledger.diagram"


def test_the_protocol_ships_with_the_package_and_tells_the_table() -> None:
    rows = re.findall(r"^\| ([a-z, ]+) \| ([a-z, ]+) \| ", PROTOCOL, flags=re.MULTILINE)
    told: dict[str | None, set[str]] = {before: set() for before in MAY_FOLLOW}
    for before, after in rows:
        for one in before.split(", "):
            key = None if one == "nothing" else one
            if key in told:
                told[key] |= set(after.split(", "))
    assert told == MAY_FOLLOW


def test_the_protocol_names_every_rule_that_the_model_can_turn_off() -> None:
    assert [name for name in WITHOUT if f"| {name} |" not in PROTOCOL] == []
