"""Checks of the sound files that a board names. None of them is part of a key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import PurePosixPath

from prefect_seedance.errors import BadInput
from prefect_seedance.sources.sounds import SoundSource
from prefect_seedance.storyboard.board import MOST_SHOTS
from prefect_seedance.storyboard.checks.findings import Findings
from prefect_seedance.storyboard.checks.texts import check_names
from prefect_seedance.storyboard.documents import Loc
from prefect_seedance.storyboard.schema import Outline
from prefect_seedance.storyboard.texts import filled, unset
from prefect_seedance.text import printable, without_credentials
from prefect_seedance.video.formats import SOUND_FORMATS

MOST_SOUNDS = 1_000
LONGEST_PATH = 300

Sounds = Mapping[str, SoundSource | BadInput]
"""What was heard at each place, or why nothing could be."""


def sound_places(outline: Outline) -> Iterator[str]:
    """Where the sounds of *outline* are, as far as the variables in their paths have values."""
    variables = outline.board.variables
    narrations = dict.fromkeys(shot.narration for shot in outline.board.shots[:MOST_SHOTS])
    files = (said for said in narrations if said and is_sound_file(filled(said, variables).strip()))
    for place in (outline.board.music, *islice(files, MOST_SOUNDS)):
        if place and not unset(place, variables):
            yield filled(place, variables).strip()


def is_sound_file(narration: str) -> bool:
    """Whether a narration names a sound file; anything else is a text to be spoken."""
    one_line = "\n" not in narration and len(narration) <= LONGEST_PATH
    return one_line and PurePosixPath(narration.partition("?")[0]).suffix.lower() in SOUND_FORMATS


def music_of(found: Findings, sounds: Sounds) -> SoundSource | None:
    """The music of a board; None where it names none, or, with a problem, none that can be used."""
    board = found.outline.board
    if board.music is None:
        return None
    if board.sound == "off":
        found.warn(("music",), "with `sound: off` the film is silent, without this music; write `sound: clips`")
    return sound_at(("music",), "music", board.music, found, sounds)


def sound_at(loc: Loc, kind: str, place: str, found: Findings, sounds: Sounds) -> SoundSource | None:
    """The sound at *place*, which *loc* names; None, with a problem, if it can't be used."""
    variables = found.outline.board.variables
    check_names(found, loc, place)
    if unset(place, variables):
        return None
    place = filled(place, variables).strip()
    if not place:
        found.problem(loc, "the path is empty; name a sound file or leave it out")
        return None
    source = sounds.get(place, BadInput(f"there are more than {MOST_SOUNDS:,} sound files; name fewer"))
    if isinstance(source, BadInput):
        found.problem(loc, f"{kind} {printable(without_credentials(place))}: {source}")
        return None
    return source
