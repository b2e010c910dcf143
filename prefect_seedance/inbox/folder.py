"""What people drop into the inbox of a store: found, leased by one run, archived with a report beside it, removed.

A delivery is a storyboard in `inbox/`, or a folder there with storyboards and all that they need. A lease is the file
`inbox-taken/NAME@0001.json`, which only one run can create. A delivery is copied to `inbox-done/NAME/` or
`inbox-rejected/NAME/`, and only then removed; one that was changed since it was read stays for the next run. Should two
runs ever work at one delivery, the ledger still pays once.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from pydantic import ValidationError

from prefect_seedance.errors import BadInput, Missing, Taken
from prefect_seedance.ledger.record import Writer
from prefect_seedance.ledger.writer import is_gone, new_claim_id
from prefect_seedance.models import Frozen
from prefect_seedance.sources import sounds
from prefect_seedance.sources.folder import DeliveryFolder, inside
from prefect_seedance.storage.dropped import dropped, is_name
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.documents import MOST_BYTES, Mistake, read_json, read_yaml, text_of
from prefect_seedance.text import printable

TREES = (".yaml", ".yml", ".json")
LISTS = (".csv",)
MAY_BE = (*TREES, *LISTS, "")
"""What a delivery of a name that can't be looked at ends with: storyboards, and folders in which some may lie."""
LEFT_OUT = "left-out.txt"
AT_ONCE = 32
"""Storyboards that are read for their `rows:` at once."""
LOOKED_AT_ONCE = 2
"""Files of which the digest is taken at once: a sound may have 200 MB."""

ABANDONED_SECONDS = 6 * 3600
"""A lease that old is free again, even where nobody can tell whether its run is alive."""

RunIsOver = Callable[[str], Awaitable[bool]]


@dataclass(frozen=True)
class Delivery:
    """What was dropped under one name. All paths are those of the store."""

    name: str
    boards: tuple[str, ...]
    files: tuple[str, ...]
    links: tuple[str, ...]
    """Symbolic links: never followed, since they may lead anywhere on this machine."""
    others: tuple[str, ...]
    """What is neither file nor link, such as a named pipe: never opened, since it may be waited on for ever."""
    unnamed: tuple[str, ...] = ()
    """What has a name that can't be part of a path: never opened, and never removed."""
    rows: str | None = None
    """The rows of a storyboard that has no folder of its own: other storyboards may need them too."""
    trouble: Exception | None = None
    """What kept it from being looked at; its `boards` is then its one path in the inbox."""

    @property
    def all_files(self) -> tuple[str, ...]:
        return self.files if self.rows is None else (*self.files, self.rows)


class Replaced(BadInput):
    """A file of a delivery is another one than was read."""


class Lease(Frozen):
    """Which run works at a delivery. The nonce makes each lease a file of its own, as `Store.create` wants it."""

    writer: Writer
    nonce: str


