"""Boards of other tools: what they call title, shots, id and prompt is read as ours, and the board says so.

Only what must be there is looked for, and only where it is missing: a board in our own words stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from prefect_seedance.storyboard.documents import Loc, Node
from prefect_seedance.storyboard.elsewhere import BOARD_HEADERS, BOARD_SHOTS, BOARD_TITLES, LENGTHS, SHOT_FIELDS
from prefect_seedance.storyboard.hints import plain
from prefect_seedance.text import printable

Fields = dict[str, Node]


def in_our_words(tree: Node, stem: str | None) -> tuple[Node, list[tuple[Loc, str]]]:
    """*tree* with our names, and a warning where each other one first stands.

    A list of shots is a board, and one of another tool without a title has that of its file, the *stem*; without a
    *stem* neither is so.
    """
    said = list[tuple[Loc, str]]()
    ours = isinstance(tree.value, dict) and "shots" in tree.value
    if stem is not None and _are_shots(tree):
        tree = Node(tree.line, {"shots": tree})
        said.append((("shots",), "the list is read as `shots`"))
    if not isinstance(tree.value, dict):
        return tree, []
    board = dict(tree.value)
    for field, name in _board_names(board):
        board = _renamed(board, {name: field})
        said.append(((field,), _read_as(name, field)))
    for name, header in _named(board, BOARD_HEADERS):
        title = header.value.get("title") if isinstance(header.value, dict) else None
        if "title" not in board and title is not None and isinstance(title.value, str):
            board["title"] = title
            said.append((("title",), f"`title` in `{printable(name)}` is read as that of the board"))
    if stem is not None and not ours and "shots" in board and "title" not in board:
        board["title"] = Node(tree.line, stem)
        said.append((("title",), f"field `title` is missing; `{printable(stem)}` is taken, the name of the file"))
    shots = board.get("shots", Node(tree.line, None))
    if isinstance(shots.value, list):
        names_of = SHOT_FIELDS if ours else SHOT_FIELDS | LENGTHS
        translated = [_shot(shot, names_of) for shot in shots.value]
        board["shots"] = replace(shots, value=[shot for shot, _ in translated])
        said += _first_of_each([names for _, names in translated])
    return replace(tree, value=board), said


def _board_names(board: Fields) -> Iterator[tuple[str, str]]:
    """Our fields that the board lacks, with the names that it has for them."""
    shots = (name for name, node in _named(board, BOARD_SHOTS) if _are_shots(node))
    titles = (name for name, node in _named(board, BOARD_TITLES) if isinstance(node.value, str))
    for field, names in (("shots", shots), ("title", titles)):
        if field not in board and (name := next(names, None)):
            yield field, name


def _are_shots(node: Node) -> bool:
    """Whether it is a list of fields: scenes that have shots of their own are none."""
    return isinstance(node.value, list) and all(
        isinstance(shot.value, dict) and "shots" not in shot.value for shot in node.value
    )


def _shot(shot: Node, names_of: Mapping[str, str]) -> tuple[Node, Mapping[str, str]]:
    if not isinstance(shot.value, dict):
        return shot, {}
    names: dict[str, str] = {}
    for name, node in _named(shot.value, names_of):
        field = names_of[plain(name)]
        if field not in shot.value and field not in names.values() and isinstance(node.value, str):
            names[name] = field
    return replace(shot, value=_renamed(shot.value, names)), names


def _named(fields: Fields, names: Iterable[str]) -> list[tuple[str, Node]]:
    """Those of *fields* that are called so, in the order of *names*."""
    called = {plain(name): (name, node) for name, node in fields.items()}
    return [called[name] for name in names if name in called]


def _renamed(fields: Fields, names: Mapping[str, str]) -> Fields:
    return {names.get(name, name): node for name, node in fields.items()}


def _first_of_each(translated: Iterable[Mapping[str, str]]) -> Iterator[tuple[Loc, str]]:
    told = set[str]()
    for number, names in enumerate(translated):
        for name, field in names.items():
            if name not in told:
                told.add(name)
                yield ("shots", number, field), _read_as(name, field)


def _read_as(name: str, field: str) -> str:
    return f"field `{printable(name)}` is read as `{field}`, which is missing"
