"""One shard of a frozen campaign, rendered to its end: what a flow or a process of its own calls."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from decimal import Decimal

from pydantic import Field

from prefect_seedance.campaign.document import Campaign, Shard, load_campaign, load_lines
from prefect_seedance.campaign.frozen import open_campaign
from prefect_seedance.campaign.host import ShardHost
from prefect_seedance.campaign.results import ShardResult, result_of, write_left
from prefect_seedance.errors import Missing, SeedanceError, summary
from prefect_seedance.ledger.record import Writer
from prefect_seedance.ledger.writer import new_claim_id, this_writer
from prefect_seedance.models import Frozen
from prefect_seedance.rendering.options import Options
from prefect_seedance.rendering.render import Host, render_board
from prefect_seedance.runpod.account import Account
from prefect_seedance.sources.catalog import catalog_of
from prefect_seedance.storage.store import Store


async def run_shard(
    store: Store, account: Account, campaign_id: str, number: int, options: Options, host: Host
) -> ShardResult:
    """Render shard *number* of a frozen campaign; what it has stored already, here or anywhere, is reused for nothing.

    One that has results is not rendered again, unless *options* retry what failed and something is not stored. Where
    `left` says why it is not done, another call goes on. Raises what `render_board` raises, `BadInput` for a damaged
    file of the campaign, and `SeedanceError` where its results could not be made. Approvals are the campaign's affair:
    those in *options* are not looked at.
    """
    campaign = await load_campaign(store, campaign_id)
    shard = campaign.shard(number)
    there = await result_of(store, campaign, shard)
    if there is not None and not to_do_again(there, options.retry_failed):
        return there.model_copy(update={"spent_usd": Decimal(0)})  # another run has paid it
    await begin(store, campaign, shard, host.flow_run_id)
    result = None
    try:
        result = await _rendered(store, account, campaign, shard, options, host, there)
    finally:
        if result is None or result.left is not None:
            with contextlib.suppress(SeedanceError):
                await begin(store, campaign, shard, host.flow_run_id, ended=True)
    if result.left is not None:
        with contextlib.suppress(SeedanceError):  # whoever started it is told all the same
            await write_left(store, campaign, result)
    return result


async def _rendered(
    store: Store,
    account: Account,
    campaign: Campaign,
    shard: Shard,
    options: Options,
    host: Host,
    before: ShardResult | None,
) -> ShardResult:
    catalog = await catalog_of(store)
    lines = await load_lines(store, campaign, shard)
    async with open_campaign(campaign, store, account, catalog) as frozen:
        board = await frozen.board_of(shard, lines)
        own = ShardHost(host, store, campaign, shard, lines, board, before)
        await render_board(board, account, store, without_approval(options), catalog, own)
    if own.result is not None:
        return own.result
    assert own.error is not None  # a board that was rendered has been written, or could not be
    if isinstance(own.error, SeedanceError):  # of the store, which may be asked again
        raise own.error
    raise SeedanceError(
        f"The results of shard {shard.number} could not be made ({summary(own.error).rstrip('.')}); what is stored "
        "stays and is not paid again; mend that, and run the campaign again."
    ) from own.error


def to_do_again(result: ShardResult, retry_failed: int) -> bool:
    """Whether a shard that is done is rendered again, because what failed is to be tried anew."""
    return retry_failed > 0 and set(result.statuses) != {"stored"}


def left_of(campaign: Campaign, results: Mapping[int, ShardResult], retry_failed: int) -> list[Shard]:
    """The shards without *results*, and those that are rendered again."""
    done = {number for number, result in results.items() if not to_do_again(result, retry_failed)}
    return [shard for shard in campaign.shards if shard.number not in done]


def without_approval(options: Options) -> Options:
    limits = options.limits.model_copy(update={"approve_above": None})
    return options.model_copy(update={"approve": None, "limits": limits})


def begun_path(campaign: Campaign, shard: Shard) -> str:
    return f"{campaign.folder}/begun/{shard.name}.json"


class Begun(Frozen):
    """Who works at a shard."""

    writer: Writer
    nonce: str
    ended: bool = Field(False, description="Whether that one works no more at it, though it is not done.")


async def begin(
    store: Store, campaign: Campaign, shard: Shard, flow_run_id: str | None, *, ended: bool = False
) -> None:
    """Leave a note of who works at the shard, or did, for whoever asks how it stands: it keeps nobody from anything."""
    note = Begun(writer=this_writer(flow_run_id), nonce=new_claim_id(), ended=ended)
    await store.write(begun_path(campaign, shard), note.model_dump_json().encode(), "application/json")


async def note_of(store: Store, campaign: Campaign, shard: Shard) -> Begun | None:
    """The last note; None where there is none that can be read."""
    try:
        return Begun.model_validate_json(await store.read(begun_path(campaign, shard)))
    except (Missing, ValueError):
        return None
