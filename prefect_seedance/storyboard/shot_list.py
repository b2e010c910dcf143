"""Shot lists: a table with one shot per row, with our own columns or with those that film people export.

A film crew's list has no id and no prompt: the id comes from scene and shot, or else from the place in the list, the
prompt from the description. Size, angle, movement, lens and gear are told together as `camera`, which is for people:
the prompt stays what was written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from prefect_seedance.models import Problem
from prefect_seedance.storyboard.cells import filled, seconds
from prefect_seedance.storyboard.columns import Columns, columns_of
from prefect_seedance.storyboard.documents import Node, Row, read_csv
from prefect_seedance.storyboard.elsewhere import CAMERA, COLUMNS, DOUBTFUL, IDS, RATE, SCENE, SHOT
from prefect_seedance.storyboard.hints import plain
from prefect_seedance.storyboard.schema import Outline, ShotSpec, outline_of
from prefect_seedance.storyboard.sequence_files import safe_id
from prefect_seedance.storyboard.texts import LONGEST_ID, file_name
from prefect_seedance.storyboard.words import MOST_NAMED
from prefect_seedance.text import printable

FIELDS = [name for name in ShotSpec.model_fields if name != "metadata"]


def read_shot_list(text: str, file: str, title: str) -> Outline:
    """The shots of the table *text*, as the board *title*; raises `Mistake` where its columns are no shot list's."""
    headings, rows = read_csv(text)
    rows = filled(rows)
    named = {plain(heading) or heading: heading for heading in reversed(headings)}
    by_scene = not _first(("id", *IDS), named)
    numbers = [_first(SCENE, named), _first(SHOT, named)] if by_scene else ["", ""]
    camera = _camera(named, rows, of_crew=any(numbers))
    columns = columns_of(
        [heading for heading in headings if heading not in {*numbers, *camera}],
        rows,
        known=[name for name in FIELDS if name != "cast" or not any(numbers)],  # of a crew's list they are actors
        needed={"prompt": " (or `Description`)"},
        table="a shot list",
        synonyms=COLUMNS,
    )
    left_out = [row.line for row in rows if any(numbers) and _is_heading(row, columns)]
    rows = [row for row in rows if row.line not in set(left_out)]
    ids = _ids(rows, *numbers) if by_scene else [None] * len(rows)
    shots = []
    for row, name in zip(rows, ids, strict=True):
        told = ", ".join(row.cells[heading] for heading in camera if heading in row.cells)
        made = {"id": name, "camera": told}
        cells = {field: cell for field, cell in made.items() if cell} | columns.cells(row)
        if "duration" in cells:
            cells["duration"] = seconds(cells["duration"])
        shots.append(columns.node(row, cells, [heading for heading in numbers if heading]))
    mistakes = [(("shots", number), row.line, row.mistake) for number, row in enumerate(rows) if row.mistake]
    outline = outline_of(Node(1, {"title": Node(1, title), "shots": Node(1, shots)}), file, mistakes)
    warnings = [*columns.warnings(file), *_of_doubtful_prompts(file, columns), *_without_headings(file, left_out)]
    return replace(outline, warnings=(*warnings, *outline.warnings))


def _first(names: Iterable[str], named: Mapping[str, str]) -> str:
    return next((named[name] for name in names if name in named), "")


def _camera(named: Mapping[str, str], rows: Sequence[Row], *, of_crew: bool) -> list[str]:
    """The headings of what is told as `camera`, with a size that has no digit: WS and CU are sizes of the picture."""
    sizes = [row.cells.get(named["size"], "") for row in rows] if "size" in named else []
    film_size = any(sizes) and not any(mark.isdigit() for size in sizes for mark in size)
    names = ("camera", *(["size"] if film_size else []), *CAMERA, *(RATE if of_crew else ()))
    return [named[name] for name in names if name in named]


def _of_doubtful_prompts(file: str, columns: Columns) -> Iterator[Problem]:
    for heading, field in columns.fields.items():
        if field == "prompt" and plain(heading) in DOUBTFUL:
            message = f"column `{printable(heading)}` is sent as the prompts, since no other one says what is seen"
            yield Problem(file=file, line=1, message=message)


def _is_heading(row: Row, columns: Columns) -> bool:
    """Whether the row has one cell only, and that is not what a shot shows: `Kitchen, night` above its shots."""
    return len(row.cells) == 1 and "prompt" not in columns.cells(row)


def _without_headings(file: str, lines: Sequence[int]) -> Iterator[Problem]:
    if lines:
        shown = ", ".join(map(str, lines[:MOST_NAMED])) + (", …" if len(lines) > MOST_NAMED else "")
        message = f"rows that are headings and not shots are left out, on lines {shown}"
        yield Problem(file=file, line=lines[0], message=message)


def _ids(rows: Sequence[Row], scene: str, shot: str) -> list[str]:
    """A name for each row, as crews say it: scene 12 with shot A is 12A, with shot 1 it is 12-1.

    A scene that is not repeated in each row is that of the row above. A name that is there already gets a number.
    """
    ids: list[str] = []
    used: set[str] = set()
    counts: dict[str, int] = {}
    current = ""
    for number, row in enumerate(rows, start=1):
        current = row.cells.get(scene, current)
        own = row.cells.get(shot, "")
        if not (own.startswith(current) and own.removeprefix(current)[:1].isalpha()):
            own = f"{current}{'-' if own[:1].isdigit() else ''}{own}"
        whole = safe_id(own) if own else f"shot-{number}"
        name, again = whole, counts.get(whole, 1)
        while file_name(name) in used:
            again += 1
            name = f"{whole[: LONGEST_ID - 6]}-{again}"
        counts[whole] = again
        used.add(file_name(name))
        ids.append(name)
    return ids
