"""A campaign that is killed and run again ends, and pays for each of its clips once."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.campaigns import ONE_SHOT, CampaignDesk, key_of_mug, mugs, write_table
from tests.support.emulating import RunningEmulator


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=lambda number: signal.Signals(number).name)
def test_a_campaign_stopped_in_its_middle_goes_on_and_pays_each_clip_once(
    desk: CampaignDesk, emulator: RunningEmulator, number: int
) -> None:
    write_table(desk.folder / "table.csv", mugs(8))
    words = ("--shard-size", "2", "--shards-at-once", "2")
    for mug in (4, 6):  # so that shards 2 and 3 do not end, and shard 4 does not begin
        emulator.fault("status", "silent", prompt=f"number {mug}", times=1000)
    process = desk.start("campaign", "run", "board.yaml", "--table", "table.csv", *words)
    done = Path(desk.store)
    wait_until(lambda: list(done.glob("campaigns/*/results/shard=00001/shard.json")))
    wait_until(lambda: all((done / "ledger" / key_of_mug(mug) / "0002.json").exists() for mug in range(1, 7)))
    [campaign] = desk.ids()
    running = desk.run("campaign", "status", campaign, "--json").document
    assert running["running"] == [2, 3]
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == (-9 if number == signal.SIGKILL else 130), err
    first = (done / "campaigns" / campaign / "results" / "shard=00001" / "part.jsonl").stat().st_mtime_ns
    left = desk.run("campaign", "status", campaign, "--json").document
    assert (left["running"], left["status"]) == ([], "partial")
    emulator.clear_faults()
    ended = desk.campaign("run", *words, "--json")
    assert ended.code == 0, ended.err
    assert ended.document["statuses"] == {"stored": 8}
    assert (done / "campaigns" / campaign / "results" / "shard=00001" / "part.jsonl").stat().st_mtime_ns == first
    assert desk.ids() == [campaign]
    assert Counter(row["status"] for row in desk.rows(campaign)) == {"stored": 8}
    assert sorted(charge["prompt"] for charge in emulator.charges) == sorted(
        f"A {row['product']} turns." for row in mugs(8)
    )


def test_a_campaign_that_is_stopped_while_it_runs_brings_home_what_is_out_and_begins_nothing_new(
    desk: CampaignDesk, emulator: RunningEmulator
) -> None:
    words = ("--shard-size", "1", "--shards-at-once", "1")
    emulator.fault("status", "hidden", prompt="number 1", times=1000)
    process = desk.start("campaign", "run", "board.yaml", "--table", "table.csv", *words)
    wait_until((Path(desk.store) / "ledger" / key_of_mug(1) / "0002.json").exists)
    assert desk.run("campaign", "stop", desk.ids()[0]).code == 0
    emulator.clear_faults()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 3, err
    assert "The campaign was stopped: somebody stopped it with campaign stop; no new shard begins" in err
    assert [row["row"] for row in desk.rows(desk.ids()[0])] == ["m00001"]
    assert len(emulator.charges) == 1


def test_a_killed_campaign_goes_on_by_its_id_wherever_its_table_and_its_storyboard_have_moved(
    desk: CampaignDesk, emulator: RunningEmulator
) -> None:
    asking = ("--approve-above", "0")
    assert desk.campaign("run", "--shard-size", "2", *asking).code == 4
    [campaign] = desk.ids()
    desk.board(ONE_SHOT.replace("turns", "spins"))
    write_table(desk.folder / "table.csv", mugs(6))
    by_id = ("campaign", "run", campaign)
    asked = desk.run(*by_id, *asking)  # what was frozen was not approved by that
    assert (asked.code, emulator.bill()["charges"]) == (4, [])
    approved = asked.err.rpartition("approve it with --approve ")[2].strip().rstrip(".")
    emulator.fault("status", "silent", prompt="number 3", times=1000)
    process = desk.start(*by_id, *asking, "--approve", approved, "--shards-at-once", "1")
    wait_until(lambda: all((Path(desk.store) / "ledger" / key_of_mug(mug) / "0002.json").exists() for mug in (3, 4)))
    process.kill()
    process.communicate(timeout=60)
    assert f"`campaign run {campaign}`" in desk.run("campaign", "status", campaign).err
    emulator.clear_faults()
    ended = desk.run(*by_id, *asking, "--json")
    assert (ended.code, ended.document["statuses"]) == (0, {"stored": 4}), ended.err
    assert desk.ids() == [campaign]
    assert sorted(charge["prompt"] for charge in emulator.charges) == [f"A {row['product']} turns." for row in mugs(4)]


def test_two_runs_of_one_campaign_at_once_pay_each_clip_once(desk: CampaignDesk, emulator: RunningEmulator) -> None:
    words = ("campaign", "run", "board.yaml", "--table", "table.csv", "--shard-size", "1")
    both = [desk.start(*words) for _ in range(2)]
    ends = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    assert len(emulator.charges) == 4


def test_what_failed_is_done_again_only_where_that_is_asked_for(desk: CampaignDesk, emulator: RunningEmulator) -> None:
    emulator.fault("run", "failed", prompt="number 2")
    words = ("--shard-size", "2")
    assert desk.campaign("run", *words).code == 3
    assert desk.campaign("run", *words).code == 3
    assert len(emulator.charges) == 3
    again = desk.campaign("run", *words, "--retry-failed", "1", "--json")
    assert (again.code, again.document["statuses"]) == (0, {"stored": 4}), again.err
    assert len(emulator.charges) == 4


def test_a_table_that_has_moved_on_changes_nothing_that_was_frozen(
    desk: CampaignDesk, emulator: RunningEmulator
) -> None:
    assert desk.campaign("run", "--approve-above", "0").code == 4
    [campaign] = desk.ids()
    frozen = (Path(desk.store) / "campaigns" / campaign / "shards" / "00001.jsonl").read_text()
    write_table(desk.folder / "table.csv", mugs(6))
    assert desk.campaign("run").code == 0
    assert len(desk.ids()) == 2
    assert (Path(desk.store) / "campaigns" / campaign / "shards" / "00001.jsonl").read_text() == frozen
    assert [json.loads(line)["row"] for line in frozen.splitlines()] == [row["id"] for row in mugs(4)]
    assert len(emulator.charges) == 6
