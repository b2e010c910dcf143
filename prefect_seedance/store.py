"""Where clips and ledger live: a local folder, or `s3://bucket/prefix` (`store_s3.py`).

Both keep the same promises: a path exists only if its content is whole, and of many writers who create it one wins.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import secrets
import shutil
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, ParamSpec, TypeVar
from urllib.parse import quote

from prefect_seedance.errors import BadStore, Missing, StoreUnavailable, Taken

P = ParamSpec("P")
T = TypeVar("T")

# One pool for the whole process: stores are used from many short-lived event loops, each of which would start its own.
DISK = ThreadPoolExecutor(16, thread_name_prefix="disk")

STORE_SCHEMA = "prefect-seedance/store/1"
KIND_PATH = "store.json"
OWNERS = {"real": "the real API", "pretend": "the pretend API of an emulator"}
NOT_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EOPNOTSUPP}


class Store(ABC):
    """Files by relative POSIX path. Usable from any number of threads and event loops at once."""

    url: str
    public_base_url: str | None

    @abstractmethod
    async def create(self, path: str, content: bytes) -> None:
        """Write *path* whole if nothing is there. One of many writers wins, the others get `Taken`.

        `StoreUnavailable` means that it may or may not be there. Over a bad line even `Taken` may speak of the
        caller's own content (its first try arrived, the answer did not): read the path to know.
        """

    @abstractmethod
    async def write(self, path: str, content: bytes, content_type: str | None = None) -> None:
        """Replace *path* by *content*, all or nothing."""

    @abstractmethod
    async def read(self, path: str) -> bytes:
        """The content of *path*, or `Missing`."""

    @abstractmethod
    async def exists(self, path: str) -> bool:
        """Whether *path* is a file of this store."""

    @abstractmethod
    async def names(self, folder: str) -> list[str]:
        """The sorted names of files and folders directly below *folder*, without those that begin with a dot."""

    @abstractmethod
    async def delete(self, path: str) -> None:
        """Make sure that *path* is not there."""

    @abstractmethod
    async def put(self, local: Path, path: str, content_type: str | None = None) -> None:
        """Publish the finished file *local* as *path*, all or nothing. *local* may be gone afterwards."""

    @abstractmethod
    async def fetch(self, path: str, local: Path) -> None:
        """Bring *path* down into the file *local*, or leave no file there."""

    @abstractmethod
    async def copy(self, source: str, target: str) -> None:
        """Give the file *source* a second path inside the store, all or nothing."""

    @abstractmethod
    async def link(self, path: str, seconds: int) -> str | None:
        """A link from which anybody who has it can fetch *path*, or None if the store is not reachable from outside."""

    @abstractmethod
    async def age(self, path: str) -> float:
        """Seconds since *path* was written, by the clock of the store alone."""

    @abstractmethod
    def scratch(self) -> Path:
        """A local folder for files on their way into the store."""

    @abstractmethod
    async def aclose(self) -> None:
        """Let go of connections. The store can be used again afterwards."""

    async def prove(self) -> None:
        """Create a probe twice and read it back; `BadStore` if this store would let two writers pay for one clip."""
        probe = f".probe-{secrets.token_hex(8)}"
        first, second = (secrets.token_hex(16).encode() for _ in range(2))
        with suppress(Missing):  # without the right to list, S3 says "denied" of what is not there
            await self.read(probe)
        await self.names(probe)
        with suppress(Taken):  # only our own repeated request can have taken a random name
            await self.create(probe, first)
        try:
            await self._prove_exclusive(probe, first, second)
        except BaseException:
            with suppress(BadStore, StoreUnavailable):
                await self.delete(probe)
            raise
        await self.delete(probe)

    async def _prove_exclusive(self, probe: str, first: bytes, second: bytes) -> None:
        try:
            await self.create(probe, second)
        except Taken:
            if await self.read(probe) == first:
                return
        raise BadStore(
            f"The store {self.url} lets a second writer replace what the first created, so clips could be paid for "
            "twice; nothing was spent, use a store that honours If-None-Match or a local folder."
        )

    async def kind(self) -> str | None:
        """Whether this store is "real" or "pretend"; None if it was never used."""
        try:
            raw = await self.read(KIND_PATH)
        except Missing:
            return None
        try:
            told = json.loads(raw)
            if told["schema"] == STORE_SCHEMA and told["kind"] in OWNERS:
                return str(told["kind"])
        except (ValueError, KeyError, TypeError):
            pass
        raise BadStore(f"{self.url}/{KIND_PATH} does not say what this store is for; restore it or use another store.")

    async def belongs_to(self, kind: Literal["real", "pretend"]) -> None:
        """Fix at first use whether this store holds real or pretend clips; `BadStore` if it is of the other kind."""
        told = await self.kind()
        if told is None:
            try:
                await self.create(KIND_PATH, json.dumps({"schema": STORE_SCHEMA, "kind": kind}).encode())
            except (Taken, StoreUnavailable):
                told = await self.kind()
                if told is None:
                    raise
            else:
                told = kind
        if told != kind:
            raise BadStore(
                f"This store belongs to {OWNERS[told]}; its clips are never mixed with those of {OWNERS[kind]}, "
                f"so use another store than {self.url}."
            )


def checked(path: str) -> str:
    """*path*, if it is relative, POSIX and stays inside the store; else `ValueError`."""
    if "\\" in path or "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError(f"not a path inside a store: {path!r}")
    return path


def open_store(
    url: str | Path,
    *,
    key: str | None = None,
    secret: str | None = None,
    endpoint_url: str | None = None,
    region: str | None = None,
    public_base_url: str | None = None,
) -> Store:
    """The store at *url*: a folder, or `s3://bucket/prefix` with keys from the standard AWS environment if not given.

    Nothing is written and nobody is asked yet.
    """
    place = str(url)
    if place.startswith("s3://"):
        # s3fs costs a third of a second, which a store in a folder need not pay.
        from prefect_seedance.store_s3 import S3Store

        return S3Store(
            place, key=key, secret=secret, endpoint_url=endpoint_url, region=region, public_base_url=public_base_url
        )
    if not place or "://" in place:
        raise BadStore(f"A store is s3://bucket/prefix or a folder; {place.split('://')[0]!r} is neither.")
    folder = Path(place).expanduser().resolve()
    if folder.exists() and not folder.is_dir():
        raise BadStore(f"{folder} is a file; name a folder for the store.")
    return LocalStore(folder, public_base_url=public_base_url)


def public_link(base_url: str, path: str) -> str:
    return f"{base_url.rstrip('/')}/{quote(checked(path))}"


class LocalStore(Store):
    """A store in a folder of this machine (or of a file server that has hard links)."""

    def __init__(self, folder: Path, *, public_base_url: str | None = None) -> None:
        self.url = str(folder)
        self.public_base_url = public_base_url
        self._folder = folder

    async def create(self, path: str, content: bytes) -> None:
        await self._on_disk(path, self._create, self._at(path), content)

    def _create(self, target: Path, content: bytes) -> None:
        with written_beside(target, content) as temporary:
            try:
                os.link(temporary, target)
            except FileExistsError:
                raise Taken(f"{target} exists already.") from None
        sync(target.parent)

    async def write(self, path: str, content: bytes, content_type: str | None = None) -> None:
        await self._on_disk(path, self._write, self._at(path), content)

    def _write(self, target: Path, content: bytes) -> None:
        with written_beside(target, content) as temporary:
            temporary.replace(target)
        sync(target.parent)

    async def read(self, path: str) -> bytes:
        return await self._found(path, self._at(path).read_bytes)

    async def exists(self, path: str) -> bool:
        try:
            return stat.S_ISREG((await self._found(path, self._at(path).stat)).st_mode)
        except Missing:
            return False

    async def names(self, folder: str) -> list[str]:
        place = self._at(folder) if folder else self._folder
        try:
            return sorted(name for name in await self._found(folder, os.listdir, place) if not name.startswith("."))
        except Missing:
            return []

    async def delete(self, path: str) -> None:
        with suppress(Missing):
            await self._found(path, self._at(path).unlink)

    async def put(self, local: Path, path: str, content_type: str | None = None) -> None:
        await self._on_disk(path, self._put, local, self._at(path))

    def _put(self, local: Path, target: Path) -> None:
        if not local.is_file():
            raise Missing(f"There is no file {local}.")
        make_folder(target.parent)
        sync(local)
        try:
            local.replace(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            with written_beside(target, local) as temporary:
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
        with written_beside(target, source, link=True) as temporary:
            temporary.replace(target)
        sync(target.parent)

    async def link(self, path: str, seconds: int) -> str | None:
        return public_link(self.public_base_url, path) if self.public_base_url else None

    async def age(self, path: str) -> float:
        return await self._found(path, self._age, self._at(path))

    def _age(self, target: Path) -> float:
        written = target.stat().st_mtime
        with written_beside(target, b"") as temporary:  # a file server has a clock of its own
            return max(0.0, temporary.stat().st_mtime - written)

    def scratch(self) -> Path:
        """Below the store, so that publishing a finished file is a rename."""
        folder = self._folder / ".scratch"
        with self._explained(folder.name):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    async def aclose(self) -> None:
        """Nothing is held open between calls."""

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


@contextmanager
def written_beside(target: Path, content: bytes | Path, *, link: bool = False) -> Iterator[Path]:
    """A temporary file with *content* in the folder of *target*, safe on disk; gone at the end if not renamed."""
    make_folder(target.parent)
    temporary = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        if isinstance(content, bytes):
            temporary.write_bytes(content)
        else:
            linked_or_copied(content, temporary, link=link)
        sync(temporary)
        yield temporary
    finally:
        # Also after a rename: between two links of one file a rename does nothing and leaves both.
        temporary.unlink(missing_ok=True)


def linked_or_copied(source: Path, target: Path, *, link: bool) -> None:
    try:
        if link:
            return os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # no links here, or too many
        pass
    shutil.copyfile(source, target)
    return None


@contextmanager
def kept_if_whole(file: Path) -> Iterator[None]:
    """Leave no *file* behind when what fills it fails."""
    try:
        yield
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def make_folder(folder: Path) -> None:
    """Create *folder* so that it survives a power cut, which it does only when its parent is synced too."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def sync(file: Path) -> None:
    """Have *file*, or the list of names that a folder is, on the disk before going on."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
