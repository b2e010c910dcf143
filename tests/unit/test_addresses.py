"""Addresses of the project stand in one place, and what they name is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from prefect.blocks.core import Block

from prefect_seedance import addresses
from prefect_seedance.orchestration.blocks import RunpodCredentials, SpendingLimits, VideoStore
from tests.support.places import ROOT

PYPROJECT = ROOT / "pyproject.toml"
HELD_BY = {"prefect_seedance/addresses.py", "pyproject.toml"}
TEXTS = {".py", ".md", ".toml", ".yaml", ".yml", ".html", ".json", ".txt"}


def test_the_urls_of_the_package_are_those_of_the_code() -> None:
    assert tomllib.loads(PYPROJECT.read_text())["project"]["urls"] == {
        "Homepage": addresses.HOME,
        "Documentation": addresses.DOCUMENTATION,
        "Changelog": addresses.file_at_home("CHANGELOG.md"),
        "Issues": f"{addresses.HOME}/issues",
    }


def test_no_other_file_spells_the_home_of_the_project() -> None:
    folders = ("prefect_seedance", "flows", "docs", "deployments", "examples")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*") if file.suffix in TEXTS]
    files += [file for file in ROOT.glob("*") if file.suffix in TEXTS]
    spelt = {file.relative_to(ROOT).as_posix() for file in files if addresses.HOME in file.read_text(encoding="utf-8")}
    assert spelt == HELD_BY


@pytest.mark.parametrize("block", [RunpodCredentials, SpendingLimits, VideoStore])
def test_documentation_and_logo_of_a_block_are_there(block: type[Block]) -> None:
    page = urlsplit(str(block._documentation_url))
    assert f"## {page.fragment.capitalize()}\n" in _file(page.path).read_text(encoding="utf-8")
    assert _file(urlsplit(str(block._logo_url)).path).read_bytes().startswith(b"\x89PNG")


def _file(path: str) -> Path:
    """The file of this repository that the path of an address names."""
    [name] = re.findall(r"/(?:tree|raw)/main/(.+)", path)
    return ROOT / name
