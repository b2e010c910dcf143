"""What the pages for developers say of the code is true of it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import prefect_seedance
from tests.support.places import ROOT

PACKAGE = Path(prefect_seedance.__file__).parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deployments/*.md"), *PACKAGE.rglob("*.md")]


def test_the_picture_of_the_floors_is_the_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    page = (ROOT / "docs" / "architecture.md").read_text()
    [picture] = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    assert [re.split(r" {2,}", line)[0] for line in picture.splitlines()] == layers


def test_every_file_that_a_page_names_is_there() -> None:
    missing = {
        f"{page.name}: {name}"
        for page in PAGES
        for name in re.findall(r"`([\w./]+\.py)`", page.read_text(encoding="utf-8"))
        if not any((folder / name).exists() for folder in (ROOT, PACKAGE, page.parent))
    }
    assert missing == set()


def test_every_link_between_pages_leads_somewhere() -> None:
    dead = [
        f"{page.name}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert dead == []


def test_every_make_target_that_a_page_names_is_there() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"(?:`|^)make (\w+)", page.read_text(), re.MULTILINE)}
    assert named <= targets
