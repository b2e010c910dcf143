"""People asked in Prefect's UI: the plan of a campaign as a page, its approval and the look at its canary as pauses."""

from __future__ import annotations

from itertools import islice

from prefect.artifacts import acreate_markdown_artifact

from prefect_seedance.campaign.document import Campaign, load_lines
from prefect_seedance.campaign.frozen import open_campaign
from prefect_seedance.campaign.person import Nobody
from prefect_seedance.campaign.survey import Survey
from prefect_seedance.catalog.endpoints import Catalog
from prefect_seedance.errors import NotApproved
from prefect_seedance.orchestration import events
from prefect_seedance.orchestration.approval import can_pause, says_yes, telling
from prefect_seedance.orchestration.display import Display
from prefect_seedance.orchestration.markdown import escaped
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage.store import Store
from prefect_seedance.text import dollars

SAMPLE = 8
"""Rows whose shots stand in the plan, so that a person sees what the variables have become."""
PROMPT = 120


class PersonInTheUI(Nobody):
    """Asks while the run is suspended. The run of no deployment can't pause: it ends, and says how to agree."""

    def __init__(self, store: Store, account: Account, catalog: Catalog) -> None:
        self._store = store
        self._account = account
        self._catalog = catalog
        self._text = ""

    async def plan_made(self, campaign: Campaign, found: Survey) -> None:
        self._text = _totals(campaign, found)
        if found.left:
            self._text += await self._sample(campaign)
        summary = f"**{escaped(campaign.title)}**: {dollars(found.estimated_usd)} to spend, clips: {campaign.clips}."
        await Display().show(acreate_markdown_artifact(self._text, key="seedance-campaign-plan", description=summary))

    async def approve(self, campaign: Campaign, found: Survey) -> None:
        with telling():
            if not can_pause():
                await super().approve(campaign, found)
            elif not await says_yes(self._text, key=f"campaign-{campaign.hash}"):
                cost = dollars(found.estimated_usd)
                raise NotApproved(f"The campaign for about {cost} was declined; nothing was submitted.")

    async def look(self, campaign: Campaign, page: str) -> None:
        text = (
            f"The canary of **{escaped(campaign.title)}** is done: {campaign.canary} rows. Look at `{page}`. "
            f"*Approve* renders the other {campaign.rows - campaign.canary} rows, as they were approved."
        )
        with telling():
            if not can_pause():
                await super().look(campaign, page)
            elif not await says_yes(text, key=f"canary-{campaign.hash}"):
                raise NotApproved(f"The canary on {page} was declined; nothing else was submitted.")

    def budget_refused(self, why: str) -> None:
        events.budget_refused(why)

    async def _sample(self, campaign: Campaign) -> str:
        """What the first rows ask for, from what was frozen."""
        shard = campaign.shards[0]
        lines = await load_lines(self._store, campaign, shard)
        async with open_campaign(campaign, self._store, self._account, self._catalog) as frozen:
            board = await frozen.board_of(shard, lines[:SAMPLE])
        rows = [
            f"| {escaped(shot.id)} | {escaped(shot.prompt[:PROMPT])} "
            f"| {shot.request.size or '' if shot.request else ''} | {dollars(shot.estimated_usd)} |"
            for shot in islice(board.shots, SAMPLE * 2)
        ]
        return "\n".join(["", "", "| row/shot | prompt | size | estimate |", "| --- | --- | --- | ---: |", *rows, ""])


def _totals(campaign: Campaign, found: Survey) -> str:
    done = len(campaign.shards) - len(found.left)
    reused = f" Clips worth {dollars(found.reused_usd)} are there already." if found.reused_usd else ""
    varied = "".join(f"- {escaped(name)}: {escaped(', '.join(values))}\n" for name, values in campaign.matrix.items())
    actions = ", ".join(f"{count} {action}" for action, count in found.counts.items())
    return (
        f"**{escaped(campaign.title)}** would spend about **{dollars(found.estimated_usd)}** and at most "
        f"**{dollars(found.upper_usd)}**.{reused} The hash of this campaign is `{campaign.hash}`.\n\n"
        f"- rows: {campaign.rows}, clips: {campaign.clips}, table: {escaped(campaign.table)}\n"
        f"- shards: {len(campaign.shards)}, of which {done} are done; canary: {campaign.canary} rows\n"
        f"{varied}- different clips that are left: {actions or 'none'}\n"
    )
