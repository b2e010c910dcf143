"""Titles and ids keep their letters in the names of files, in any script, and no name is dangerous anywhere."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_seedance.production.names import slug_beside
from prefect_seedance.text import RESERVED, file_words, folded, slug


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("灯塔", "灯塔"),
        ("灯塔：第一集 🎬", "灯塔-第一集"),
        ("Маяк и ёлка", "маяк-и-ёлка"),
        ("がくえん ガクエン ｶﾞｸｴﾝ", "がくえん-ガクエン-ガクエン"),
        ("المنارة القديمة", "المنارة-القديمة"),
        ("می\u200cخواهم", "میخواهم"),
        ("\u202eהמגדלור\u202c", "המגדלור"),
        ("कि 登る", "कि-登る"),
        ("Đường phố", "đường-phố"),
        ("café 灯", "café-灯"),
        ("../灯/塔\\..", "灯-塔"),
        ("１２ 灯", "12-灯"),
        ("葛\U000e0100城", "葛城"),
    ],
)
def test_letters_of_any_script_are_kept(title: str, name: str) -> None:
    assert slug(title) == name


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("The lighthouse", "the-lighthouse"),
        ("  Über den Wolken!  ", "uber-den-wolken"),
        ("Straße", "strasse"),
        ("../../etc/passwd", "etc-passwd"),
        ("…", "untitled-b49358"),
        ("x" * 60, "x" * 41 + "-42f2d9"),
        ("A long title that goes on and on and on for ever", "a-long-title-that-goes-on-and-on-and-on-for-ever"),
        ("A long title that goes on and on and on for ever!!", "a-long-title-that-goes-on-and-on-and-on-for-ever"),
    ],
)
def test_titles_in_latin_letters_keep_the_names_they_had(title: str, name: str) -> None:
    assert slug(title) == name


@pytest.mark.parametrize("title", ["CON", "nul", "Com1", "lpt9 ", "AUX!"])
def test_no_folder_is_named_like_a_device_of_windows(title: str) -> None:
    assert slug(title) not in RESERVED
    assert slug(title).startswith(title.strip(" !").lower())


def test_long_titles_that_differ_at_the_end_do_not_share_a_folder() -> None:
    one, other = slug("灯" * 60 + "塔"), slug("灯" * 60 + "火")
    assert one != other
    assert one.startswith("灯灯灯")


def test_titles_of_one_slug_are_kept_apart_and_spellings_of_one_title_are_not() -> None:
    titles = ("Spring (C++)", "Spring (C#)", "灯" * 60 + "塔", "灯" * 60 + "塔!", "con", "con!")
    assert len({slug_beside(title) for title in titles} | {slug(title) for title in titles}) == 6 + 4
    assert slug_beside("Spring (C#)") == slug_beside(" ＳＰＲＩＮＧ  (c#)\u200b") == "spring-c-fb6b5b"
    assert len(f"{slug_beside('灯' * 60)}.part".encode()) <= 143


@given(st.text(max_size=120))
def test_no_title_leaves_its_folder_or_is_too_long_for_one(title: str) -> None:
    name = slug(title)
    assert all(mark == "-" or unicodedata.category(mark)[0] in "LMN" for mark in name)
    assert name.strip("-") == name != ""
    assert len(f"5000-{name}.mp4".encode()) <= 143
    assert name not in RESERVED


@given(st.text(max_size=120))
def test_spellings_of_one_title_share_a_folder(title: str) -> None:
    """Composed or not, in capitals or not: file systems that take them for one would mix up two productions."""
    if title.isascii():
        return
    spellings = [unicodedata.normalize(form, title) for form in ("NFC", "NFD")]
    assert len({slug(spelling) for spelling in spellings}) == 1
    assert len({folded(spelling) for spelling in spellings}) == 1
    if file_words(title):
        assert file_words(file_words(title)) == file_words(title)
        assert file_words(title.casefold()) == file_words(title)
