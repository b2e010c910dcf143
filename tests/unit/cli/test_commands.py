"""The list of commands."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest

from prefect_seedance.cli.app import CAMPAIGN, LATER, app


@pytest.mark.parametrize("place", LATER | CAMPAIGN)
def test_the_list_of_commands_says_of_each_what_it_says_itself(place: str) -> None:
    module, _, name = place.partition(":")
    command = getattr(import_module(f"prefect_seedance.cli.{module}"), name)
    assert inspect.getdoc(command) == (LATER | CAMPAIGN)[place]


def test_no_command_has_an_option_that_nobody_wrote() -> None:
    assert "--empty-" not in app.generate_docs()
