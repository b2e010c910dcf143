"""Freezing a draft into the store: the first act of a run. After it nothing reads the moving table or storyboard."""

from __future__ import annotations

import contextlib
import json

from prefect_seedance.campaign.boards import sha256_of
from prefect_seedance.campaign.document import Campaign, content_of, load_campaign, shard_path
from prefect_seedance.campaign.draft import Asked, Draft, drafted
from prefect_seedance.campaign.problems import refusal_of, write_problems
from prefect_seedance.catalog.endpoints import Catalog
from prefect_seedance.errors import Missing, NotApproved, Taken
from prefect_seedance.runpod.account import Account
from prefect_seedance.sources import images, sounds
from prefect_seedance.storage.reads import some_at_a_time
from prefect_seedance.storage.store import Store

MOST_BYTES = max(images.MOST_BYTES, sounds.MOST_BYTES)


async def frozen(
    asked: Asked, store: Store, account: Account, catalog: Catalog, approve: str | None = None
) -> Campaign:
    """The campaign that is *asked*, frozen in *store*. What a flow or a command begins with; spends nothing.

    Raises `BadInput` with its problems, and `NotApproved` where *approve* is the hash of another campaign.
    """
    async with drafted(asked, store, account, catalog) as draft:
        if draft.problems:
            raise refusal_of(draft.problems, await write_problems(store, draft.campaign, draft.problems))
        refuse_other_hash(draft.campaign, approve)
        return await freeze(draft, store)


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
