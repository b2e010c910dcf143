"""The rules of a storyboard: from what somebody wrote to requests, or to everything that has to be corrected first."""

from __future__ import annotations

from prefect_seedance.catalog.endpoints import Catalog
from prefect_seedance.models import Problem
from prefect_seedance.storyboard.board import MOST_SHOTS, Board
from prefect_seedance.storyboard.checks.findings import Findings
from prefect_seedance.storyboard.checks.models import check_defaults
from prefect_seedance.storyboard.checks.pictures import Pictures
from prefect_seedance.storyboard.checks.shots import check_shots
from prefect_seedance.storyboard.checks.sounds import Sounds, music_of
from prefect_seedance.storyboard.checks.texts import check_text, check_title, check_variables
from prefect_seedance.storyboard.schema import Outline
from prefect_seedance.storyboard.texts import title_of
from prefect_seedance.storyboard.words import words_of


def check(outline: Outline, catalog: Catalog, pictures: Pictures, sounds: Sounds) -> Board:
    """*outline* as requests with their keys and prices, and everything that is wrong in the order of the file.

    *pictures* has an entry for each of its `picture_places`, *sounds* for each of its `sound_places`.
    """
    found = Findings(outline)
    check_title(found)
    check_text(found, ("style",), outline.board.style)
    check_variables(found)
    music = music_of(found, sounds)
    _check_number_of_shots(found)
    check_defaults(found, catalog)
    shots = check_shots(found, catalog, pictures, sounds) if len(outline.board.shots) <= MOST_SHOTS else ()
    title = title_of(outline.board.title, outline.board.variables)
    problems, warnings = (_by_place(some, outline.file) for some in (found.problems, found.warnings))
    words = words_of(outline.board, outline.board.variables)
    return Board(title, shots, problems, warnings, outline.file, words, outline.board.sound, music)


def _check_number_of_shots(found: Findings) -> None:
    shots = found.outline.board.shots
    if not shots:
        found.problem(("shots",), "there are no shots; add at least one with `id:` and `prompt:`")
    if len(shots) > MOST_SHOTS:
        message = f"there are {len(shots):,} shots; the most is {MOST_SHOTS:,}, so split the storyboard"
        found.problem(("shots",), message)


def _by_place(problems: list[Problem], file: str) -> tuple[Problem, ...]:
    """*problems* in reading order: those of other files and of the whole board first, then by line of *file*."""
    return tuple(sorted(problems, key=lambda problem: (problem.line or 0) if problem.file == file else 0))
