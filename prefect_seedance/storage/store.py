"""Where clips and ledger live: a local folder (`local.py`), or `s3://bucket/prefix` (`s3.py`).

Both keep the same promises: a path exists only if its content is whole, and of many writers who create it one wins.
"""

from __future__ import annotations

import ipaddress
import json
import secrets
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import quote, urlsplit

from prefect_seedance.errors import BadStore, Missing, StoreUnavailable, Taken
from prefect_seedance.storage.reads import some_at_a_time

# One pool for the whole process: stores are used from many short-lived event loops, each of which would start its own.
DISK = ThreadPoolExecutor(16, thread_name_prefix="disk")

STORE_SCHEMA = "prefect-seedance/store/1"
KIND_PATH = "store.json"
KEYS_ASKED = 20
"""Keys of the ledger that are read, at most, to tell what kind a store is."""

Kind = Literal["real", "pretend"]
OWNERS: dict[Kind, str] = {"real": "the real API", "pretend": "the pretend API of an emulator"}


@dataclass(frozen=True)
class Leftover:
    """Something on its way into the store whose writer has ended: what it is, for people, and what removes it."""

    name: str
    discard: Callable[[], Awaitable[None]]


ABANDONED_SECONDS = 24 * 3600.0
"""The age of a leftover whose writer nobody can tell to have ended."""


class Store(ABC):
    """Files by relative POSIX path. Usable from any number of threads and event loops at once.

    Any call may raise `StoreUnavailable`, after which nobody knows whether it happened, `BadStore` for what a person
    has to correct, and `BadPath` for a path that leads out of the store.
    """

    url: str
    public_base_url: str | None
    lists_cheaply: ClassVar[bool] = False
    """Whether listing many folders costs less than a read for each of them."""

    async def create(self, path: str, content: bytes) -> None:
        """Write *path* whole if nothing is there. One of many writers wins, the others get `Taken`.

        Whoever finds its own bytes there has won: over a bad line a try can arrive and its answer get lost, and the
        repetition is then refused. So *content* must hold something that no other writer has. `StoreUnavailable` means
        that it may be there, or not, or come late: try the same content again, or give it up.
        """
        for _ in range(3):
            try:
                return await self._create(path, content)
            except Taken:
                try:
                    if await self.read(path) == content:
                        return None
                except Missing:  # free again
                    continue
                raise
            except StoreUnavailable:
                with suppress(Missing, StoreUnavailable, BadStore):
                    if await self.read(path) == content:
                        return None
                    raise Taken(f"{self.url}/{path} exists already.") from None
                raise
        raise StoreUnavailable(f"{self.url}/{path} is said to be taken and to be free; read it before trying again.")

    @abstractmethod
    async def _create(self, path: str, content: bytes) -> None:
        """Try once. `Taken` and `StoreUnavailable` may both speak of the caller's own content."""

    @abstractmethod
    async def write(self, path: str, content: bytes, content_type: str | None = None) -> None:
        """Replace *path* by *content*, all or nothing."""

    @abstractmethod
    async def read(self, path: str, most_bytes: int = -1) -> bytes:
        """The content of *path*, or its first *most_bytes*; `Missing` if there is none."""

    @abstractmethod
    async def exists(self, path: str) -> bool:
        """Whether *path* is a file of this store."""

    @abstractmethod
    async def names(self, folder: str) -> list[str]:
        """The sorted names of files and folders directly below *folder*, without those that begin with a dot."""

    async def names_in(self, folders: Sequence[str]) -> list[list[str]]:
        """The `names` of each of the *folders*, in their order."""
        return await some_at_a_time(self.names, folders)

    @abstractmethod
    async def delete(self, path: str) -> None:
        """Make sure that *path* is not there."""

    @abstractmethod
    async def put(
        self, local: Path, path: str, content_type: str | None = None, *, on_turn: Callable[[], None] | None = None
    ) -> None:
        """Publish the finished file *local* as *path*, all or nothing. *local* may be gone afterwards.

        A store that sends a few files at once calls *on_turn*, in whatever thread, when this one begins to be sent.
        """

    @abstractmethod
    async def fetch(self, path: str, local: Path) -> None:
        """Download *path* into the file *local*, or leave no file there; `Missing` if there is none."""

    @abstractmethod
    async def copy(self, source: str, target: str) -> None:
        """Give the file *source* a second path inside the store, all or nothing; `Missing` if there is none."""

    @abstractmethod
    async def link(self, path: str, seconds: int) -> str | None:
        """A link from which anybody can fetch *path*, or None if the store is not reachable from outside.

        A signed one lives for *seconds*, one below a public base URL as long as the file.
        """

    @abstractmethod
    async def age(self, path: str) -> float:
        """Seconds since *path* was written, by the clock of the store alone; `Missing` if there is none."""

    @abstractmethod
    def scratch(self) -> Path:
        """A local folder, of this process alone, for files on their way into the store.

        What processes left there that have surely ended is removed.
        """

    @abstractmethod
    async def leftovers(self) -> list[Leftover]:
        """What processes left that have surely ended; where nobody can tell, what is a day old. Lists all files."""

    @abstractmethod
    async def delete_folder(self, folder: str) -> None:
        """Make sure that there is nothing below *folder*, nor *folder* itself. Files go one by one, in any order."""

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

    async def kind(self) -> Kind | None:
        """Whether this store is "real" or "pretend"; None if it was never used.

        Where `store.json` has gone, the records of the ledger tell it by the API that they name. Raises `BadStore`
        where neither says it.
        """
        try:
            raw = await self.read(KIND_PATH)
        except Missing:
            return await self._kind_of_ledger()
        with suppress(ValueError, KeyError, TypeError):
            summary = json.loads(raw)
            if summary["schema"] == STORE_SCHEMA:
                return next(kind for kind in OWNERS if kind == summary["kind"])
        raise BadStore(f"{self.url}/{KIND_PATH} does not say what this store is for; restore it or use another store.")

    async def _kind_of_ledger(self) -> Kind | None:
        keys = await self.names("ledger")
        for key in keys[:KEYS_ASKED]:
            with suppress(ValueError, KeyError, TypeError, Missing):
                summary = json.loads(await self.read(f"ledger/{key}/0001.json"))["base_url"]
                if isinstance(summary, str):
                    return kind_of_api(summary)
        if keys:
            raise BadStore(
                f"{self.url}/{KIND_PATH} is gone and the ledger does not tell real clips from an emulator's; nothing "
                f"was submitted; restore that file: {_kind_file('real').decode()} (or `pretend` for an emulator)."
            )
        return None

    async def belongs_to(self, kind: Kind) -> None:
        """Fix at first use whether this store holds real or pretend clips; `BadStore` if it is of the other kind."""
        summary = await self.kind()
        if summary is None:
            with suppress(Taken):
                return await self.create(KIND_PATH, _kind_file(kind))
            summary = await self.kind()
        if summary not in (None, kind):
            raise BadStore(
                f"This store belongs to {OWNERS[summary]}; its clips are never mixed with those of {OWNERS[kind]}, "
                f"so use another store than {self.url}."
            )
        return None


