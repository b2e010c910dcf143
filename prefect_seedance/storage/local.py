"""A store in a folder."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import shutil
import stat
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from prefect_seedance.errors import BadStore, Missing, StoreUnavailable, Taken
from prefect_seedance.storage.processes import own_folder, own_name, owner_has_ended
from prefect_seedance.storage.store import (
    ABANDONED_SECONDS,
    DISK,
    KIND_PATH,
    Kind,
    Leftover,
    Store,
    checked,
    kept_if_whole,
    public_link,
)

P = ParamSpec("P")
T = TypeVar("T")

SCRATCH = ".scratch"
LISTED_AT_ONCE = 64
NOT_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EOPNOTSUPP}


class LocalStore(Store):
    """A store in a folder of this machine (or of a file server that has hard links)."""

    lists_cheaply = True

    def __init__(self, folder: Path, *, public_base_url: str | None = None) -> None:
        self.url = str(folder)
        self.public_base_url = public_base_url
        self._folder = folder
        self._is_begun = False

    async def belongs_to(self, kind: Kind) -> None:
        await super().belongs_to(kind)
        self._is_begun = await self.exists(KIND_PATH)

    def _refuse_another(self) -> None:
        """What has gone with its volume is not begun anew in the folder below: its histories would be empty."""
        if self._is_begun and not (self._folder / KIND_PATH).exists():
            raise OSError(errno.ENODEV, f"its {KIND_PATH} has gone: is the volume still there?")

    async def _create(self, path: str, content: bytes) -> None:
        await self._on_disk(path, self._link, self._at(path), content)

    def _link(self, target: Path, content: bytes) -> None:
        self._refuse_another()
        with written_beside(target, content) as temporary:
            try:
                os.link(temporary, target)
            except FileExistsError:
                raise Taken(f"{target} exists already.") from None
        sync(target.parent)

    async def write(self, path: str, content: bytes, content_type: str | None = None) -> None:
        await self._on_disk(path, self._write, self._at(path), content)

    def _write(self, target: Path, content: bytes) -> None:
        self._refuse_another()
        with written_beside(target, content) as temporary:
            temporary.replace(target)
        sync(target.parent)

    async def read(self, path: str, most_bytes: int = -1) -> bytes:
        def begin() -> bytes:
            with self._at(path).open("rb") as file:
                return file.read(most_bytes)

        return await self._found(path, begin)

    async def exists(self, path: str) -> bool:
        try:
            await self._found(path, written_at, self._at(path))
        except Missing:
            return False
        return True

    async def names(self, folder: str) -> list[str]:
        return await self._on_disk(folder, _names, self._at(folder) if folder else self._folder)

    async def names_in(self, folders: Sequence[str]) -> list[list[str]]:
        """A folder is listed in a fraction of the time that another thread takes to be asked for it."""
        some = [folders[first : first + LISTED_AT_ONCE] for first in range(0, len(folders), LISTED_AT_ONCE)]
        found = await asyncio.gather(*(self._on_disk(one[0], self._names_in, one) for one in some))
        return [names for listed in found for names in listed]

    def _names_in(self, folders: Sequence[str]) -> list[list[str]]:
        return [_names(f"{self.url}/{checked(folder)}") for folder in folders]

    async def delete(self, path: str) -> None:
        with suppress(Missing):
            await self._found(path, self._at(path).unlink)

    async def put(
        self, local: Path, path: str, content_type: str | None = None, *, on_turn: Callable[[], None] | None = None
    ) -> None:
        await self._on_disk(path, self._put, local, self._at(path))

    def _put(self, local: Path, target: Path) -> None:
        self._refuse_another()
        make_folder(target.parent)
        try:
            seal(local)
        except FileNotFoundError as error:
            raise Missing(f"There is no file {local}.") from error
        try:
            local.replace(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            with written_beside(target, local) as temporary:
                seal(temporary)
                temporary.replace(target)
        sync(target.parent)

    async def fetch(self, path: str, local: Path) -> None:
        await self._found(path, self._fetch, self._at(path), local)

    def _fetch(self, source: Path, local: Path) -> None:
        with kept_if_whole(local):
            shutil.copyfile(source, local)

    async def copy(self, source: str, target: str) -> None:
        await self._found(source, self._copy, self._at(source), self._at(target))

    def _copy(self, source: Path, target: Path) -> None:
        """A second name is not made to outlive a power cut: what it names is safe, and anybody can make it again."""
        self._refuse_another()
        with written_beside(target, source, link=True) as temporary:
            temporary.replace(target)

    async def link(self, path: str, seconds: int) -> str | None:
        return public_link(self.public_base_url, path) if self.public_base_url else None

    async def age(self, path: str) -> float:
        return await self._found(path, self._age, self._at(path))

    def _age(self, target: Path) -> float:
        written = written_at(target)
        with written_beside(target, b"") as temporary:  # a file server has a clock of its own
            return max(0.0, temporary.stat().st_mtime - written)

    def scratch(self) -> Path:
        """Below the store, so that publishing a finished file is a rename."""
        with self._explained(SCRATCH):
            return own_folder(self._folder / SCRATCH)

    async def leftovers(self) -> list[Leftover]:
        found = await self._on_disk("", lambda: sorted(self._abandoned(time.time() - ABANDONED_SECONDS)))
        return [Leftover(str(path.relative_to(self._folder)), self._discarding(path)) for path in found]

    def _abandoned(self, before: float) -> Iterator[Path]:
        for folder, folders, files in os.walk(self._folder):
            here = Path(folder)
            own = [here / name for name in files if name.startswith(".") and name.endswith(".part")]
            if here == self._folder:
                own += [here / name for name in files if name.startswith(".probe-")]
                folders[:] = [name for name in folders if name != SCRATCH]
                own += list((here / SCRATCH).iterdir()) if (here / SCRATCH).is_dir() else []
            for path in own:
                ended = owner_has_ended(path.name)
                if ended or (ended is None and last_touched(path) < before):
                    yield path

    def _discarding(self, path: Path) -> Callable[[], Awaitable[None]]:
        async def discard() -> None:
            with suppress(Missing):
                await self._found(str(path.relative_to(self._folder)), remove_whole, path)

        return discard

    async def delete_folder(self, folder: str) -> None:
        await self._discarding(self._at(folder))()

    async def aclose(self) -> None:
        """Does nothing: no file is held open between calls."""

    async def prove(self) -> None:
        try:
            await super().prove()
        except StoreUnavailable as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in NOT_ALLOWED:
                raise BadStore(
                    f"The folder {self.url} can't hold a store ({error.__cause__.strerror}): it needs the right to "
                    "write and a filesystem with hard links; nothing was spent, correct that or choose another folder."
                ) from error
            raise

    def _at(self, path: str) -> Path:
        return self._folder / checked(path)

    async def _on_disk(self, path: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        with self._explained(path):
            return await asyncio.get_running_loop().run_in_executor(DISK, lambda: work(*args, **kwargs))

    async def _found(self, path: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await self._on_disk(path, work, *args, **kwargs)
        except StoreUnavailable as error:
            if isinstance(error.__cause__, NOT_THERE):
                raise Missing(f"There is no file {self.url}/{path}.") from error
            raise

    @contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreUnavailable(
                f"The store failed at {self.url}/{path} ({error.strerror or error}); "
                "what was asked may or may not have happened, so read it before trying again."
            ) from error


def _names(folder: Path | str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except NOT_THERE:
        return []


@contextmanager
def written_beside(target: Path, content: bytes | Path, *, link: bool = False) -> Iterator[Path]:
    """A temporary file with *content* in the folder of *target*, safe on disk; gone at the end if not renamed."""
    make_folder(target.parent)
    temporary = target.with_name(f".{secrets.token_hex(8)}.{own_name()}.part")
    try:
        if isinstance(content, bytes):
            write_synced(temporary, content)
        else:
            linked = link and linked_to(content, temporary)
            if not linked:
                shutil.copyfile(content, temporary)
                sync(temporary)
        yield temporary
    finally:
        # Also after a rename: between two links of one file a rename does nothing and leaves both.
        temporary.unlink(missing_ok=True)


def write_synced(file: Path, content: bytes) -> None:
    """Create *file* with *content*, safe on disk.

    In few system calls: at each of them the thread gives up the interpreter's lock and waits to get it back.
    """
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        while content:
            content = content[os.write(descriptor, content) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def linked_to(source: Path, target: Path) -> bool:
    """Make *target* a second name of *source*, if the disk can."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # no links here, or too many
        return False
    return True


def last_touched(path: Path) -> float:
    """When *path*, or what is newest below it, was written, in Unix seconds; infinity for what has just gone."""
    with suppress(OSError):
        below = path.rglob("*") if path.is_dir() and not path.is_symlink() else ()
        newest: float = max(file.lstat().st_mtime for file in (path, *below))
        return newest
    return float("inf")


def remove_whole(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def written_at(file: Path) -> float:
    """When *file* was written, in Unix seconds; `IsADirectoryError` for a folder, which is no file of a store."""
    found = file.stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    return found.st_mtime


def make_folder(folder: Path) -> None:
    """Create *folder* so that it survives a power cut, which it does only when its parent is synced too."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def seal(file: Path) -> None:
    """Have *file* safe on disk, and whoever may read it only read it: all of its names would change with it.

    But where others may write it, as the umask of a shared store says: who may not can make no second name of it.
    """
    with suppress(OSError):  # a file server that keeps no modes; what is not there is found missing below
        mode = file.stat().st_mode
        if not mode & 0o022:
            file.chmod(mode & 0o444)
    sync(file)


def sync(file: Path) -> None:
    """Have *file*, or the list of names that a folder is, on the disk before going on."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
