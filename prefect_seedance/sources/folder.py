"""The folder a storyboard lies in, on disk or in a bucket. Nothing outside of it can be read through it."""

from __future__ import annotations

import asyncio
import re
from functools import cached_property
from pathlib import Path, PureWindowsPath

from prefect_seedance.errors import BadInput, Missing
from prefect_seedance.storage import open_store
from prefect_seedance.storage.dropped import Dropped
from prefect_seedance.storage.store import Store
from prefect_seedance.text import CONTROL


class Folder:
    """Files at and below *url*, by relative path. Symbolic links that lead out of it are refused.

    `own` means that whoever wrote the storyboard may read nothing else of the store.

    A folder in a bucket is read through *store* where it lies in it, else with the keys of the environment.
    """

    own = False

    def __init__(self, url: str, store: Store | None = None) -> None:
        self.url = url
        self._given = store if store and self.bucket and f"{url}/".startswith(f"{store.url}/") else None
        self._prefix = f"{url}/".removeprefix(f"{store.url}/") if store and self._given else ""

    @property
    def bucket(self) -> str | None:
        return bucket_of(self.url)

    async def read(self, path: str, most_bytes: int) -> bytes:
        """The content of *path*, or `Missing`; `BadInput` for a path that leads out and for too large a file."""
        inside(path)
        if self.bucket is None:
            return await asyncio.to_thread(_read, Path(self.url), path, most_bytes)
        return _bounded(await self._store.read(self._prefix + path, most_bytes + 1), most_bytes)

    async def names(self) -> list[str]:
        """The sorted names of files and folders directly in it, without those that begin with a dot."""
        return await self._store.names(self._prefix.rstrip("/"))

    async def aclose(self) -> None:
        """Let go of connections. The folder can be used again afterwards."""
        if not self._given and "_store" in self.__dict__:
            await self._store.aclose()

    @cached_property
    def _store(self) -> Store:
        return self._given or open_store(self.url)


class DeliveryFolder(Folder):
    """What one stranger dropped: the folder *name* below that of *dropped*; without a name, what lies beside it there.

    Nothing else can be read through it, and no link is followed, also none that is swapped in later.
    """

    own = True

    def __init__(self, dropped: Dropped, name: str | None) -> None:
        self._dropped = dropped
        self._path = f"{dropped.folder}/{name}" if name else dropped.folder
        self._alone = name is None
        super().__init__(f"{dropped.store.url}/{self._path}", dropped.store)

    async def read(self, path: str, most_bytes: int) -> bytes:
        if self._alone and "/" in inside(path):
            raise BadInput("it is not part of this delivery; drop one folder with the storyboard and all that it needs")
        return _bounded(await self._dropped.read(f"{self._path}/{inside(path)}", most_bytes + 1), most_bytes)


def bucket_of(url: str) -> str | None:
    """The bucket that an s3:// *url* names; None for a folder on disk."""
    return url.removeprefix("s3://").partition("/")[0] if url.startswith("s3://") else None


def parted(location: str, store: Store | None = None) -> tuple[Folder, str]:
    """The folder of the file at *location*, and its name there."""
    if location.startswith("s3://"):
        url, _, name = location.rpartition("/")
        return Folder(url, store), name
    path = Path(location).expanduser()
    return Folder(str(path.parent)), path.name


async def read_named(folder: Folder, name: str, most_bytes: int) -> bytes:
    """The content of the one file that a person named on purpose; its links may lead out of the folder."""
    if folder.bucket or folder.own:
        return await folder.read(name, most_bytes)
    return await asyncio.to_thread(_read_at, Path(folder.url) / name, most_bytes, "there is no such file")


def inside(path: str) -> str:
    """*path*, if it can only lead to something beside the storyboard or below; else `BadInput`."""
    absolute = path.startswith(("/", "~")) or PureWindowsPath(path).drive
    if absolute or ".." in re.split(r"[/\\]", path):
        raise BadInput("it leads out of the folder of the storyboard; put the file beside the storyboard or below")
    if "\\" in path or CONTROL.search(path) or any(part in ("", ".") for part in path.split("/")):
        raise BadInput("it is not a path such as references/keeper.png; write plain names with / between them")
    return path


def _read(folder: Path, path: str, most_bytes: int) -> bytes:
    try:
        base = folder.resolve()
        target = (base / path).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links that run in a circle
        raise Missing("there is no such file beside the storyboard; check the path") from error
    if not target.is_relative_to(base):
        raise BadInput("it is a link out of the folder of the storyboard; put the file itself there")
    return _read_at(target, most_bytes, "there is no such file beside the storyboard; check the path")


def _read_at(target: Path, most_bytes: int, missing: str) -> bytes:
    try:
        if not target.is_file():  # also keeps from waiting on a pipe or a device
            raise Missing(missing)
        with target.open("rb") as file:
            return _bounded(file.read(most_bytes + 1), most_bytes)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its name is not possible here"
        raise BadInput(f"it can't be read ({reason}); check the name and the rights of the file") from error


def _bounded(content: bytes, most_bytes: int) -> bytes:
    if len(content) > most_bytes:
        raise BadInput(f"it has more than {most_bytes / 1_000_000:g} MB; make it smaller")
    return content
