"""Image sequences: pictures in natural order, each animated into one clip, or clips that lead from one to the next.

A prompt of its own (`name.txt` beside the picture, or a cell of the CSV) takes the place of the common prompt; where it
says {prompt}, the common one is put in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import PurePosixPath

from prefect_seedance.catalog.endpoints import Catalog
from prefect_seedance.errors import BadInput, Missing
from prefect_seedance.models import Problem
from prefect_seedance.sources.folder import Folder, parted, read_named
from prefect_seedance.sources.images import AT_ONCE, Gallery
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.checks.pictures import picture_places
from prefect_seedance.storyboard.checks.storyboard import check
from prefect_seedance.storyboard.columns import Columns, columns_of
from prefect_seedance.storyboard.documents import MOST_BYTES, Loc, Mistake, Node, Row, read_csv, text_of
from prefect_seedance.storyboard.elsewhere import NOTHING
from prefect_seedance.storyboard.reading import Board, unreadable
from prefect_seedance.storyboard.schema import Defaults, Outline, ShotSpec, Storyboard, outline_of
from prefect_seedance.storyboard.sequence_files import Found, find_pictures, ids_of, prompt_file
from prefect_seedance.storyboard.texts import id_problem, text_problem, unset
from prefect_seedance.text import printable, without_credentials

COLUMNS = ("image", "prompt", "id", "duration", "take", "notes", "dialogue", "camera", "transition")
SYNONYMS = {"file": "image", "path": "image"}
MOST_PROMPT_BYTES = 100_000


async def read_sequence(
    location: str,
    *,
    prompt: str,
    defaults: Defaults,
    catalog: Catalog,
    store: Store | None,
    between: bool = False,
    allow_private: bool = False,
    title: str | None = None,
    style: str = "",
) -> Board:
    """The pictures at *location*, one shot for each: a folder, a pattern such as `frames/*.png`, s3://… or a CSV.

    With *between* shot *i* goes from picture *i* to picture *i* + 1, for models that take a last frame. As with
    storyboards, what is wrong becomes problems, all at once.
    """
    common = "" if text_problem(prompt, "") or unset(prompt, {}) else prompt.strip()
    folder, outline = await _read(location, common, store)
    header = {"title": title or outline.board.title, "style": style, "defaults": defaults}
    outline = replace(outline, board=outline.board.model_copy(update=header))
    count = len(outline.board.shots)
    outline = _with_prompts(_paired(outline) if between else outline, prompt, common)
    outline = _with_pictures(outline, count, catalog, between)
    gallery = Gallery(folder, store, allow_private)
    try:
        return check(outline, catalog, await gallery.examine(picture_places(outline)), {})
    finally:
        await gallery.aclose()
        if folder:
            await folder.aclose()


async def _read(location: str, common: str, store: Store | None) -> tuple[Folder | None, Outline]:
    """The shots at *location*; those that no prompt was found for have an empty one."""
    try:
        if location.lower().endswith(".csv"):
            folder, name = parted(location, store)
            text = text_of(await read_named(folder, name, MOST_BYTES))
            return folder, _from_rows(text, location, PurePosixPath(name).stem, common)
        found = await find_pictures(location, store)
        return found.folder, await _from_files(found, location, common)
    except Mistake as mistake:
        return None, unreadable(location, mistake.line, str(mistake))
    except Missing:
        return None, unreadable(location, None, "there is no such file; check the path of the pictures")
    except BadInput as error:
        return None, unreadable(location, None, str(error))


def _from_rows(text: str, location: str, title: str, common: str) -> Outline:
    headings, rows = read_csv(text)
    columns = columns_of(headings, rows, known=COLUMNS, needed={"image": ""}, table="an image list", synonyms=SYNONYMS)
    cells = [columns.cells(row) for row in rows]
    taken = [row["id"] for row in cells if "id" in row]
    made = iter(ids_of([row.get("image", "row") for row in cells if "id" not in row], taken))
    shots = [
        _node(row, {"id": cell["id"] if "id" in cell else next(made), **cell}, columns, common)
        for row, cell in zip(rows, cells, strict=True)
    ]
    mistakes: list[tuple[Loc, int, str]] = [
        (("shots", number), row.line, row.mistake) for number, row in enumerate(rows) if row.mistake
    ]
    mistakes += [
        (("shots", number, "image"), row.line, "the cell of the picture is empty; name one, or remove the row")
        for number, row in enumerate(rows)
        if "image" not in cells[number]
    ]
    tree = Node(1, {"title": Node(1, title), "shots": Node(1, shots)})
    outline = outline_of(tree, location, mistakes)
    return replace(outline, warnings=(*columns.warnings(location), *outline.warnings))


def _node(row: Row, cells: Mapping[str, str], columns: Columns, common: str) -> Node:
    return columns.node(row, {**cells, "prompt": _prompt(cells.get("prompt", ""), common)})


def _prompt(own: str, common: str) -> str:
    own = "" if own.strip().casefold() in NOTHING else own.strip()
    return own.replace("{prompt}", common) or common


async def _from_files(found: Found, location: str, common: str) -> Outline:
    slots = asyncio.Semaphore(AT_ONCE)
    problems: list[Problem] = []

    async def own(name: str) -> tuple[str, str]:
        async with slots:
            try:
                return name, text_of(await found.folder.read(name, MOST_PROMPT_BYTES))
            except Mistake as mistake:
                problems.append(Problem(file=name, line=mistake.line, message=str(mistake)))
            except (BadInput, Missing) as error:
                problems.append(Problem(file=name, message=f"the prompt can't be read: {error}"))
            return name, ""

    prompts = dict(await asyncio.gather(*map(own, sorted(found.prompts))))
    shots = [
        ShotSpec(id=name, image=picture, prompt=_prompt(prompts.get(prompt_file(picture), ""), common))
        for name, picture in zip(ids_of(found.pictures), found.pictures, strict=True)
    ]
    warnings = []
    if found.others:
        names = ", ".join(printable(name) for name in found.others[:5]) + (", …" if len(found.others) > 5 else "")
        message = f"files that are neither pictures nor prompts of one are left out: {names}"
        warnings.append(Problem(file=location, message=message))
    board = Storyboard(title=found.title, shots=tuple(shots))
    by_file = tuple(sorted(problems, key=lambda problem: problem.file))
    return Outline(location, board, None, frozenset(), by_file, tuple(warnings))


def _paired(outline: Outline) -> Outline:
    """One shot from each picture to the next, with the prompt, duration and take of the first of the two."""
    shots = outline.board.shots
    pairs = []
    for one, other in pairwise(shots):
        name = f"{one.id}-to-{other.id}"
        name = name if id_problem(name) is None else one.id
        pairs.append(one.model_copy(update={"id": name, "last_image": other.image}))
    # What is wrong with the last row is reported, but there is no shot for it.
    broken = {loc for loc in outline.broken if loc[:2] != ("shots", len(shots) - 1)}
    return replace(outline, board=outline.board.model_copy(update={"shots": tuple(pairs)}), broken=frozenset(broken))


def _said_once(outline: Outline, messages: list[str], broken: set[Loc]) -> Outline:
    """*outline* with a problem for each of *messages*. The rules report nothing more at the places in *broken*."""
    problems = [Problem(file=outline.file, message=message) for message in messages]
    return replace(outline, problems=(*problems, *outline.problems), broken=outline.broken | broken)


def _with_prompts(outline: Outline, prompt: str, common: str) -> Outline:
    shots = outline.board.shots
    silent = [number for number, shot in enumerate(shots) if not shot.prompt]
    messages = []
    if prompt.strip() and not common:
        names = unset(prompt, {})
        wrong = (
            f"`{{{printable(names[0])}}}` in the common prompt has no value; write it without braces" if names else None
        )
        messages = [text_problem(prompt, "common prompt") or wrong or "the common prompt can't be used"]
    elif silent:
        first = printable(without_credentials(shots[silent[0]].image or ""))
        own = "write one into the CSV" if outline.tree else f"write {printable(prompt_file(first))}"
        count = "picture has" if len(silent) == 1 else "pictures have"
        messages = [f"{len(silent)} {count} no prompt, first {first}; give a common prompt, or {own}"]
    return _said_once(outline, messages, {("shots", number, "prompt") for number in silent})


def _with_pictures(outline: Outline, count: int, catalog: Catalog, between: bool) -> Outline:
    if count < 1 + between and not outline.is_broken(("shots",)):
        message = "two pictures make the first clip" if count else "there are no pictures"
        outline = _said_once(outline, [f"{message}; name a folder, a pattern or a list with more"], {("shots",)})
    model = catalog.get(outline.board.defaults.model)
    places = range(len(outline.board.shots))
    if model and model.image == "none":
        message = f"{model.slug} takes no picture; choose another model"
        outline = _said_once(outline, [message], {("shots", number, "image") for number in places})
    if model and between and not model.last_image_key:
        able = ", ".join(slug for slug, one in catalog.items() if one.last_image_key)
        message = f"{model.slug} takes no last frame, which going between pictures needs; choose {able}"
        outline = _said_once(outline, [message], {("shots", number, "last_image") for number in places})
    return outline