def kind_of_api(base_url: str) -> Kind:
    """An API on this machine is a pretend one: its clips must never pass for paid ones."""
    host = ""
    try:
        host = urlsplit(base_url).hostname or ""
        return "pretend" if ipaddress.ip_address(host).is_loopback else "real"
    except ValueError:
        return "pretend" if host == "localhost" or host.endswith(".localhost") else "real"


def is_address(url: str) -> bool:
    """Whether *url* has a host that can be looked up, and a port, if any, that there can be."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").encode("idna"), parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(host) and port != 0 and url.isprintable() and " " not in url


def _kind_file(kind: Kind) -> bytes:
    return json.dumps({"schema": STORE_SCHEMA, "kind": kind}).encode()


class BadPath(ValueError):
    """A path that leads out of a store: a mistake of who asks, whatever the store would have said."""


def checked(path: str) -> str:
    """*path*, if it is relative, POSIX and stays inside the store; else `BadPath`."""
    if "\\" in path or "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise BadPath(f"not a path inside a store: {path!r}")
    return path


def public_link(base_url: str, path: str) -> str:
    """The address of *path* in a store that is served at *base_url*."""
    return f"{base_url.rstrip('/')}/{quote(checked(path))}"


@contextmanager
def kept_if_whole(file: Path) -> Iterator[None]:
    """Leave no *file* behind when what fills it fails."""
    try:
        yield
    except BaseException:
        file.unlink(missing_ok=True)
        raise


async def refuse_other_kind(store: Store, kind: str) -> None:
    """Raise `BadStore` if *store* holds clips of the other kind. Unlike `belongs_to` it fixes and writes nothing."""
    known = await store.kind()
    if known not in (None, kind):
        raise BadStore(
            f"{store.url} belongs to {'an emulator' if known == 'pretend' else 'the real API'}, this run to "
            f"{'an emulator' if kind == 'pretend' else 'the real API'}; nothing was submitted; use another store."
        )
