"""What a campaign leaves for a warehouse: one row per clip, and what became of each shard in numbers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

from pydantic import ConfigDict, Field, ValidationError

from prefect_seedance.campaign.document import Campaign, Line, Shard
from prefect_seedance.campaign.parquet import has_parquet, parquet_of
from prefect_seedance.errors import BadInput, Missing
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.models import Frozen, Usd
from prefect_seedance.production.manifest import NarrationResult, ShotResult, ShotStatus
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.board import Board, BoardShot

COLUMNS: dict[str, type] = {
    "campaign": str,
    "shard": int,
    "row": str,
    "vary": str,
    "shot": str,
    "key": str,
    "status": str,
    "reason": str,
    "usd": Decimal,
    "seconds": float,
    "sha256": str,
    "uri": str,
    "model": str,
    "size": str,
    "take": int,
    "prompt": str,
    "made": str,
}
"""The columns of the results and their types. `usd` is a decimal in Parquet and a text in JSON lines, never a float."""
IN_PARQUET = {name: kind for name, kind in COLUMNS.items() if name != "shard"}
"""The name of its folder says the shard, shard=00001: of that readers make a column, and fail over a second one."""
Row = dict[str, object]
MAY_HAVE_COST: tuple[ShotStatus, ...] = ("stored", "running", "unclear", "lost")
"""What is charged, or counts as charged until somebody knows better."""


class ShardResult(Frozen):
    """What became of a shard (schema `prefect-seedance/campaign-shard/1`): written once its results are there."""

    schema_: Literal["prefect-seedance/campaign-shard/1"] = Field("prefect-seedance/campaign-shard/1", alias="schema")
    number: int
    statuses: dict[str, int] = Field(description="Clips by what became of them.")
    clips_usd: Usd = Field(description="What its clips have cost, without those that an earlier row has paid.")
    at_risk_usd: Usd = Field(Decimal(0), description="The most that those may have cost whose cost nobody knows.")
    spent_usd: Usd = Field(description="What the run that ended it has paid.")
    left: str | None = Field(None, description="Why it is not done: then it has no results yet and is rendered again.")
    held: bool = Field(False, description="Whether clips of it were not submitted, for a reason that holds for others.")

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


def results_folder(campaign: Campaign, shard: Shard) -> str:
    return f"{campaign.folder}/results/shard={shard.name}"


def rows_of(
    campaign: Campaign, shard: Shard, lines: Sequence[Line], board: Board, shots: Sequence[ShotResult], store: Store
) -> list[Row]:
    """One row for each clip of *board*, and for each text that is spoken. *shots* is what became of its shots."""
    by_id = {shot.id: shot for shot in board.asked}
    line_of = {name: line for line in lines for name in line.keys}
    became: list[tuple[str, ShotResult | NarrationResult]] = [(shot.id, shot) for shot in shots]
    became += [(f"{shot.id}.narration", shot.narration) for shot in shots if shot.narration]
    made = datetime.now(UTC).isoformat(timespec="seconds")
    rows = []
    for name, result in became:
        if (shot := by_id.get(name)) is not None:  # a narration that is a file is nothing that was asked for
            row = _row(shot, result, line_of[name], store)
            rows.append({"campaign": campaign.id, "shard": shard.number, **row, "made": made})
    return rows


def _row(shot: BoardShot, result: ShotResult | NarrationResult, line: Line, store: Store) -> Row:
    path = result.clip if isinstance(result, ShotResult) else result.path
    request = shot.request
    reason = shot.problem if shot.request is None else result.error
    return {
        "row": line.row,
        "vary": line.unit.varied,
        "shot": shot.id.removeprefix(f"{line.unit.name}/"),
        "key": line.keys[shot.id],
        "status": result.status,
        "reason": None if result.status == "stored" else reason,
        "usd": Decimal(0) if shot.id in line.again else result.cost_usd,
        "seconds": result.seconds,
        "sha256": result.sha256,
        "uri": f"{store.url}/{path}" if path and result.status == "stored" else None,
        "model": request.model if request else None,
        "size": request.size or None if request else None,
        "take": shot.take,
        "prompt": shot.prompt,
    }


async def at_risk_in(rows: Iterable[Row], ledger: Ledger) -> Decimal:
    """The most that the clips of *rows* may have cost whose cost nobody knows, as *ledger* counts them: each once."""
    keys = sorted({str(row["key"]) for row in rows if row["usd"] is None and row["status"] in MAY_HAVE_COST})
    lasts = [history.last for history in await ledger.load_many(keys)]
    return sum((last.charged_usd for last in lasts if last is not None), Decimal(0))


def summary_of(shard: Shard, rows: Sequence[Row], spent_usd: Decimal, at_risk_usd: Decimal) -> ShardResult:
    """*rows* in numbers."""
    usd = sum((row["usd"] for row in rows if isinstance(row["usd"], Decimal)), Decimal(0))
    statuses = Counter(str(row["status"]) for row in rows)
    return ShardResult(
        number=shard.number, statuses=dict(statuses), clips_usd=usd, at_risk_usd=at_risk_usd, spent_usd=spent_usd
    )


def not_begun(number: int, why: str) -> ShardResult:
    """Of a shard that was left before anything of it was submitted."""
    return ShardResult(number=number, statuses={}, clips_usd=Decimal(0), spent_usd=Decimal(0), left=why)


async def write_results(store: Store, campaign: Campaign, shard: Shard, rows: Sequence[Row], end: ShardResult) -> None:
    """Leave *rows* as JSON lines and as Parquet. `shard.json` comes last: then it is done.

    Where pyarrow is missing there is no Parquet, and none of an earlier run.
    """
    lines, parquet = part_paths(campaign, shard)
    await _write_rows(store, lines, parquet, rows)
    await store.write(result_path(campaign, shard), end.model_dump_json(indent=1).encode(), "application/json")
    if not await store.exists(lines):  # another run reopened the shard in between
        await _write_rows(store, lines, parquet, rows)


async def _write_rows(store: Store, lines: str, parquet: str, rows: Sequence[Row]) -> None:
    await store.write(lines, b"".join(map(_json_line, rows)), "application/x-ndjson")
    if has_parquet():
        await store.write(parquet, parquet_of(rows, IN_PARQUET), "application/vnd.apache.parquet")
    else:
        await store.delete(parquet)


def part_paths(campaign: Campaign, shard: Shard) -> tuple[str, str]:
    """Its rows as JSON lines, and as Parquet."""
    folder = results_folder(campaign, shard)
    return f"{folder}/part.jsonl", f"{folder}/part.parquet"


def result_path(campaign: Campaign, shard: Shard) -> str:
    """What says that a shard is done."""
    return f"{results_folder(campaign, shard)}/shard.json"


async def result_of(store: Store, campaign: Campaign, shard: Shard) -> ShardResult | None:
    """What became of *shard*; None while it has no results."""
    path = result_path(campaign, shard)
    try:
        return ShardResult.model_validate_json(await store.read(path))
    except Missing:
        return None
    except ValidationError as error:
        raise _damaged(store, path, "it") from error


def _damaged(store: Store, path: str, remedy: str) -> BadInput:
    """What to say where a file of a shard that is done can't be read; *remedy* is what to remove."""
    return BadInput(
        f"{store.url}/{path} is damaged or gone; nothing was submitted for it; remove {remedy}, and run the campaign "
        "again: the shard is rendered again for nothing."
    )


