"""Reading storyboards: a YAML or JSON file, a CSV shot list, or one that was typed into a form.

Nothing here raises for what somebody wrote: every mistake becomes a `Problem` with file, line and remedy, all at once.
What the store does wrong (`StoreUnavailable`, `BadStore`) is not the author's mistake and is raised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from prefect_seedance.catalog.endpoints import Catalog
from prefect_seedance.errors import BadInput, Missing
from prefect_seedance.models import Problem
from prefect_seedance.sources.folder import Folder, inside, parted, read_named
from prefect_seedance.sources.images import Gallery, PictureSource
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.board import MOST_SHOTS, Board, BoardShot
from prefect_seedance.storyboard.checks.pictures import picture_places
from prefect_seedance.storyboard.checks.sounds import sound_places
from prefect_seedance.storyboard.checks.storyboard import check
from prefect_seedance.storyboard.documents import (
    MOST_BYTES,
    Mistake,
    Row,
    read_csv,
    read_json,
    read_json_lines,
    read_yaml,
    text_of,
)
from prefect_seedance.storyboard.named import spoilt_column
from prefect_seedance.storyboard.schema import Defaults, Outline, ShotSpec, Storyboard, outline_of
from prefect_seedance.storyboard.shot_list import read_shot_list
from prefect_seedance.storyboard.texts import LONGEST_TITLE, VARIABLE, title_of
from prefect_seedance.storyboard.translation import in_our_words
from prefect_seedance.text import printable, slug

__all__ = [
    "Board",
    "BoardShot",
    "Defaults",
    "PictureSource",
    "ShotSpec",
    "Storyboard",
    "read_board",
    "read_boards",
    "storyboard_for",
]

MOST_ROWS = 1_000


async def read_board(
    location: str | Storyboard,
    *,
    catalog: Catalog,
    store: Store | None,
    allow_private: bool = False,
    name: str | None = None,
) -> Board:
    """The one storyboard at *location*, checked: a local file, an s3:// object, or one that was parsed already.

    *store* opens its bucket to s3:// pictures and reads what lies in it; *allow_private* is for rehearsals against an
    emulator; *name* stands for the file in messages.
    """
    folder, outline = await _read(location, store, name)
    if outline.board.rows is not None:
        outline = _stopped(outline, "it has `rows:`, which make many productions; put it into an inbox")
    return (await _checked([outline], folder, catalog, store, allow_private))[0]


async def read_boards(
    location: str | Storyboard,
    *,
    catalog: Catalog,
    store: Store | None,
    allow_private: bool = False,
    name: str | None = None,
    folder: Folder | None = None,
) -> list[Board]:
    """As `read_board`, for a storyboard that may have `rows:`: one board per row, in the order of the rows.

    Given a *folder*, *location* is a file of it, and only what can be read through it can be read.
    """
    folder, outline = await _read(location, store, name, folder)
    outlines = [outline] if outline.board.rows is None else await _with_rows(outline, folder, outline.board.rows)
    return await _checked(outlines, folder, catalog, store, allow_private)


def storyboard_for(board: Storyboard, row: Mapping[str, str]) -> Storyboard:
    """The storyboard that one *row* makes: its cells are variables, and its title tells it from its siblings.

    A title that names no {column} of the row gets the first cell behind it: "Spring sale (Red mug)".
    """
    named = any(column in row for column in VARIABLE.findall(board.title))
    title = board.title if named else f"{board.title} ({next(iter(row.values()), '')})"
    return board.model_copy(update={"title": title, "rows": None, "variables": {**board.variables, **row}})


async def _checked(
    outlines: list[Outline], folder: Folder | None, catalog: Catalog, store: Store | None, allow_private: bool
) -> list[Board]:
    gallery = Gallery(folder, store, allow_private)
    try:
        return [
            check(one, catalog, await gallery.examine(picture_places(one)), await gallery.listen(sound_places(one)))
            for one in outlines
        ]
    finally:
        await gallery.aclose()
        if folder:
            await folder.aclose()


async def _read(
    location: str | Storyboard, store: Store | None, name: str | None, folder: Folder | None = None
) -> tuple[Folder | None, Outline]:
    if isinstance(location, Storyboard):
        return None, Outline(name or "storyboard", location)
    delivered = folder is not None
    folder, file = (folder, location) if folder else parted(location, store)
    try:
        content = await read_named(folder, file, MOST_BYTES)
        return folder, outline_from(content, file, name or location, bare=not delivered)
    except Missing:
        message = "there is no such file; check the path of the storyboard"
    except BadInput as error:
        message = f"the storyboard can't be read: {error}"
    return folder, unreadable(name or location, None, message)


def outline_from(content: bytes, file: str, name: str, *, bare: bool = True) -> Outline:
    """What *content* says, the bytes of a storyboard *file* that messages call *name*; mistakes are its problems.

    Shots that are *bare* of a title, or of all else, are a storyboard too, but not in a delivery, where they may be
    there for something else.
    """
    try:
        return _outline_of(text_of(content), file, name, bare)
    except Mistake as mistake:
        return unreadable(name, mistake.line, str(mistake))


def unreadable(file: str, line: int | None, message: str) -> Outline:
    """A storyboard of which nothing is known but why it can't be read."""
    board = Storyboard(title=PurePosixPath(file).stem or "storyboard", shots=())
    problem = Problem(file=file, line=line, message=message)
    return Outline(file, board, None, frozenset({("shots",)}), (problem,))


