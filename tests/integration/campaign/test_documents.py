"""What a refused campaign leaves for a script to read, and what a person hears of money that is at risk."""

from __future__ import annotations

import pytest

from tests.support.campaigns import CampaignDesk, key_of_mug, mugs, write_table
from tests.support.emulating import RunningEmulator


@pytest.mark.parametrize("words", [("--approve-above", "0"), ("--budget", "0.01"), ("--approve", "another")])
def test_a_campaign_that_may_not_spend_prints_its_plan_as_json(
    desk: CampaignDesk, emulator: RunningEmulator, words: tuple[str, str]
) -> None:
    refused = desk.campaign("run", "--json", *words)
    assert (refused.code, refused.document) == (4, desk.planned())
    assert emulator.bill()["charges"] == []


@pytest.mark.parametrize("command", ["plan", "run"])
def test_problems_are_in_the_json_document_too(desk: CampaignDesk, emulator: RunningEmulator, command: str) -> None:
    write_table(desk.folder / "table.csv", [*mugs(1), {"id": "x"}])
    refused = desk.campaign(command, "--json")
    assert refused.code == 2
    [problem] = refused.document["problems"]
    assert (problem["line"], problem["shot"], "{product}" in problem["message"]) == (3, "x/turn", True)
    assert emulator.bill()["charges"] == []


def test_a_run_that_ends_after_its_canary_says_what_it_cost_and_prints_the_plan_of_the_others(
    desk: CampaignDesk, emulator: RunningEmulator
) -> None:
    told = desk.campaign("run", "--canary", "1", "--json")
    assert (told.code, told.document["shards_left"], told.document["estimated_usd"]) == (4, 1, 0.15)
    assert "This run cost $0.05." in told.err
    assert len(emulator.charges) == 1


def test_what_may_have_been_charged_for_nothing_is_told_with_its_dollars_and_what_to_do(
    desk: CampaignDesk, emulator: RunningEmulator
) -> None:
    emulator.fault("run", "status", code=500, prompt="number 2")
    ended = desk.campaign("run")
    assert ended.code == 3
    handle = f"{key_of_mug(2)}@"
    [told] = [line for line in ended.err.splitlines() if line.startswith(f"Clip {handle}")]
    assert "$0.05 may have been charged" in told
    assert f"`prefect-seedance settle {handle}" in told
    assert len(emulator.charges) == 3


def test_a_place_for_problems_that_can_not_be_written_is_one_sentence(desk: CampaignDesk) -> None:
    write_table(desk.folder / "table.csv", [*mugs(1), {"id": "x"}])
    refused = desk.campaign("plan", "--problems", "none/mine.txt")
    assert (refused.code, len(refused.err.strip().splitlines())) == (2, 1)
    assert "none/mine.txt can't be written (No such file or directory); nothing was submitted" in refused.err