async def write_left(store: Store, campaign: Campaign, end: ShardResult) -> None:
    """Say how the last run of a shard that is not done has ended: what it has stored is in no results yet."""
    path = left_path(campaign, campaign.shard(end.number))
    await store.write(path, end.model_dump_json(indent=1).encode(), "application/json")


async def reopen(store: Store, campaign: Campaign, done: ShardResult) -> None:
    """Let a shard that is *done* be so no longer; what it has stored goes on to count.

    Its rows go last: one that counts as done always has them.
    """
    shard = campaign.shard(done.number)
    await write_left(store, campaign, done.model_copy(update={"left": "it is rendered again"}))
    for path in (result_path(campaign, shard), *part_paths(campaign, shard)):
        await store.delete(path)


def left_path(campaign: Campaign, shard: Shard) -> str:
    return f"{campaign.folder}/left/{shard.name}.json"


async def open_result_of(store: Store, campaign: Campaign, shard: Shard) -> ShardResult | None:
    """How the last run of *shard*, which is not done, has ended; None where it has not said it."""
    try:
        return ShardResult.model_validate_json(await store.read(left_path(campaign, shard)))
    except (Missing, ValidationError):
        return None


async def not_stored(store: Store, campaign: Campaign, results: Iterable[ShardResult], most: int) -> list[Row]:
    """The first rows of the shards with *results* whose clip is not stored; `BadInput` where rows can't be read."""
    found: list[Row] = []
    for result in results:
        if set(result.statuses) != {"stored"} and len(found) < most:
            found += await _not_stored_in(store, campaign, campaign.shard(result.number))
    return found[:most]


async def _not_stored_in(store: Store, campaign: Campaign, shard: Shard) -> list[Row]:
    path, _ = part_paths(campaign, shard)
    try:
        rows = map(json.loads, (await store.read(path)).splitlines())
        return [row for row in rows if row["status"] != "stored"]
    except (Missing, ValueError, KeyError, TypeError) as error:
        if isinstance(error, Missing) and await result_of(store, campaign, shard) is None:
            return []  # another run renders it again
        raise _damaged(store, path, result_path(campaign, shard)) from error


def _json_line(row: Row) -> bytes:
    plain = {name: str(value) if isinstance(value, Decimal) else value for name, value in row.items()}
    return json.dumps(plain, ensure_ascii=False).encode() + b"\n"
