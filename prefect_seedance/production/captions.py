"""Captions of a film: what is said in its shots, as SubRip (.srt) and WebVTT (.vtt), timed by frames of the clips."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple
from unicodedata import east_asian_width

WIDTH = 42
"""The most columns of a line; wide letters count twice, as broadcasters do."""

LINES = 2
"""The most lines at once; a longer text is shown in parts, each for its share of the time."""


class Cue(NamedTuple):
    """What is shown, and from when until when, in seconds from the start of the film."""

    begins: Fraction
    ends: Fraction
    text: str


def cues_of(text: str, begins: Fraction, ends: Fraction) -> list[Cue]:
    """*text* in parts that can be read at once, which share the time between *begins* and *ends* by their lengths."""
    lines = [line for paragraph in text.splitlines() for line in _lines(paragraph)]
    parts = ["\n".join(some) for some in _portions(lines, LINES)]
    whole, told, cues = sum(map(len, parts)), 0, []
    for part in parts:
        share = (ends - begins) / whole
        cues.append(Cue(begins + told * share, begins + (told + len(part)) * share, part))
        told += len(part)
    return cues


def as_srt(cues: Iterable[Cue]) -> str:
    """A SubRip file, in which no text passes for a time and none ends before its cue."""
    blocks = (
        f"{number}\n{_time(cue.begins, ',')} --> {_time(cue.ends, ',')}\n{_plain(cue.text)}\n"
        for number, cue in enumerate(cues, start=1)
    )
    return "\n".join(blocks)


def as_vtt(cues: Iterable[Cue]) -> str:
    """A WebVTT file, in which nothing of a text is markup."""
    blocks = (
        f"{_time(cue.begins, '.')} --> {_time(cue.ends, '.')}\n{html.escape(_plain(cue.text), quote=False)}\n"
        for cue in cues
    )
    return "\n".join(["WEBVTT\n", *blocks])


def _plain(text: str) -> str:
    """*text* without the arrow that parts two times, and without the blank line that ends a cue."""
    return "\n".join(line for line in text.replace("-->", "→").splitlines() if line.strip())


def _lines(text: str) -> Iterator[str]:
    """*text* in lines of at most `WIDTH` columns, broken at spaces, and inside of words where there are none."""
    line = ""
    for word in text.split():
        if line and _columns(f"{line} {word}") > WIDTH:
            yield line
            line = ""
        line = f"{line} {word}".strip()
        *full, line = _pieces(line)
        yield from full
    if line:
        yield line


def _pieces(line: str) -> list[str]:
    """*line* in pieces of at most `WIDTH` columns, in one walk: a text may have no spaces and no end."""
    pieces, columns = [""], 0
    for letter in line:
        wide = _columns(letter)
        if columns + wide > WIDTH:
            pieces.append("")
            columns = 0
        pieces[-1] += letter
        columns += wide
    return pieces


def _portions(lines: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (lines[at : at + size] for at in range(0, len(lines), size))


def _columns(text: str) -> int:
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def _time(seconds: Fraction, point: str) -> str:
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"
