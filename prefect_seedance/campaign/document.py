"""What a campaign has frozen in the store: `campaign.json` and its shards. Nothing of it is ever changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import ConfigDict, Field, ValidationError

from prefect_seedance.campaign.units import Unit
from prefect_seedance.errors import BadInput, Missing
from prefect_seedance.models import Frozen, Usd
from prefect_seedance.storage.store import Store
from prefect_seedance.text import printable

POSTERS_A_PAGE = 200


class Line(Frozen):
    """One unit as it is frozen, a line of a shard's file."""

    row: str
    cells: dict[str, str]
    vary: dict[str, str] = Field({}, description="What is varied beside the cells: settings and variables.")
    keys: dict[str, str] = Field(description="By the id in the board, ROW/SHOT: the key that was approved.")
    again: tuple[str, ...] = Field((), description="The ids whose key an earlier one of the campaign has: paid there.")

    @property
    def unit(self) -> Unit:
        return Unit(self.row, self.cells, self.vary)


class Shard(Frozen):
    """A piece of a campaign that is rendered as one board."""

    number: int
    rows: int
    clips: int
    first_page: int = Field(description="Of its pages for review.")
    sha256: str = Field(description="Of its file.")

    @property
    def name(self) -> str:
        return f"{self.number:05d}"

    @property
    def pages(self) -> range:
        return range(self.first_page, self.first_page + -(-self.clips // POSTERS_A_PAGE))


class Campaign(Frozen):
    """What was frozen (schema `prefect-seedance/campaign/1`). Paths are relative to the store."""

    schema_: Literal["prefect-seedance/campaign/1"] = Field("prefect-seedance/campaign/1", alias="schema")
    id: str
    hash: str = Field(description="Of all that decides what is rendered, and for how much at most: what is approved.")
    title: str
    storyboard: str = Field(description="Its file below board/.")
    storyboard_sha256: str | None = Field(None, description="Of that file; null where an earlier version froze it.")
    table: str = Field(description="Where its rows were read, for people.")
    rows: int = Field(description="Without those that were there twice.")
    duplicates: int
    clips: int
    matrix: dict[str, tuple[str, ...]]
    canary: int = Field(description="Rows that are rendered, and looked at, before the others; 0 for none.")
    shard_size: int
    shards: tuple[Shard, ...]
    upper_usd: Usd = Field(description="The most that all of it may cost, if nothing is stored already.")
    catalog: str | None = Field(None, description="Hash of the catalog's rows that were somebody's own, if any were.")
    store: str
    account: str = Field(description="Fingerprint of the account that pays.")
    nonce: str = Field(description="Of the run that froze it.")

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    @property
    def folder(self) -> str:
        return folder_of(self.id)

    @property
    def pages(self) -> int:
        return self.shards[-1].pages[-1]

    def shard(self, number: int) -> Shard:
        """The shard of this number, from 1; `BadInput` if there is none."""
        if not 1 <= number <= len(self.shards):
            raise BadInput(f"The campaign {self.id} has no shard {number}; it has {len(self.shards)}.")
        return self.shards[number - 1]


def folder_of(campaign: str) -> str:
    return f"campaigns/{campaign}"


async def load_campaign(store: Store, campaign: str) -> Campaign:
    """The frozen campaign of this id; `BadInput` where there is none or it can't be read."""
    try:
        raw = await store.read(f"{folder_of(campaign)}/campaign.json")
        return Campaign.model_validate_json(raw)
    except (Missing, ValueError) as error:
        if isinstance(error, ValidationError):
            raise BadInput(
                f"{store.url}/{folder_of(campaign)}/campaign.json is damaged; nothing was submitted; remove it, and "
                "run the campaign again with the same words: what is stored is not paid again."
            ) from error
        raise BadInput(
            f"There is no campaign {printable(campaign)} in {store.url}; `campaign plan` says the id of one."
        ) from error


async def load_lines(store: Store, campaign: Campaign, shard: Shard) -> list[Line]:
    """The units of *shard*; `BadInput` where its file is gone or is no longer what was frozen."""
    path = shard_path(campaign.id, shard.number)
    try:
        content = await store.read(path)
    except Missing:
        content = b""
    if hashlib.sha256(content).hexdigest() != shard.sha256:
        raise damaged(store, path)
    return [Line.model_validate_json(line) for line in content.splitlines()]


def damaged(store: Store, path: str) -> BadInput:
    """What to say where the file at *path* is not what was frozen."""
    return BadInput(
        f"{store.url}/{path} is damaged or gone; nothing was submitted for it; remove campaign.json of this campaign "
        "and run it from its storyboard and table, which freezes it anew: what is stored is not paid again."
    )


def shard_path(campaign: str, number: int) -> str:
    return f"{folder_of(campaign)}/shards/{number:05d}.jsonl"


def content_of(lines: Iterable[Line]) -> bytes:
    """The file of a shard: the same bytes for the same lines, wherever they are written."""
    return b"".join(_canonical(line.model_dump(mode="json", exclude_defaults=True)) + b"\n" for line in lines)


def shards_of(parts: Sequence[Sequence[Line]]) -> tuple[Shard, ...]:
    """The shards of *parts*, in their order."""
    shards: list[Shard] = []
    page = 1
    for number, lines in enumerate(parts, start=1):
        clips, sha256 = sum(len(line.keys) for line in lines), hashlib.sha256(content_of(lines)).hexdigest()
        shards.append(Shard(number=number, rows=len(lines), clips=clips, first_page=page, sha256=sha256))
        page = shards[-1].pages.stop
    return tuple(shards)


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
