"""The list of commands, and what a command has to wait for."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version

import pytest
from packaging.version import Version

from prefect_seedance.cli.app import CAMPAIGN, LATER

PLAN = """
import sys
from prefect_seedance.cli import app
sys.argv = ["prefect-seedance", "plan", "nothing.yaml", "--store", sys.argv[1], "--json"]
assert app.run() == 2
print(*sys.modules)
"""


@pytest.mark.parametrize("place", LATER | CAMPAIGN)
def test_the_list_of_commands_says_of_each_what_it_says_itself(place: str) -> None:
    module, _, name = place.partition(":")
    command = getattr(import_module(f"prefect_seedance.cli.{module}"), name)
    assert inspect.getdoc(command) == (LATER | CAMPAIGN)[place]


@pytest.mark.skipif(Version(version("cyclopts")) < Version("4.4"), reason="it imports all commands to run one")
def test_a_plan_waits_for_nothing_that_only_renders_need(tmp_path: object) -> None:
    ran = subprocess.run([sys.executable, "-c", PLAN, str(tmp_path)], capture_output=True, text=True, check=True)
    needless = {"prefect", "httpx", "rich", "av", "PIL", "s3fs", "prefect_seedance.generation.submit"}
    assert needless & set(ran.stdout.splitlines()[-1].split()) == set()
