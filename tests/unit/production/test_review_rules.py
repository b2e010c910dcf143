"""Rules of the W3C validator and of axe that the review page once broke, checked without either of them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pytest

from prefect_seedance.production import review
from prefect_seedance.production.manifest import Manifest, ShotStatus
from tests.support.boards import without_clip

MISSING: tuple[ShotStatus, ...] = ("running", "failed", "refused", "unclear", "lost", "blocked")


class Elements(HTMLParser):
    """Every element with its attributes, and the text of each link."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.links: list[tuple[dict[str, str | None], str]] = []
        self._open: dict[str, str | None] | None = None
        self._text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag == "a":
            self._open, self._text = dict(attrs), ""

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._open is not None:
            self.links.append((self._open, " ".join(self._text.split())))
            self._open = None


@pytest.fixture
def page() -> Elements:
    shots: Any = tuple(without_clip(f"fog {number}", status) for number, status in enumerate(MISSING))
    money = dict.fromkeys(("estimated_usd", "spent_usd", "reused_usd"), Decimal(0))
    manifest = Manifest(title="The lighthouse", status="nothing", plan_hash="9f2c", shots=shots, **money)
    text = review.page(
        manifest,
        names=[f"{number:02d}" for number in range(len(shots))],
        prompts={},
        videos={},
        posters={},
        film=None,
        downloads={},
        made=datetime(2026, 11, 25, 1, 2, 3, 123456, tzinfo=UTC),
        store_url="a b",
        notes=[],
    )
    return Elements(text)


def test_every_address_is_a_uri(page: Elements) -> None:
    addresses = [attributes[name] for _, attributes in page.found for name in ("href", "src") if name in attributes]
    assert any(str(address).startswith("data:") for address in addresses)
    for address in addresses:
        assert re.fullmatch(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&()*+,;=-]|%[0-9A-F]{2})+", str(address)), address


def test_every_time_is_one_that_html_knows(page: Elements) -> None:
    times = [attributes["datetime"] for tag, attributes in page.found if tag == "time"]
    assert times == ["2026-11-25T01:02:03Z"]


def test_the_name_of_a_link_begins_with_what_can_be_read_on_it(page: Elements) -> None:
    """Who speaks to a computer says what they see (WCAG 2.5.3)."""
    named = [(str(attributes["aria-label"]), text) for attributes, text in page.links if "aria-label" in attributes]
    assert len(named) == len(MISSING)
    for name, text in named:
        assert name.startswith(text)
        assert text
