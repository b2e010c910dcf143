"""Freezing a draft into the store: the first act of a run. After it nothing reads the moving table or storyboard."""

from __future__ import annotations

import contextlib
import json

from prefect_seedance.campaign.boards import sha256_of
from prefect_seedance.campaign.document import Campaign, content_of, folder_of, load_campaign, shard_path
from prefect_seedance.campaign.draft import SHARD_SIZE, Asked, Draft, drafted
from prefect_seedance.campaign.problems import refusal_of, write_problems
from prefect_seedance.catalog.endpoints import Catalog
from prefect_seedance.errors import BadInput, Missing, NotApproved, Taken
from prefect_seedance.runpod.account import Account
from prefect_seedance.sources import images, sounds
from prefect_seedance.storage.reads import some_at_a_time
from prefect_seedance.storage.store import Store
from prefect_seedance.text import printable

MOST_BYTES = max(images.MOST_BYTES, sounds.MOST_BYTES)


async def frozen(
    asked: Asked, store: Store, account: Account, catalog: Catalog, approve: str | None = None
) -> Campaign:
    """The campaign that is *asked*, frozen in *store*. What a flow or a command begins with; spends nothing.

    Asked for by its id it is the one that was frozen, wherever its storyboard, its table and the prices have moved.
    Raises `BadInput` with its problems, and `NotApproved` where *approve* is the hash of another campaign.
    """
    if asked.table is None:
        campaign = await _frozen_before(asked, store)
        refuse_other_hash(campaign, approve)
        return campaign
    async with drafted(asked, store, account, catalog) as draft:
        if draft.problems:
            raise refusal_of(draft.problems, await write_problems(store, draft.campaign, draft.problems))
        refuse_other_hash(draft.campaign, approve)
        return await freeze(draft, store)


async def _frozen_before(asked: Asked, store: Store) -> Campaign:
    """The campaign whose id stands in the place of a storyboard; `BadInput` where none was frozen, or otherwise."""
    try:
        there = await store.exists(f"{folder_of(asked.storyboard)}/campaign.json")
    except ValueError:  # no path of a store, such as ../board.yaml
        there = False
    if not there:
        raise BadInput(
            f"{printable(asked.storyboard, 200)} is not the id of a campaign that was frozen in {store.url}; nothing "
            "was submitted; name the table of the storyboard with --table, or the id that a run has said."
        )
    campaign = await load_campaign(store, asked.storyboard)
    said = {
        "--vary": asked.vary,
        "--canary": asked.canary not in (0, campaign.canary),
        "--shard-size": asked.shard_size not in (SHARD_SIZE, campaign.shard_size),
    }
    if other := [word for word, is_said in said.items() if is_said]:
        raise BadInput(
            f"{' and '.join(other)} can't change the campaign {campaign.id} any more; nothing was submitted; leave it "
            "out, or plan another campaign from a storyboard and a table."
        )
    return campaign


async def frozen_by(
    run: str, asked: Asked, store: Store, account: Account, catalog: Catalog, approve: str | None = None
) -> Campaign:
    """As `frozen`, once for each *run*: begun again, it goes on with what it froze, wherever its table has moved."""
    path = f"campaigns/runs/{run}.json"
    try:
        campaign = await load_campaign(store, str(json.loads(await store.read(path))["campaign"]))
    except Missing:
        campaign = await frozen(asked, store, account, catalog, approve)
        await store.write(path, json.dumps({"campaign": campaign.id}).encode(), "application/json")
    refuse_other_hash(campaign, approve)
    return campaign


def refuse_other_hash(campaign: Campaign, approved: str | None) -> None:
    """Raise `NotApproved` where somebody has approved another campaign than this one."""
    if approved is not None and approved != campaign.hash:
        raise NotApproved(
            f"This campaign has the hash {campaign.hash} and not {approved}: the storyboard, the table, a price or an "
            "option has changed since, which makes another campaign; nothing was submitted; look at its plan, and run "
            f"it with --approve {campaign.hash}."
        )


async def freeze(draft: Draft, store: Store) -> Campaign:
    """Write *draft* into *store*, unless that was done already, and return what lies there. `campaign.json` comes last.

    Raises `BadInput` where a picture or a sound has changed since it was checked.
    """
    campaign = draft.campaign
    path = f"{campaign.folder}/campaign.json"
    if await store.exists(path):
        return await load_campaign(store, campaign.id)

    async def keep(name: str) -> None:
        source = draft.files[name]
        content = await source.place.read_again(MOST_BYTES, sha256_of(source), "nothing was submitted, run again")
        await store.write(f"{campaign.folder}/board/{name}", content)

    await some_at_a_time(keep, draft.files)
    await store.write(f"{campaign.folder}/board/{campaign.storyboard}", draft.content)
    for shard, lines in zip(campaign.shards, draft.lines, strict=True):
        await store.write(shard_path(campaign.id, shard.number), content_of(lines), "application/x-ndjson")
    with contextlib.suppress(Taken):  # by another run that froze the same
        await store.create(path, campaign.model_dump_json(indent=1).encode())
    return await load_campaign(store, campaign.id)
