"""Captions: who reads them has the time, in any script, and nothing of a text is markup."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest

from prefect_seedance.production.captions import Cue, as_srt, as_vtt, cues_of

SECOND = Fraction(1)


def test_a_short_text_is_shown_as_long_as_its_shot() -> None:
    assert cues_of("Hello.", 2 * SECOND, 7 * SECOND) == [Cue(Fraction(2), Fraction(7), "Hello.")]


def test_a_text_of_nothing_shows_nothing() -> None:
    assert cues_of(" \n ", SECOND, 2 * SECOND) == []


@pytest.mark.parametrize(
    "text", ["word " * 40, "x" * 300, "灯台の光が海を照らす。" * 12], ids=["words", "one word", "wide"]
)
def test_a_long_text_is_shown_in_parts_that_fit_and_share_the_time(text: str) -> None:
    cues = cues_of(text, SECOND, 11 * SECOND)
    assert len(cues) > 1
    assert (cues[0].begins, cues[-1].ends) == (1, 11)
    assert all(before.ends == after.begins for before, after in itertools.pairwise(cues))
    assert all(len(cue.text.splitlines()) <= 2 and max(map(len, cue.text.splitlines())) <= 42 for cue in cues)
    assert "".join("".join(cue.text for cue in cues).split()) == "".join(text.split())


def test_a_long_text_without_spaces_is_broken_in_one_walk() -> None:
    """Counted from its end for each line, this one takes hours, in which no other shot goes on."""
    text = "灯" * 100_000
    lines = [line for cue in cues_of(text, SECOND, 11 * SECOND) for line in cue.text.splitlines()]
    assert ("".join(lines), {len(line) for line in lines[:-1]}) == (text, {21})


def test_times_are_written_as_the_formats_want_them() -> None:
    cue = Cue(Fraction(3661), Fraction(7322) + Fraction(1, 24), "One\nTwo")
    assert as_srt([cue]) == "1\n01:01:01,000 --> 02:02:02,042\nOne\nTwo\n"
    assert as_vtt([cue]) == "WEBVTT\n\n01:01:01.000 --> 02:02:02.042\nOne\nTwo\n"


def test_no_text_passes_for_a_time_or_ends_its_cue_before_the_end() -> None:
    cue = Cue(Fraction(1), Fraction(2), "North\n00:00:03,000 --> 00:00:04,000\n \n\nSouth")
    shown = "North\n00:00:03,000 → 00:00:04,000\nSouth\n"
    assert as_srt([cue]) == f"1\n00:00:01,000 --> 00:00:02,000\n{shown}"
    assert as_vtt([cue]) == f"WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n{shown}"


def test_nothing_of_a_text_is_markup() -> None:
    assert "<b>" not in as_vtt([Cue(SECOND, 2 * SECOND, "<b>bold</b> --> & so on")])
