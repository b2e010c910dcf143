"""docs/ is a site: it builds strictly, every link leads somewhere, and nothing is fetched when it is built or read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

import prefect_seedance
from docs.site.hooks import INCLUDED
from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.storyboard.schema import Storyboard
from tests.support.places import ROOT

NO_WAY_OUT = {f"{scheme}_proxy": "http://127.0.0.1:1" for scheme in ("http", "https", "all")}
"""Whatever is fetched fails, and a strict build with it."""
WHAT_IS_FETCHED = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src"}


class Built(HTMLParser):
    """What a page holds: its anchors, its links, and what a browser fetches for it."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.anchors, self.links, self.fetched, self.classes = set[str](), list[str](), list[str](), set[str]()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        self.classes |= set(given.get("class", "").split()) | {given.get("data-md-component", "")}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in WHAT_IS_FETCHED and WHAT_IS_FETCHED[tag] in given:
            self.fetched.append(given[WHAT_IS_FETCHED[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    ran = subprocess.run(
        command, cwd=ROOT, env=os.environ | NO_WAY_OUT, capture_output=True, text=True, check=False, timeout=300
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Built]:
    return {file: Built(file) for file in site.rglob("*.html") if file.name != "404.html"}


def test_every_link_of_the_site_leads_to_a_page_and_a_place_on_it(pages: dict[Path, Built]) -> None:
    dead = []
    for file, page in pages.items():
        for link in page.links:
            where, anchor = urldefrag(link)
            if urlsplit(where).scheme:
                continue
            target = (file.parent / unquote(where)).resolve() if where else file
            there = target in pages and (not anchor or unquote(anchor) in pages[target].anchors)
            dead += [] if there else [f"{file.name}: {link}"]
    assert len(pages) > 20
    assert dead == []


def test_pages_that_lie_elsewhere_in_the_repository_are_part_of_the_site(site: Path) -> None:
    assert {"README.md", "deployments/README.md", "prefect_seedance/ledger/PROTOCOL.md"} <= set(INCLUDED.values())
    assert [page for page in INCLUDED if not (site / page.replace(".md", ".html")).exists()] == []


def test_nothing_that_a_page_needs_lies_elsewhere(site: Path, pages: dict[Path, Built]) -> None:
    for file, page in pages.items():
        assert [name for name in page.fetched if urlsplit(name).scheme or name.startswith("//")] == []
        assert all((file.parent / urlsplit(name).path).exists() for name in page.fetched)
        # What the theme's script would fetch from elsewhere: the program that draws, and the stars of a repository.
        assert page.classes.isdisjoint({"mermaid", "source"})
    for style in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", style.read_text(encoding="utf-8")) == []


def test_the_pages_say_every_field_of_a_storyboard_and_every_model(site: Path) -> None:
    page = (site / "storyboards.html").read_text(encoding="utf-8")
    schema = Storyboard.model_json_schema()
    fields = {name for part in (schema, *schema["$defs"].values()) for name in part.get("properties", {})}
    assert {name for name in fields if f"<code>{name}</code>" not in page} == set()
    models = (site / "catalog.html").read_text(encoding="utf-8")
    assert [slug for slug in KNOWN if f'<h3 id="{slug}">' not in models] == []
    assert "generated: " not in page + models


def test_every_command_is_written_as_it_is_typed(site: Path) -> None:
    """Where the pages are built by `python -m`, a command without a name of its own would be shown with that module."""
    page = (site / "commands.html").read_text(encoding="utf-8")
    assert "prefect-seedance doctor" in page
    assert " -m " not in page


def test_every_public_name_has_its_place_on_the_page_of_the_python_api(site: Path) -> None:
    page = (site / "python.html").read_text(encoding="utf-8")
    assert [name for name in prefect_seedance.__all__ if f'id="prefect_seedance.{name}"' not in page] == []
