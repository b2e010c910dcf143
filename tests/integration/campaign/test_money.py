"""What may be spent: one approval by the hash of the campaign, budgets and limits, the canary, what stops it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.campaigns import CampaignDesk, mugs, write_table
from tests.support.emulating import RunningEmulator


def test_one_approval_by_hash_is_good_for_every_restart_of_the_same_campaign(
    desk: CampaignDesk, emulator: RunningEmulator
) -> None:
    digest = desk.planned()["hash"]
    asked = desk.campaign("run", "--approve-above", "0.10")
    assert (asked.code, f"--approve {digest}" in asked.err) == (4, True)
    assert emulator.bill()["charges"] == []
    emulator.fault("run", "status", code=400, prompt="number 3")
    assert desk.campaign("run", "--approve-above", "0.10", "--approve", digest).code == 3
    restarted = desk.campaign("run", "--approve-above", "0.01", "--retry-failed", "1")
    assert restarted.code == 0, restarted.err
    assert len(emulator.charges) == 4


def test_the_hash_of_another_campaign_is_no_approval(desk: CampaignDesk, emulator: RunningEmulator) -> None:
    digest = desk.planned()["hash"]
    write_table(desk.folder / "table.csv", mugs(5))
    asked = desk.campaign("run", "--approve", digest)
    assert asked.code == 4
    assert "the storyboard, the table, a price or an option has changed since" in asked.err
    assert desk.ids() == []
    assert emulator.bill()["charges"] == []


def test_a_budget_below_the_price_of_what_is_left_refuses_it_whole(
    desk: CampaignDesk, emulator: RunningEmulator
) -> None:
    short = desk.campaign("run", "--budget", "0.19")
    assert (short.code, "may cost up to $0.20, more than the budget of $0.19" in short.err) == (4, True)
    assert emulator.bill()["charges"] == []
    enough = desk.campaign("run", "--budget", "0.20", "--shard-size", "1", "--shards-at-once", "3")
    assert enough.code == 0, enough.err
    assert len(emulator.charges) == 4


def test_a_limit_of_the_day_stops_the_campaign_and_another_run_goes_on(
    desk: CampaignDesk, emulator: RunningEmulator
) -> None:
    words = ("--shard-size", "2", "--shards-at-once", "1")
    limited = desk.campaign("run", *words, "--per-day", "0.15")
    assert limited.code == 3
    assert "Shard 2 stopped the campaign: " in limited.err
    assert len(emulator.charges) == 2
    assert desk.campaign("run", *words, "--per-day", "0.15").code == 4
    assert len(emulator.charges) == 2
    assert desk.campaign("run", *words, "--per-day", "0.20").code == 0
    assert len(emulator.charges) == 4


def test_the_rows_of_the_canary_are_looked_at_before_the_others_are_rendered(
    desk: CampaignDesk, emulator: RunningEmulator
) -> None:
    words = ("--canary", "1", "--shard-size", "2")
    early = desk.campaign("run", *words, "--go-on")  # before there is anything to look at
    assert early.code == 4
    page = Path(desk.store) / "campaigns" / desk.ids()[0] / "review" / "0001.html"
    assert f"look at {page}, and run the campaign again with --go-on" in early.err
    assert "m00001" in page.read_text()
    again = desk.campaign("run", *words)
    assert (again.code, len(emulator.charges)) == (4, 1)
    assert desk.campaign("run", *words, "--go-on").code == 0
    assert desk.campaign("run", *words).code == 0
    assert len(emulator.charges) == 4


def test_a_canary_that_is_not_done_lets_nothing_else_be_submitted(
    desk: CampaignDesk, emulator: RunningEmulator
) -> None:
    words = ("--canary", "2", "--go-on", "--max-in-flight", "1")
    emulator.fault("run", "status", code=401, prompt="number 1")
    refused = desk.campaign("run", *words)
    assert (refused.code, "Shard 1 stopped the campaign: 1 of its clips were not submitted" in refused.err) == (1, True)
    assert emulator.charges == []
    told = desk.campaign("run", *words, "--retry-failed", "1")
    assert (told.code, "look at " in told.err) == (4, True)
    assert len(emulator.charges) == 2


def test_a_stop_rule_stops_new_shards_until_somebody_approves_again(
    desk: CampaignDesk, emulator: RunningEmulator
) -> None:
    emulator.fault("run", "status", code=400, prompt="number 1")
    words = ("--shard-size", "1", "--shards-at-once", "1")
    stopped = desk.campaign("run", *words, "--stop-refused", "40")
    assert stopped.code == 1
    assert "1 of 1 clips were refused, more than the 40 % that were allowed" in stopped.err
    assert emulator.charges == []
    refused = desk.campaign("run", *words)
    assert (refused.code, "This campaign was stopped" in refused.err) == (4, True)
    digest = desk.planned("--shard-size", "1")["hash"]
    assert desk.campaign("run", *words, "--approve", digest).code == 3
    assert len(emulator.charges) == 3


def test_clips_that_cost_more_than_was_allowed_stop_new_shards(desk: CampaignDesk, emulator: RunningEmulator) -> None:
    words = ("--shard-size", "1", "--shards-at-once", "1", "--stop-usd-per-clip", "0.04")
    stopped = desk.campaign("run", *words)
    assert stopped.code == 3
    assert "it has cost $0.05 for 1 clips that are stored" in stopped.err
    assert len(emulator.charges) == 1


def test_a_campaign_that_somebody_stopped_begins_no_shard(desk: CampaignDesk, emulator: RunningEmulator) -> None:
    words = ("--canary", "1")
    assert desk.campaign("run", *words).code == 4
    [campaign] = desk.ids()
    stopped = desk.run("campaign", "stop", campaign)
    assert (stopped.code, f"campaign stop {campaign} --lift" in stopped.err) == (0, True)
    assert desk.campaign("run", *words, "--go-on").code == 4
    told = desk.run("campaign", "status", campaign)
    assert "Stopped: somebody stopped it with campaign stop." in told.err
    assert len(emulator.charges) == 1
    digest = json.loads((Path(desk.store) / "campaigns" / campaign / "campaign.json").read_text())["hash"]
    again = desk.campaign("run", *words, "--go-on", "--approve", digest)  # as who restarts it says it
    assert (again.code, f"campaign stop {campaign} --lift" in again.err) == (4, True)
    assert len(emulator.charges) == 1
    assert desk.run("campaign", "stop", campaign, "--lift").code == 0
    assert desk.campaign("run", *words, "--go-on").code == 0
    assert len(emulator.charges) == 4
