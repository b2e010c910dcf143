"""What the review page says; and rules of validators that it once broke, checked without them or a browser."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pytest

from prefect_seedance.production import review
from prefect_seedance.production.manifest import Manifest, NarrationResult, ShotStatus
from tests.support.boards import NOON, without_clip

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


def page_with(*, shots: Any = None, film: str | None = None, made: datetime = NOON) -> str:
    board = [without_clip("fog")] if shots is None else shots
    manifest = Manifest(
        title="The lighthouse",
        status="nothing",
        plan_hash="9f2c41d07be3",
        estimated_usd=Decimal(0),
        spent_usd=Decimal(0),
        reused_usd=Decimal(0),
        shots=tuple(board),
    )
    return review.page(
        manifest,
        names=[f"{number:02d}" for number in range(len(board))],
        prompts={},
        videos={},
        posters={},
        film=film,
        downloads={},
        made=made,
        store_url="a b",
        notes=[],
    )


@pytest.fixture
def page() -> Elements:
    shots = [without_clip(f"fog {number}", status) for number, status in enumerate(MISSING)]
    return Elements(page_with(shots=shots, made=datetime(2026, 11, 25, 1, 2, 3, 123456, tzinfo=UTC)))


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


def test_it_says_when_temporary_credentials_may_end_the_links_sooner() -> None:
    link = "https://host/film.mp4?X-Amz-Date=20261123T141530Z&X-Amz-Expires=604800&X-Amz-Security-Token=t"
    assert review.links_until([link, "shots/01.mp4"]) == datetime(2026, 11, 30, 14, 15, 30, tzinfo=UTC)
    assert "or until the temporary credentials" in page_with(film=link)
    assert "or until the temporary credentials" not in page_with(film=link.removesuffix("&X-Amz-Security-Token=t"))


def test_an_empty_board_and_one_of_a_thousand_shots_have_a_page() -> None:
    assert "None of the 0 shots" in page_with(shots=[])
    many = page_with(shots=[without_clip(f"s{number}") for number in range(1000)], film="film.mp4")
    assert "s7 (refused) and 992 more." in many


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        ("running", "prefect-seedance collect --store &#39;a b&#39;"),
        ("failed", "--retry-failed 1"),
        ("refused", "the stored shots are not paid again"),
        ("unclear", "prefect-seedance settle --store &#39;a b&#39;"),
        ("lost", "A raised take asks, and pays, for it anew"),
        ("blocked", "Nothing was submitted"),
    ],
)
def test_every_missing_shot_has_its_remedy(status: Any, remedy: str) -> None:
    error = "The job failed; try again with --retry-failed 1."
    assert remedy in page_with(shots=[without_clip("fog", status, error)]).replace(error, "")


def test_no_page_promises_another_attempt_at_what_was_refused() -> None:
    refused = page_with(shots=[without_clip("fog", "failed", "The prompt or picture was refused; change it.")])
    assert "Rendering again leaves it as it is." in refused
    assert "--retry-failed" not in refused


def test_no_page_offers_an_answer_that_may_be_wrong_or_says_that_a_clip_is_out_of_reach_that_may_be_had() -> None:
    assert "@1 --not-charged" not in page_with(shots=[without_clip("fog", "unclear").model_copy(update={"record": 1})])
    assert "can no longer be had" not in page_with(shots=[without_clip("fog", "lost")])


def test_a_narration_that_failed_is_told_with_its_cost_and_nothing_in_its_text_is_markup() -> None:
    refused = NarrationResult(
        status="refused", text="He <b>climbs</b>.", key="sd1-x", estimated_usd=Decimal("0.02"), error="It was refused."
    )
    page = page_with(shots=[without_clip("fog").model_copy(update={"narration": refused})])
    assert "The film lacks its narration, which is refused: It was refused." in page
    assert "✕ refused; nothing charged, estimated $0.02" in page
    assert "He &lt;b&gt;climbs&lt;/b&gt;." in page