def _outline_of(text: str, file: str, name: str, bare: bool) -> Outline:
    match PurePosixPath(file).suffix.lower():
        case ".csv":
            return read_shot_list(text, name, PurePosixPath(file).stem)
        case ".json":
            tree, duplicates = read_json(text)
        case _:
            tree, duplicates = read_yaml(text)
    if tree.value is None:
        raise Mistake(1, "the file is empty; a storyboard has at least `title:` and `shots:`")
    tree, said = in_our_words(tree, PurePosixPath(file).stem if bare else None)
    if not isinstance(tree.value, dict):
        raise Mistake(tree.line, "a storyboard is fields such as `title:` and `shots:`, not one text or list")
    outline = outline_of(tree, name, duplicates)
    return replace(outline, warnings=(*(outline.note(loc, words) for loc, words in said), *outline.warnings))


async def _with_rows(outline: Outline, folder: Folder | None, path: str) -> list[Outline]:
    if folder is None:
        return [_stopped(outline, "a storyboard without a file has no folder for `rows:`; use `variables:`")]
    try:
        read = {".csv": lambda text: read_csv(text)[1], ".jsonl": read_json_lines, ".ndjson": read_json_lines}
        suffix = PurePosixPath(inside(path)).suffix.lower()
        if suffix not in read:
            return [_stopped(outline, f"rows {printable(path)} must be a .csv or .jsonl file beside the storyboard")]
        file = path if folder.url == "." else f"{folder.url}/{path}"
        rows = read[suffix](text_of(await folder.read(path, MOST_BYTES)))
    except Mistake as mistake:
        problem = Problem(file=file, line=mistake.line, message=str(mistake))
        return [_silenced(outline, problem)]
    except Missing:
        return [_stopped(outline, f"rows {printable(path)}: there is no such file; check the path")]
    except BadInput as error:
        return [_stopped(outline, f"rows {printable(path)}: {error}")]
    if not rows:
        return [_stopped(outline, f"rows {printable(path)}: the file has no rows; add at least one")]
    if len(rows) > MOST_ROWS or len(rows) * len(outline.board.shots) > MOST_SHOTS:
        most = f"{MOST_ROWS:,} rows and {MOST_SHOTS:,} shots in all"
        return [_stopped(outline, f"rows {printable(path)}: {len(rows):,} rows are too many; the most is {most}")]
    if spoilt := spoilt_column(outline.board, dict.fromkeys(column for row in rows for column in row.cells)):
        return [_stopped(outline, f"rows {printable(path)}: {spoilt}")]
    return _outlines_of(outline, rows, file)


def _outlines_of(outline: Outline, rows: list[Row], file: str) -> list[Outline]:
    titles: dict[str, int] = {}
    folders: dict[str, int] = {}
    outlines = []
    for row in rows:
        cells = {column: cell for column, cell in row.cells.items() if VARIABLE.fullmatch(f"{{{column}}}")}
        board = storyboard_for(outline.board, cells)
        one = replace(outline, board=board)
        title = title_of(board.title, board.variables)
        folder = slug(title[:LONGEST_TITLE])  # a longer one is refused
        first, in_folder = titles.setdefault(title.casefold(), row.line), folders.setdefault(folder, row.line)
        if row.mistake or not cells:
            message = row.mistake or "this row has no value for a variable; fill it or remove it"
            one = _silenced(one, Problem(file=file, line=row.line, message=message))
        elif not first == in_folder == row.line:
            same = f"title as line {first}" if first != row.line else f"folder `{folder}` as line {in_folder}"
            message = f"this row makes the same {same}; put more {{columns}} into the `title:`"
            one = replace(one, problems=(*one.problems, Problem(file=file, line=row.line, message=message)))
        outlines.append(one)
    return outlines


def _stopped(outline: Outline, message: str) -> Outline:
    return _silenced(outline, outline.note(("rows",), message))


def _silenced(outline: Outline, problem: Problem) -> Outline:
    """*outline* with *problem*. Variables without a value are not reported as well: the problem explains them."""
    return replace(outline, problems=(*outline.problems, problem), broken=outline.broken | {("variables",)})
