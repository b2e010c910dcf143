"""Checks of what is written: title, variables, style, prompts and ids."""

from __future__ import annotations

from prefect_seedance.storyboard.checks.findings import Findings
from prefect_seedance.storyboard.documents import Loc
from prefect_seedance.storyboard.texts import (
    LONGEST_TITLE,
    VARIABLE,
    file_name,
    filled,
    id_problem,
    text_problem,
    title_of,
    unset,
)
from prefect_seedance.text import printable


def check_title(found: Findings) -> None:
    board = found.outline.board
    title = title_of(board.title, board.variables)
    if not title:
        found.problem(("title",), "the title is empty; productions are kept under it, so give one")
    if len(title) > LONGEST_TITLE:
        found.problem(("title",), f"the title has {len(title):,} characters; shorten it to {LONGEST_TITLE}")
    check_names(found, ("title",), board.title)


def check_variables(found: Findings) -> None:
    for name in found.outline.board.variables:
        if not VARIABLE.fullmatch(f"{{{name}}}"):
            message = f"`{printable(name)}` can't be a variable; use letters, digits and underscores"
            found.problem(("variables", name), message)


def check_names(found: Findings, loc: Loc, text: str) -> None:
    """Report each {name} in *text* that has no value."""
    if not found.variables_known:
        return
    variables = found.outline.board.variables
    for name in unset(text, variables):
        remedy = found.hints.near(name, variables) or "; add it to `variables:`, or write it without braces"
        found.problem(loc, f"`{{{printable(name)}}}` has no value{remedy}")


def check_text(found: Findings, loc: Loc, text: str) -> None:
    """Report what keeps *text* from being sent as the prompt or style at *loc*."""
    check_names(found, loc, text)
    if message := text_problem(filled(text, found.outline.board.variables), str(loc[-1])):
        found.problem(loc, message)


def check_ids(found: Findings) -> None:
    """Report ids that can't be file names, and those that would make the same one."""
    shots, first = found.outline.board.shots, dict[str, int]()
    for number, shot in enumerate(shots):
        loc = ("shots", number, "id")
        if message := id_problem(shot.id):
            found.problem(loc, message)
            continue
        other = first.setdefault(file_name(shot.id), number)
        if other == number:
            continue
        line = found.outline.note(("shots", other, "id"), "").line
        where = f"first on line {line}" if line else f"first for shot {other + 1}"
        if shot.id == shots[other].id:
            found.problem(loc, f"id `{shot.id}` is used twice, {where}; give each shot an id of its own")
        else:
            message = f"id `{shot.id}` makes the same file name as `{shots[other].id}`, {where}; choose another"
            found.problem(loc, message)
