"""Checks of shots that continue one another: links to nowhere, circles, long chains, and who waits for whom."""

from __future__ import annotations

from collections.abc import Collection

from prefect_seedance.storyboard.chains import Before, circles, in_order, waiting_for
from prefect_seedance.storyboard.checks.findings import Findings
from prefect_seedance.storyboard.schema import shot_name
from prefect_seedance.text import printable


def links_of(found: Findings) -> list[int | None]:
    """For each shot the one that it continues from; None also where it names itself or no shot, which is reported."""
    shots = found.outline.board.shots
    by_id: dict[str, int] = {}
    for number, shot in enumerate(shots):
        by_id.setdefault(shot.id, number)
    before: list[int | None] = []
    for number, shot in enumerate(shots):
        link = None if shot.continue_from is None else by_id.get(shot.continue_from)
        if shot.continue_from is not None and (link is None or link == number):
            _report_link(found, number, shot.continue_from, by_id)
            link = None
        before.append(link)
    return before


def check_circles(found: Findings, before: Before) -> None:
    """Report and block shots that continue from one another in a circle."""
    shots = found.outline.board.shots
    for circle in circles(before):
        names = [f"`{shot_name(shots, number)}`" for number in [*circle, circle[0]]]
        way = " → ".join(names if len(names) < 10 else [*names[:8], "…", names[-1]])
        message = f"these shots continue from one another in a circle: {way}; let one of them begin afresh"
        found.problem(("shots", circle[0], "continue_from"), message)
        for number in circle:
            found.block(number, message)


def warn_of_drift(found: Findings, before: Before) -> None:
    """Warn of long chains: each shot begins with a generated picture, so they grow softer and stranger."""
    most = found.outline.board.max_chain
    length: dict[int, int] = {}
    for number in in_order(before):
        link = before[number]
        length[number] = 1 if link is None else length.get(link, 1) + 1
        if length[number] == most + 1:
            message = (
                f"more than {most} shots continue one another here, and the picture drifts "
                "from shot to shot; begin anew with an `image`, or raise `max_chain:`"
            )
            found.warn(("shots", number, "continue_from"), message)


def block_followers(found: Findings, before: Before) -> None:
    """Block what continues from a blocked shot, with one message for all that wait for it, however long the chain."""
    shots = found.outline.board.shots
    for root, followers in waiting_for(before, found.blocked).items():
        name = shot_name(shots, root)
        others = [f"`{shot_name(shots, number)}`" for number in followers[1:4]]
        if len(followers) > 4:
            others.append(f"{len(followers) - 4} more")
        also = f"; so do {', '.join(others)}" if others else ""
        message = f"it continues from `{name}`, which is blocked, so correct that one{also}"
        found.problem(("shots", followers[0], "continue_from"), message)
        for number in followers:
            found.block(number, f"it continues from `{name}`, which is blocked")


def _report_link(found: Findings, number: int, wanted: str, ids: Collection[str]) -> None:
    loc = ("shots", number, "continue_from")
    if wanted in ids:
        found.problem(loc, "it continues from itself; name another shot, or remove `continue_from`")
    else:
        meant = found.hints.near(wanted, ids) or "; name the id of a shot of this storyboard"
        found.problem(loc, f"there is no shot `{printable(wanted)}` to continue from{meant}")
