"""What keeps a campaign from going on in its own process: somebody's stop, a broken rule, prices that have risen."""

from __future__ import annotations

import textwrap
from decimal import Decimal
from pathlib import Path

import pytest

from prefect_seedance.budget.limits import Limits
from prefect_seedance.campaign.document import Campaign
from prefect_seedance.campaign.draft import Asked
from prefect_seedance.campaign.freeze import frozen
from prefect_seedance.campaign.host import QuietHost
from prefect_seedance.campaign.manifest import CampaignManifest
from prefect_seedance.campaign.marks import Marks
from prefect_seedance.campaign.person import Nobody, Person
from prefect_seedance.campaign.rules import StopRules
from prefect_seedance.campaign.run import CampaignRun
from prefect_seedance.campaign.shards import shards_here
from prefect_seedance.campaign.survey import Survey
from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.errors import NotApproved, OverBudget
from prefect_seedance.rendering.options import Options
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage.store import Store
from tests.support.campaigns import ONE_SHOT, mugs
from tests.support.emulating import RunningEmulator
from tests.support.frozen import frozen_mugs

ASK = Limits(approve_above=Decimal(0))


@pytest.fixture
async def campaign(tmp_path: Path, folder_store: Store, account: Account) -> Campaign:
    """Of two shards, the first of which is the canary."""
    board = tmp_path / "board.yaml"
    board.write_text(textwrap.dedent(ONE_SHOT))
    return await frozen(Asked(str(board), mugs(2), canary=1), folder_store, account, KNOWN)


async def run(
    campaign: Campaign,
    store: Store,
    account: Account,
    options: Options,
    *,
    person: Person | None = None,
    rules: StopRules | None = None,
) -> CampaignManifest:
    shards = shards_here(store, account, campaign, 1, lambda: QuietHost(lambda _: None))
    running = CampaignRun(campaign, store, account, options, person=person, rules=rules, go_on=True)
    return await running.render(KNOWN, shards)


async def test_who_restarts_a_campaign_that_somebody_stopped_lifts_no_stop_by_its_approval(
    campaign: Campaign, folder_store: Store, account: Account, emulator: RunningEmulator
) -> None:
    marks, approved = Marks(folder_store, campaign), Options(approve=campaign.hash)
    await marks.stop()
    for _ in range(2):
        with pytest.raises(NotApproved, match=f"say `campaign stop {campaign.id} --lift` and run it again"):
            await run(campaign, folder_store, account, approved)
    assert emulator.bill()["charges"] == []
    await marks.lift()
    with pytest.raises(NotApproved, match="look at"):
        await run(campaign, folder_store, account, approved)
    assert (await run(campaign, folder_store, account, approved)).status == "complete"
    assert len(emulator.charges) == 2


async def test_a_stop_that_comes_while_somebody_is_asked_for_an_approval_holds(
    campaign: Campaign, folder_store: Store, account: Account, emulator: RunningEmulator
) -> None:
    marks = Marks(folder_store, campaign)

    class Slow(Nobody):
        async def approve(self, campaign: Campaign, found: Survey) -> None:
            await marks.stop()

    with pytest.raises(NotApproved, match="This campaign was stopped: somebody stopped it with campaign stop"):
        await run(campaign, folder_store, account, Options(limits=ASK), person=Slow())
    assert await marks.stopped() is not None
    assert emulator.bill()["charges"] == []


async def test_a_rule_that_is_broken_after_somebody_stopped_leaves_the_stop_to_its_maker(
    campaign: Campaign, folder_store: Store, account: Account, emulator: RunningEmulator
) -> None:
    approved = Options(approve=campaign.hash)

    class Stopping(Nobody):
        async def look(self, campaign: Campaign, page: str) -> None:
            await Marks(folder_store, campaign).stop()

    emulator.fault("run", "status", code=400, prompt="number 1")
    rules = StopRules(refused_percent=0)
    assert (await run(campaign, folder_store, account, approved, person=Stopping(), rules=rules)).status == "nothing"
    with pytest.raises(NotApproved, match="somebody stopped it"):
        await run(campaign, folder_store, account, approved)
    assert emulator.bill()["charges"] == []


async def test_prices_that_have_risen_since_a_campaign_was_planned_are_approved_anew(
    campaign: Campaign, folder_store: Store, account: Account, emulator: RunningEmulator
) -> None:
    cheap = campaign.model_copy(update={"upper_usd": Decimal("0.09")})  # as an older list of prices has frozen it
    with pytest.raises(NotApproved, match=r"up to \$0.10, and all of it was to cost \$0.09 at most; nothing was sub"):
        await run(cheap, folder_store, account, Options(approve=campaign.hash))
    assert emulator.bill()["charges"] == []


async def test_a_budget_that_refuses_a_whole_campaign_is_told_as_one_that_refuses_a_run(
    campaign: Campaign, folder_store: Store, account: Account, emulator: RunningEmulator
) -> None:
    class Hearing(Nobody):
        heard: tuple[str, ...] = ()

        def budget_refused(self, why: str) -> None:
            self.heard += (why,)

    person = Hearing()
    with pytest.raises(OverBudget) as refused:
        await run(campaign, folder_store, account, Options(budget=Decimal("0.09")), person=person)
    assert person.heard == (str(refused.value),)
    with pytest.raises(NotApproved):
        await run(campaign, folder_store, account, Options(limits=ASK), person=person)
    assert len(person.heard) == 1
    assert emulator.bill()["charges"] == []


@pytest.mark.parametrize(
    ("on", "fault", "more", "stored"),
    [("run", "status", {"code": 500, "accept": True}, 0), ("status", "shape", {"as_": "bare"}, 1)],
    ids=["an-unclear-clip", "a-clip-whose-cost-is-not-told"],
)
async def test_what_may_have_been_charged_counts_where_a_clip_may_cost_so_much(
    tmp_path: Path,
    folder_store: Store,
    account: Account,
    emulator: RunningEmulator,
    on: str,
    fault: str,
    more: dict[str, object],
    stored: int,
) -> None:
    of_two_shards = await frozen_mugs(tmp_path, folder_store, account, 2)
    emulator.fault(on, fault, prompt="number 1", times=100, **more)
    rules = StopRules(usd_per_clip=Decimal("0.04"))
    manifest = await run(of_two_shards, folder_store, account, Options(), rules=rules)
    assert manifest.stopped == (
        f"it may have cost $0.05 for {stored} clips that are stored, more than the $0.04 per clip that were allowed"
    )
    assert [float(result.at_risk_usd) for result in manifest.done] == [0.05]
    assert len(emulator.charges) == 1
