"""Which pictures a sequence has: those of a folder, of a pattern or of an S3 prefix, in natural order."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from prefect_seedance.errors import BadInput
from prefect_seedance.sources.folder import Folder
from prefect_seedance.sources.images import ENDINGS
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.texts import LONGEST_ID, file_name, id_problem

SPECIAL = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Found:
    """Paths relative to `folder`: pictures, the prompt files beside some of them, and files that are neither."""

    folder: Folder
    title: str
    pictures: tuple[str, ...]
    prompts: frozenset[str]
    others: tuple[str, ...]


async def find_pictures(location: str, store: Store | None) -> Found:
    """The pictures at *location*. `BadInput` if there is nothing of this name."""
    if not location.startswith("s3://"):
        return await asyncio.to_thread(_on_disk, Path(location))
    head, _, last = location.rstrip("/").rpartition("/")
    pattern = last if SPECIAL.search(last) else None
    folder = Folder(head if pattern else location.rstrip("/"), store)
    names = [name for name in await folder.names() if PurePosixPath(name).suffix]  # without one it is a folder
    chosen = [name for name in names if pattern is None or fnmatchcase(name, pattern)]
    prompts = {prompt_file(name) for name in chosen} & set(names)
    return _sorted_out(folder, PurePosixPath(folder.url).name, chosen, prompts)


def prompt_file(picture: str) -> str:
    """Where a picture's own prompt is looked for: `name.txt` beside `name.png`."""
    return str(PurePosixPath(picture).with_suffix(".txt"))


def natural(path: str) -> list[tuple[list[str | int], str]]:
    """Sorts img2 before img10, and each folder's files together."""
    return [
        ([int(piece) if piece.isdecimal() else piece for piece in re.split(r"(\d+)", part.casefold())], part)
        for part in path.split("/")
    ]


def ids_of(pictures: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """An id for each picture from its name: different from each other and from those that are *taken*."""
    used = {file_name(name) for name in taken}
    ids = []
    for number, picture in enumerate(pictures, start=1):
        path = PurePosixPath(picture.partition("?")[0].rpartition("://")[2])
        whole = "-".join(path.parts)
        tries = [safe_id(name) for name in (path.stem, whole.removesuffix(path.suffix), whole)]
        tries.append(f"{tries[0][: LONGEST_ID - 6]}-{number}")
        chosen = next((one for one in tries if file_name(one) not in used), tries[-1])
        used.add(file_name(chosen))
        ids.append(chosen)
    return ids


def safe_id(name: str) -> str:
    """*name* as the id of a shot: short, and with dashes for what no file name may hold."""
    marks = "".join(mark if mark in " -_." or not id_problem(mark) else "-" for mark in name)
    cut = marks[:LONGEST_ID]
    while len(cut.encode()) > 3 * LONGEST_ID:
        cut = cut[:-1]
    return cut.strip(" .-") or "picture"


def _on_disk(place: Path) -> Found:
    place = place.expanduser()
    if place.is_dir():
        folder, chosen = place, [file for file in place.iterdir() if file.is_file()]
    elif place.is_file():
        folder, chosen = place.parent, [place]
    elif SPECIAL.search(str(place)):
        fixed = next(number for number, part in enumerate(place.parts) if SPECIAL.search(part))
        folder = Path(*place.parts[:fixed])
        chosen = [file for file in folder.glob(str(Path(*place.parts[fixed:]))) if file.is_file()]
    else:
        raise BadInput("there is no folder, file or pattern of this name; check the path of the pictures")
    names = [file.relative_to(folder).as_posix() for file in chosen]
    prompts = {name for name in map(prompt_file, names) if (folder / name).is_file()}
    return _sorted_out(Folder(str(folder)), folder.resolve().name or "pictures", names, prompts)


def _sorted_out(folder: Folder, title: str, names: list[str], prompts: set[str]) -> Found:
    visible = sorted((name for name in names if not PurePosixPath(name).name.startswith(".")), key=natural)
    pictures = tuple(name for name in visible if PurePosixPath(name).suffix.lower() in ENDINGS)
    own = {prompt_file(name) for name in pictures} & prompts
    others = tuple(name for name in visible if name not in pictures and name not in own)
    return Found(folder, title, pictures, frozenset(own), others)
