"""What others drop into a store, and may still change while it is read: no link is followed, no pipe waited for.

On disk a path is opened folder by folder, each inside the one that was opened before it. So what is read, copied or
removed is what was looked at, whatever is swapped in meanwhile.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader, FileIO
from pathlib import Path
from typing import TypeVar

from prefect_seedance.errors import BadInput, Missing, StoreUnavailable
from prefect_seedance.storage.local import LocalStore, sync, written_beside
from prefect_seedance.storage.store import DISK, Store, checked
from prefect_seedance.text import CONTROL

T = TypeVar("T")

DEEPEST = 5
"""Folders inside one another that are looked into."""

AT_ONCE = 32
PIECE = 2**20
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class Found:
    """The files at and below a path; what is a link; what is neither file, folder nor link, such as a named pipe.

    `unnamed` are the files and folders whose names can't be part of a path of the store: only named, never opened.
    """

    files: tuple[str, ...]
    links: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    unnamed: tuple[str, ...] = ()


def is_name(name: str) -> bool:
    """Whether *name*, which may be any that a disk or a bucket allows, can be part of a path of a store."""
    return name not in ("", ".", "..") and "\\" not in name and not CONTROL.search(name)


def dropped(store: Store, folder: str) -> Dropped:
    """What lies below *folder* of *store*, which is itself trusted: it may be a link of the store's owner."""
    return DroppedOnDisk(store, folder) if isinstance(store, LocalStore) else Dropped(store, folder)


class Dropped:
    """Files below one folder of a store, by their paths in the store. A bucket has no links, pipes or empty folders."""

    def __init__(self, store: Store, folder: str) -> None:
        self.store = store
        self.folder = folder
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def walk(self, path: str) -> Found:
        """What lies at and below *path*, without what begins with a dot."""
        unnamed = list[str]()
        files = await self._files(path, 0, unnamed)
        return Found(tuple(files), unnamed=tuple(unnamed))

    async def _files(self, path: str, depth: int, unnamed: list[str]) -> list[str]:
        async with self._at_once:
            if await self.store.exists(path):
                return [path]
            names = await self.store.names(path) if depth < DEEPEST else []
        unnamed += [f"{path}/{name}" for name in names if not is_name(name)]
        inner = filter(is_name, names)
        below = await asyncio.gather(*(self._files(f"{path}/{name}", depth + 1, unnamed) for name in inner))
        return [file for files in below for file in files]

    async def read(self, path: str, most_bytes: int) -> bytes:
        """The first *most_bytes* of a file; `Missing`, or `BadInput` with a sentence for what is no file of its own."""
        return await self.store.read(path, most_bytes)

    async def age(self, path: str) -> float:
        """Seconds since a file was written, by the store's clock; raises as `read` does."""
        return await self.store.age(path)

    async def copy(self, path: str, target: str) -> None:
        """Write the content of a file to *target* of the store, all or nothing; raises as `read` does."""
        await self.store.copy(path, target)

    async def delete(self, path: str) -> None:
        """Make sure that *path* is not there."""
        await self.store.delete(path)

    async def sweep(self, path: str) -> None:
        """Remove the empty folders at and below *path*."""


