"""A campaign as it would be: its rows checked, its clips with their keys and prices, its id. Nothing is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal

from prefect_seedance.campaign.boards import Boards, Source, merged, sha256_of
from prefect_seedance.campaign.document import Campaign, Line, shards_of
from prefect_seedance.campaign.matrix import Matrix
from prefect_seedance.campaign.table import Table, read_table, table_of
from prefect_seedance.campaign.units import Unit, Units, refuse_missing_columns, units_of
from prefect_seedance.catalog.endpoints import Catalog, own_rows
from prefect_seedance.catalog.pricing import upper
from prefect_seedance.errors import BadInput, Missing
from prefect_seedance.ledger.writer import new_claim_id
from prefect_seedance.models import Problem
from prefect_seedance.production.names import slug
from prefect_seedance.runpod.account import Account
from prefect_seedance.sources.folder import Folder, parted, read_named
from prefect_seedance.storage.store import Store, refuse_other_kind
from prefect_seedance.storyboard.board import Board
from prefect_seedance.storyboard.documents import MOST_BYTES
from prefect_seedance.storyboard.reading import outline_from
from prefect_seedance.storyboard.texts import VARIABLE
from prefect_seedance.text import printable

SHARD_SIZE = 200
MOST_A_SHARD = 5_000


@dataclass(frozen=True)
class Asked:
    """How a campaign is asked for. Rows of a program may stand in the place of a table's location.

    Without a table `storyboard` is the id of a campaign that was frozen, which goes on.
    """

    storyboard: str
    table: str | Sequence[Mapping[str, object]] | None = None
    vary: tuple[str, ...] = ()
    canary: int = 0
    shard_size: int = SHARD_SIZE


@dataclass
class Draft:
    """A campaign that nothing was written of yet. `lines` are whole only where there are no problems."""

    campaign: Campaign
    content: bytes
    """The bytes of the storyboard."""
    parts: list[list[Unit]]
    lines: list[list[Line]]
    files: dict[str, Source]
    problems: list[Problem]
    warnings: list[Problem]
    boards: Boards

    async def board_of(self, number: int) -> Board:
        """The board of one shard, from 1."""
        boards = [await self.boards.board_of(unit) for unit in self.parts[number - 1]]
        return merged(self.campaign.title, boards, self.boards.file)


@dataclass
class _Found:
    """What the rows were found to ask for."""

    lines: list[list[Line]] = field(default_factory=list)
    prices: dict[str, Decimal] = field(default_factory=dict)
    files: dict[str, Source] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    warned: set[str] = field(default_factory=set)


@asynccontextmanager
async def drafted(asked: Asked, store: Store, account: Account, catalog: Catalog) -> AsyncIterator[Draft]:
    """The draft of what is *asked*, with every problem of every row.

    Raises `BadInput` for what holds for all rows: a storyboard or table that can't be read, columns that are missing.
    """
    if not 0 < asked.shard_size <= MOST_A_SHARD or asked.canary < 0:
        most = f"from 1 to {MOST_A_SHARD:,}"
        raise BadInput(f"The shard size is {most} clips and the canary a number of rows; nothing was submitted.")
    await refuse_other_kind(store, account.kind)
    folder, content, file = await _storyboard(asked.storyboard, store)
    outline = outline_from(content, file, printable(asked.storyboard, 200))
    if outline.problems:
        raise BadInput(*map(str, outline.problems))
    table = await _table(asked.table, store, folder)
    matrix = Matrix.of(asked.vary)
    refuse_missing_columns(outline.board, table, matrix)
    units = units_of(table, matrix)
    private = account.kind == "pretend"
    async with Boards(outline, folder, store, catalog, allow_private=private, file=table.name) as boards:
        combinations = len(matrix.combinations())
        parts = _parts(units.units, asked.canary * combinations, asked.shard_size, len(outline.board.shots))
        found = await _found(parts, boards, catalog)
        found.problems[:0] = units.problems
        found.warnings[:0] = outline.warnings
        rows = own_rows(catalog)
        campaign = _campaign(
            asked, outline.board.title, content, file, table, units, matrix, found, store, account, rows
        )
        yield Draft(campaign, content, parts, found.lines, found.files, found.problems, found.warnings, boards)


async def _storyboard(location: str, store: Store) -> tuple[Folder, bytes, str]:
    folder, file = parted(location, store)
    try:
        return folder, await read_named(folder, file, MOST_BYTES), file
    except Missing as error:
        shown = printable(location, 200)
        raise BadInput(f"There is no storyboard {shown}; nothing was submitted; check the path.") from error
    except BadInput as error:
        raise BadInput(f"The storyboard {printable(location, 200)} can't be read: {error}.") from error


async def _table(asked: str | Sequence[Mapping[str, object]] | None, store: Store, beside: Folder) -> Table:
    if asked is None:
        raise BadInput("A plan needs the table of the campaign; nothing was submitted; name it with --table.")
    return await read_table(asked, store, beside) if isinstance(asked, str) else table_of(asked, "the rows")


def _parts(units: Sequence[Unit], canary: int, shard_size: int, shots: int) -> list[list[Unit]]:
    """The units of each shard: first those of the canary, then as many as have *shard_size* clips, at least one."""
    first = [list(units[:canary])] if canary else []
    rest, each = units[canary:], max(1, shard_size // max(1, shots))
    return [*first, *(list(rest[begin : begin + each]) for begin in range(0, len(rest), each))]


async def _found(parts: Iterable[Sequence[Unit]], boards: Boards, catalog: Catalog) -> _Found:
    found = _Found()
    for part in parts:
        found.lines.append([_line(unit, await boards.board_of(unit), boards, catalog, found) for unit in part])
    return found


def _line(unit: Unit, board: Board, boards: Boards, catalog: Catalog, found: _Found) -> Line:
    found.problems += board.problems
    for warning in board.warnings:
        if warning.message not in found.warned:  # one row speaks for all
            found.warned.add(warning.message)
            found.warnings.append(warning)
    found.files |= boards.files_of(board)
    keys: dict[str, str] = {}
    again: list[str] = []
    for shot in board.asked:
        if shot.key is None or shot.request is None:
            continue
        keys[shot.id] = shot.key
        if shot.key in found.prices:
            again.append(shot.id)
        else:
            found.prices[shot.key] = upper(shot.request, catalog[shot.request.model])
    return Line(row=unit.row, cells=dict(unit.cells), vary=dict(unit.vary), keys=keys, again=tuple(again))


def _campaign(
    asked: Asked,
    title: str,
    content: bytes,
    file: str,
    table: Table,
    units: Units,
    matrix: Matrix,
    found: _Found,
    store: Store,
    account: Account,
    catalog: str | None,
) -> Campaign:
    title = " ".join(VARIABLE.sub(" ", title).split()) or "campaign"
    shards = shards_of(found.lines)
    files = {path: sha256_of(source) for path, source in found.files.items()}
    parts = {
        "account": account.fingerprint,
        "canary": asked.canary,
        "files": files,
        "matrix": matrix.values,
        "prices": {key: str(usd) for key, usd in found.prices.items()},
        "shard_size": asked.shard_size,
        "shards": [shard.sha256 for shard in shards],
        "store": store.url,
        "storyboard": hashlib.sha256(content).hexdigest(),
    }
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(f"prefect-seedance campaign\n{text}".encode()).hexdigest()
    return Campaign(
        id=f"{slug(title)}-{digest[:12]}",
        hash=digest,
        title=title,
        storyboard=file,
        storyboard_sha256=hashlib.sha256(content).hexdigest(),
        table=table.name,
        rows=units.rows,
        duplicates=units.duplicates,
        clips=sum(shard.clips for shard in shards),
        matrix=dict(matrix.values),
        canary=asked.canary,
        shard_size=asked.shard_size,
        shards=shards,
        upper_usd=sum(found.prices.values(), Decimal(0)),
        catalog=catalog,
        store=store.url,
        account=account.fingerprint,
        nonce=new_claim_id(),
    )