class Inbox:
    """The deliveries below *prefix* of a store; raises `BadInput` for a prefix that can't be a folder of it."""

    def __init__(self, store: Store, prefix: str) -> None:
        try:
            self.prefix = inside(prefix.strip("/"))
        except BadInput as error:
            raise BadInput(f"The inbox can't be at {prefix!r}: {error}; nothing was submitted.") from error
        self.store = store
        self.dropped = dropped(store, self.prefix)
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._looking = asyncio.Semaphore(LOOKED_AT_ONCE)
        self._remembered: dict[str, dict[str, str | None]] = {}

    async def deliveries(self, quiet_seconds: float = 0) -> list[Delivery]:
        """All that has a storyboard and was not touched for *quiet_seconds*, by name; with what can't be looked at."""
        there = await self.store.names(self.prefix)
        names = list(filter(is_name, there))
        rows = await self._rows(names)
        found = [self._unnamed(name) for name in there if not is_name(name) and _suffix(name.strip()) in MAY_BE]
        for name in names:
            try:
                delivery = await self._delivery(name, rows)
                if delivery.boards and await self._is_quiet(delivery, quiet_seconds):
                    found.append(delivery)
            except Exception as error:  # whatever it is, the other deliveries go on
                found.append(Delivery(name, (f"{self.prefix}/{name}",), (), (), (), trouble=error))
        return found

    def _unnamed(self, name: str) -> Delivery:
        trouble = BadInput(
            "Its name has a backslash or an unprintable character and can't be part of a path; nothing was submitted; "
            "rename it."
        )
        return Delivery(name, (f"{self.prefix}/{printable(name)}",), (), (), (), trouble=trouble)

    async def _names(self, folder: str) -> list[str]:
        """The names in *folder* that can be part of a path: an object in a bucket may have any name."""
        return list(filter(is_name, await self.store.names(folder)))

    async def _rows(self, names: list[str]) -> dict[str, str]:
        """Which file beside them the storyboards directly in the inbox name as their rows."""
        boards = [name for name in names if _suffix(name) in TREES]
        found = await asyncio.gather(*map(self._rows_of, boards))
        return {board: rows for board, rows in zip(boards, found, strict=True) if rows in names}

    async def _rows_of(self, name: str) -> str | None:
        try:
            async with self._at_once:
                text = text_of(await DeliveryFolder(self.dropped, None).read(name, MOST_BYTES))
            tree, _ = read_json(text) if _suffix(name) == ".json" else read_yaml(text)
        except (Mistake, BadInput, Missing):
            return None  # the storyboard is read again before it is rendered, and says then what is wrong
        rows = tree.value.get("rows") if isinstance(tree.value, dict) else None
        return rows.value if rows and isinstance(rows.value, str) else None

    async def _delivery(self, name: str, rows: Mapping[str, str]) -> Delivery:
        top = f"{self.prefix}/{name}"
        found = await self.dropped.walk(top)
        everything = sorted([*found.files, *found.links, *found.others])
        if everything == [top]:
            is_board = _suffix(name) in TREES + LISTS and name not in rows.values()
            own = f"{self.prefix}/{rows[name]}" if name in rows else None
            return Delivery(name, (top,) if is_board else (), found.files, found.links, found.others, rows=own)
        direct = [path for path in everything if PurePosixPath(path).parent == PurePosixPath(top)]
        trees = tuple(path for path in direct if _suffix(path) in TREES)
        lists = tuple(path for path in direct if _suffix(path) in LISTS)
        return Delivery(name, trees or lists, found.files, found.links, found.others, found.unnamed)

    def folder_of(self, board: str) -> tuple[DeliveryFolder, str]:
        """The folder that holds all that the storyboard at *board* may read, and its file name there."""
        *names, file = board.removeprefix(f"{self.prefix}/").split("/")
        return DeliveryFolder(self.dropped, names[0] if names else None), file

    async def _is_quiet(self, delivery: Delivery, seconds: float) -> bool:
        if seconds <= 0:
            return True
        try:
            ages = await asyncio.gather(*map(self.dropped.age, delivery.all_files))
        except Missing:  # somebody is changing it right now
            return False
        except BadInput:  # it is rejected later, with the reason
            return True
        return min(ages, default=seconds) >= seconds

    async def lease(self, delivery: Delivery, writer: Writer, run_is_over: RunIsOver) -> list[str] | None:
        """Lease *delivery* to *writer*; returns what to release, or None if another run has it or it has gone.

        A lease is free again when its process has surely gone, when its flow run is over, or after six hours.
        """
        name = re.compile(re.escape(delivery.name) + r"@(\d{4})\.json")
        taken = [match for match in map(name.fullmatch, await self.store.names(f"{self.prefix}-taken")) if match]
        paths = [f"{self.prefix}-taken/{match[0]}" for match in taken]
        if paths and not await self._is_abandoned(paths[-1], run_is_over):
            return None
        number = int(taken[-1][1]) + 1 if taken else 1
        path = f"{self.prefix}-taken/{delivery.name}@{number:04d}.json"
        own = Lease(writer=writer, nonce=new_claim_id())
        try:
            await self.store.create(path, own.model_dump_json(indent=1).encode())
        except Taken:
            return None
        board = await self.dropped.walk(delivery.boards[0])
        if board.files or board.links or board.others:
            return [*paths, path]
        await self.release([*paths, path])
        return None

    async def _is_abandoned(self, path: str, run_is_over: RunIsOver) -> bool:
        lease = await self._read_lease(path)
        try:
            if await self.store.age(path) > ABANDONED_SECONDS:
                return True
        except Missing:  # released right now
            return True
        if lease is None:
            return False
        run = lease.writer.flow_run_id
        return is_gone(lease.writer) or (run is not None and await run_is_over(run))

    async def _read_lease(self, path: str) -> Lease | None:
        try:
            return Lease.model_validate_json(await self.store.read(path))
        except (Missing, ValidationError):
            return None

    async def release(self, lease: list[str]) -> None:
        """Let other runs lease what is left of a delivery."""
        for path in lease:
            await self.store.delete(path)

    async def remember(self, delivery: Delivery) -> None:
        """Note what the files of *delivery* are, before they are read: `archive` puts no others away."""
        self._remembered[delivery.name] = {path: await self._digest(path) for path in delivery.all_files}

    async def _refuse_replaced(self, delivery: Delivery) -> None:
        for path, before in self._remembered.get(delivery.name, {}).items():
            if await self._digest(path) not in (before, None):
                name = printable(path.removeprefix(f"{self.prefix}/"), 300)
                raise Replaced(f"{name} was replaced since this run has read it.")

    async def _digest(self, path: str) -> str | None:
        """Of as much of a file as anything reads of it; None for what has gone or can't be read."""
        async with self._looking:
            try:
                content = await self.dropped.read(path, sounds.MOST_BYTES)
            except (Missing, BadInput):
                return None
            return (await asyncio.to_thread(hashlib.sha256, content)).hexdigest()

    async def archive(self, delivery: Delivery, outcome: str, documents: Mapping[str, str]) -> str:
        """Move *delivery* to `inbox-done/NAME/` or `inbox-rejected/NAME/`, beside *documents*, which come first.

        An earlier delivery of the name keeps its place: this one gets `NAME-2`, and so on. What can't be kept is named
        in `left-out.txt` there. Returns its folder. Raises `Replaced`, and removes nothing, where a file is another one
        than was remembered: the next run has to read it, and all that lies beside it.
        """
        await self._refuse_replaced(delivery)
        target = await self._free_place(f"{self.prefix}-{outcome}", delivery.name)
        for name, text in documents.items():
            await self.store.write(f"{target}/{name}", text.encode(), "text/plain; charset=utf-8")
        top = f"{self.prefix}/{delivery.name}"
        everything = (*delivery.files, *delivery.links, *delivery.others)
        folder = "" if top in everything else f"{delivery.name}/"
        left_out = [f"{path}: it is a link; drop the file itself" for path in delivery.links]
        left_out += [f"{path}: it is no file; drop a plain file" for path in delivery.others]
        unnamed = "its name has a backslash or an unprintable character; it stays in the inbox; rename it"
        left_out += [f"{path}: {unnamed}" for path in delivery.unnamed]
        for path in delivery.all_files:
            name = path.removeprefix(f"{self.prefix}/{folder}")
            try:
                taken = name in (*documents, LEFT_OUT)
                await self.dropped.copy(path, f"{target}/{f'dropped-{name}' if taken else name}")
            except Missing:  # rows that were archived with another storyboard
                pass
            except BadInput as error:
                left_out.append(f"{path}: {error}")
        if left_out:
            head = (
                "These were not kept, and what is not said to stay was removed from the inbox; drop them again as "
                "plain files if needed."
            )
            lines = [printable(line, 500) for line in left_out]
            await self.store.write(f"{target}/{LEFT_OUT}", "\n".join([head, "", *lines, ""]).encode())
        await self._refuse_replaced(delivery)  # the copies may have taken a while
        # Storyboards go first: a storyboard without its pictures would look broken to whoever comes after a crash.
        for path in (*delivery.boards, *everything):
            await self.dropped.delete(path)
        if delivery.rows and delivery.rows not in await self._rows_needed():
            await self.dropped.delete(delivery.rows)
        if folder:
            await self.dropped.sweep(top)
        return target

    async def _free_place(self, folder: str, name: str) -> str:
        there = set(await self.store.names(folder))
        names = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
        return f"{folder}/{next(one for one in names if one not in there)}"

    async def _rows_needed(self) -> set[str]:
        return {f"{self.prefix}/{rows}" for rows in (await self._rows(await self._names(self.prefix))).values()}


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()