class DroppedOnDisk(Dropped):
    """The same in a folder, where other users of the machine may write."""

    async def walk(self, path: str) -> Found:
        return await self._on_disk(path, lambda: self._walk(path))

    def _walk(self, path: str) -> Found:
        files, links, others, unnamed = list[str](), list[str](), list[str](), list[str]()

        def sort(found: str, folder: int) -> None:
            mode = os.stat(os.path.basename(found), dir_fd=folder, follow_symlinks=False).st_mode
            (files if stat.S_ISREG(mode) else links if stat.S_ISLNK(mode) else others).append(found)

        # What may not be listed, or has just gone, is no delivery now.
        with suppress(FileNotFoundError, PermissionError), self._folder_of(path) as (above, name):
            if not stat.S_ISDIR(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
                sort(path, above)
                return Found(tuple(files), tuple(links), tuple(others))
            for place, folders, names, here in os.fwalk(name, dir_fd=above):
                at = path + place.removeprefix(name)
                unnamed += [f"{at}/{one}" for one in sorted([*folders, *names]) if not is_name(one)]
                folders[:], names = filter(is_name, folders), list(filter(is_name, names))
                linked = [one for one in folders if stat.S_ISLNK(os.lstat(one, dir_fd=here).st_mode)]
                for one in sorted([*names, *linked]):
                    if not one.startswith("."):
                        with suppress(FileNotFoundError):
                            sort(f"{at}/{one}", here)
                deep = place.count("/") >= DEEPEST - 1
                folders[:] = [] if deep else sorted(one for one in folders if not one.startswith("."))
        return Found(tuple(files), tuple(links), tuple(others), tuple(unnamed))

    async def read(self, path: str, most_bytes: int) -> bytes:
        def begin() -> bytes:
            with self._opened(path) as file, BufferedReader(file) as whole:
                return whole.read(most_bytes)

        return await self._on_disk(path, begin)

    async def age(self, path: str) -> float:
        def look() -> float:
            with self._opened(path) as file:
                written = os.fstat(file.fileno()).st_mtime
            with written_beside(Path(self.store.url, "clock"), b"") as temporary:  # a file server's clock is its own
                return max(0.0, temporary.stat().st_mtime - written)

        return await self._on_disk(path, look)

    async def copy(self, path: str, target: str) -> None:
        await self._on_disk(path, lambda: self._copy(path, Path(self.store.url, checked(target))))

    def _copy(self, path: str, target: Path) -> None:
        with self._opened(path) as file, written_beside(target, b"") as temporary:
            left = os.fstat(file.fileno()).st_size  # no more, should somebody go on writing
            with temporary.open("wb") as copy:
                while left > 0 and (piece := file.read(min(left, PIECE))):
                    left -= copy.write(piece)
            sync(temporary)
            temporary.replace(target)
        sync(target.parent)

    async def delete(self, path: str) -> None:
        def remove() -> None:
            with suppress(FileNotFoundError, IsADirectoryError, BadInput), self._folder_of(path) as (folder, name):
                os.unlink(name, dir_fd=folder)

        await self._on_disk(path, remove)

    async def sweep(self, path: str) -> None:
        def remove() -> None:
            with suppress(OSError, BadInput), self._folder_of(path) as (above, name):
                for _, folders, _, here in os.fwalk(name, topdown=False, dir_fd=above):
                    for folder in folders:
                        with suppress(OSError):
                            os.rmdir(folder, dir_fd=here)
                os.rmdir(name, dir_fd=above)

        await self._on_disk(path, remove)

    @contextmanager
    def _folder_of(self, path: str) -> Iterator[tuple[int, str]]:
        """The opened folder that *path* lies in, reached through no link below the trusted one, and its name there."""
        *folders, name = checked(path.removeprefix(f"{self.folder}/")).split("/")
        opened = os.open(Path(self.store.url, self.folder), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for one in folders:
                try:
                    below = os.open(one, FOLDER, dir_fd=opened)
                except OSError as error:
                    if error.errno in (errno.ENOTDIR, errno.ELOOP):
                        raise BadInput("a folder on its way is a link; drop the files themselves") from error
                    raise
                os.close(opened)
                opened = below
            yield opened, name
        finally:
            os.close(opened)

    @contextmanager
    def _opened(self, path: str) -> Iterator[FileIO]:
        """The plain file at *path*; raises `Missing`, or `BadInput` for what is no such file."""
        try:
            with self._folder_of(path) as (folder, name):
                descriptor = os.open(name, FILE, dir_fd=folder)
        except FileNotFoundError as error:
            raise Missing(f"There is no file {self.store.url}/{path}.") from error
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise BadInput("it is a link; drop the file itself") from error
            raise BadInput(f"it can't be read ({error.strerror}); check the rights of the file") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise BadInput("it is no file but a named pipe, a folder or a device; drop a plain file")
        with FileIO(descriptor, "r") as file:
            yield file

    async def _on_disk(self, path: str, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(DISK, work)
        except OSError as error:
            raise StoreUnavailable(
                f"The store failed at {self.store.url}/{path} ({error.strerror or error}); it stays where it is and is "
                "looked at again by the next run."
            ) from error
