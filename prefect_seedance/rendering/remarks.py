"""What a plan says beside its prices: what a change would pay again, and which narration is longer than its shot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from prefect_seedance.catalog.model import letters
from prefect_seedance.ledger.rules import History
from prefect_seedance.models import AUTO
from prefect_seedance.storyboard.board import Board, BoardShot
from prefect_seedance.text import dollars

LETTERS_PER_SECOND = 15
"""How fast a text is usually spoken."""


def chain_costs(board: Board) -> list[str]:
    """What changing the first shot of each chain would pay again down that chain, where all of it has a price."""
    followers: dict[str, list[BoardShot]] = {}
    for shot in board.shots:
        if shot.continue_from:
            followers.setdefault(shot.continue_from, []).append(shot)
    lines = []
    for shot in board.shots:
        if shot.continue_from is None and shot.id in followers:
            below = _below(shot.id, followers)
            if any(s.request is None for s in below):
                continue
            cost = dollars(sum((s.estimated_usd for s in below), Decimal(0)))
            lines.append(f"A change of {shot.id} also pays again for {', '.join(s.id for s in below)}: {cost}.")
    return lines


def _below(root: str, followers: Mapping[str, list[BoardShot]]) -> list[BoardShot]:
    found, queue = [], [root]
    while queue:
        for shot in followers.get(queue.pop(0), []):
            found.append(shot)
            queue.append(shot.id)
    return found


def longer_sounds(board: Board) -> Iterator[str]:
    """The narrations that are files and last longer than the shot they are heard over; none in a silent film."""
    for shot in board.shots if board.sound != "off" else ():
        if shot.voice is not None and (why := _longer(board, shot, shot.voice.heard.seconds)):
            yield f"The narration of {shot.id} {why}."


def longer_speech(board: Board, histories: Mapping[str, History]) -> dict[str, str]:
    """As `longer_sounds` of texts, by the id of what is spoken; by their length until they have been spoken."""
    found = {}
    for shot in board.shots:
        if shot.spoken is None or shot.spoken.key is None:
            continue
        last = histories[shot.spoken.key].last
        heard = last.heard if last is not None else None
        seconds = heard.seconds if heard else letters(shot.spoken.prompt) / LETTERS_PER_SECOND
        if why := _longer(board, shot, seconds, "" if heard else "about "):
            found[shot.spoken.id] = f"it {why}"
    return found


def _longer(board: Board, shot: BoardShot, seconds: float, about: str = "") -> str | None:
    if shot.request is None or shot.request.duration == AUTO or seconds <= shot.request.duration:
        return None
    then = "the last frame is held until it ends" if shot is board.shots[-1] else "it runs on over the next one"
    return f"takes {about}{seconds:.1f} s and its shot {shot.request.duration} s: {then}"
