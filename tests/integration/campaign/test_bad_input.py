"""What is wrong with a campaign is told before anything is spent: a sentence, or all problems of all rows in a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.campaigns import CampaignDesk, mugs, write_table
from tests.support.emulating import RunningEmulator


def test_all_problems_of_all_rows_are_in_a_file_and_the_first_hundred_are_shown(
    desk: CampaignDesk, emulator: RunningEmulator
) -> None:
    rows = [*mugs(3), *({"id": f"x{number}"} for number in range(150))]
    table = write_table(desk.folder / "table.jsonl", rows)
    for command in ("plan", "run"):
        refused = desk.campaign(command, table=table)
        assert refused.code == 2
        shown = [line for line in refused.err.splitlines() if line.startswith("✗ ")]
        assert len(shown) == 100
        assert shown[0].startswith(f"✗ {table}:4: shot x0/turn: `{{product}}` has no value")
        [file] = Path(desk.store).glob("campaigns/*/problems.txt")
        assert len(file.read_text().splitlines()) == 150
        assert f"150 problems, all of them in {file}; nothing is submitted until they are mended." in refused.err
    named = desk.campaign("plan", "--problems", "mine.txt", table=table)
    assert (named.code, len((desk.folder / "mine.txt").read_text().splitlines())) == (2, 150)
    assert desk.ids() == []
    assert emulator.bill()["charges"] == []


def test_a_table_with_no_line_that_can_be_read_says_of_each_why(desk: CampaignDesk, emulator: RunningEmulator) -> None:
    (desk.folder / "table.jsonl").write_text("{oh\n[1]\n")
    refused = desk.campaign("run", table="table.jsonl")
    assert (refused.code, refused.err.splitlines()[:2]) == (
        2,
        [
            "✗ table.jsonl:1: this line is not JSON; write one object per line",
            '✗ table.jsonl:2: this line is not an object; write it like {"product": "Red mug"}',
        ],
    )
    assert "2 problems, all of them in " in refused.err
    assert emulator.bill()["charges"] == []


def test_rows_whose_ids_collide_are_problems(desk: CampaignDesk, emulator: RunningEmulator) -> None:
    write_table(desk.folder / "table.csv", [*mugs(2), {"id": "m00001", "product": "jar"}])
    refused = desk.campaign("run")
    assert (refused.code, "table.csv:4: the id `m00001` is that of line 2" in refused.err) == (2, True)
    assert emulator.bill()["charges"] == []


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("t.csv", b"id,colour\nm1,red\n", "The storyboard names {product}, and the table t.csv has no such column"),
        ("t.parquet", b"PAR1 and no more", "The table t.parquet can't be read: it is damaged or no Parquet file"),
        ("t.csv", b"", "t.csv:1: the file is empty"),
        ("none.csv", None, "There is no table none.csv here, beside the storyboard or in the store"),
    ],
)
def test_a_table_that_can_not_be_used_is_one_sentence(
    desk: CampaignDesk, emulator: RunningEmulator, name: str, content: bytes | None, sentence: str
) -> None:
    if content is not None:
        (desk.folder / name).write_bytes(content)
    refused = desk.campaign("run", table=name)
    assert (refused.code, sentence in refused.err) == (2, True), refused.err
    assert len(refused.err.strip().splitlines()) == 1
    for command in ("plan", "run"):
        document = desk.campaign(command, "--json", table=name).document
        assert (document["schema"], document["id"]) == ("prefect-seedance/campaign-plan/1", None)
        assert sentence in document["problems"][0]["message"]
    assert emulator.bill()["charges"] == []


def without_pyarrow(desk: CampaignDesk, table: str, *more: str) -> subprocess.CompletedProcess[str]:
    """`campaign run` where pyarrow is not installed."""
    without = "import sys; sys.modules['pyarrow'] = None; from prefect_seedance.cli.app import run; sys.exit(run())"
    words = ["campaign", "run", "board.yaml", "--table", table, "--store", desk.store, *more]
    command = [sys.executable, "-c", without, *words]
    return subprocess.run(
        command, env=desk.environment, cwd=desk.folder, text=True, capture_output=True, timeout=120, check=False
    )


def test_without_pyarrow_a_parquet_table_is_one_sentence_and_a_csv_works(
    desk: CampaignDesk, emulator: RunningEmulator
) -> None:
    write_table(desk.folder / "table.parquet", mugs(2))
    refused = without_pyarrow(desk, "table.parquet")
    assert (refused.returncode, len(refused.stderr.strip().splitlines())) == (2, 1)
    assert "pip install 'prefect-seedance[warehouse]'" in refused.stderr
    done = without_pyarrow(desk, "table.csv")
    assert done.returncode == 0, done.stderr
    assert len(desk.rows(desk.ids()[0])) == len(emulator.charges) == 4
    assert list(Path(desk.store).glob("campaigns/*/results/*/part.parquet")) == []


def test_a_retry_without_pyarrow_leaves_no_parquet_of_before(desk: CampaignDesk, emulator: RunningEmulator) -> None:
    emulator.fault("run", "failed", prompt="number 1", times=1)
    assert desk.campaign("run").code == 3
    [results] = Path(desk.store).glob("campaigns/*/results/*")
    assert (results / "part.parquet").exists()
    (results / "shard.json").unlink()  # as the sentence says where it is damaged
    assert without_pyarrow(desk, "table.csv", "--retry-failed", "1").returncode == 0
    assert {path.name for path in results.iterdir()} == {"part.jsonl", "shard.json"}
    assert len(emulator.charges) == 4


@pytest.mark.parametrize(
    ("damaged", "sentence"),
    [
        ("shards/00002.jsonl", "shards/00002.jsonl is damaged or gone; nothing was submitted for it"),
        ("campaign.json", "campaign.json is damaged; nothing was submitted"),
    ],
)
def test_a_damaged_file_of_a_frozen_campaign_is_one_sentence(
    desk: CampaignDesk, emulator: RunningEmulator, damaged: str, sentence: str
) -> None:
    words = ("--shard-size", "2")
    assert desk.campaign("run", *words, "--approve-above", "0").code == 4  # it is frozen by then
    file = Path(desk.store) / "campaigns" / desk.ids()[0] / damaged
    file.write_text(file.read_text()[:-20])
    refused = desk.campaign("run", *words)
    assert (refused.code, sentence in refused.err) == (2, True)
    assert len(refused.err.strip().splitlines()) == 1
    assert emulator.bill()["charges"] == []
    (file.parent / "campaign.json" if damaged == "campaign.json" else file.parents[1] / "campaign.json").unlink()
    assert desk.campaign("run", *words).code == 0  # as the sentence says
    assert len(emulator.charges) == 4


def test_a_campaign_that_is_not_there_is_one_sentence(desk: CampaignDesk) -> None:
    for command in ("status", "stop"):
        told = desk.run("campaign", command, "none-123")
        assert (told.code, "There is no campaign none-123 in" in told.err) == (2, True)


@pytest.mark.parametrize("word", ["board.yaml", "../board.yaml", "none-123"])
def test_what_is_run_without_a_table_and_is_no_frozen_campaign_is_one_sentence(
    desk: CampaignDesk, emulator: RunningEmulator, word: str
) -> None:
    refused = desk.run("campaign", "run", word, "--json")
    sentence = f"{word} is not the id of a campaign that was frozen in {desk.store}; nothing was submitted; name the"
    assert (refused.code, refused.err.startswith(sentence)) == (2, True), refused.err
    assert len(refused.err.strip().splitlines()) == 1
    assert refused.document["problems"][0]["message"].startswith(sentence)
    assert emulator.bill()["charges"] == []


def test_a_frozen_campaign_can_not_be_varied_any_more(desk: CampaignDesk, emulator: RunningEmulator) -> None:
    assert desk.campaign("run", "--approve-above", "0", "--canary", "1").code == 4
    by_id = ("campaign", "run", desk.ids()[0])
    refused = desk.run(*by_id, "--vary", "take=1,2", "--canary", "2", "--shard-size", "3")
    assert (refused.code, len(refused.err.strip().splitlines())) == (2, 1)
    assert refused.err.startswith("--vary and --canary and --shard-size can't change the campaign ")
    assert emulator.bill()["charges"] == []
    assert desk.run(*by_id, "--canary", "1", "--go-on").code == 4  # as it was frozen: nobody has looked yet
    assert len(emulator.charges) == 1


def test_what_keeps_every_clip_from_being_made_is_found_by_the_plan(
    desk: CampaignDesk, emulator: RunningEmulator
) -> None:
    desk.board("""
        title: T
        defaults: {size: 640x640, duration: 2}
        shots:
          - {id: a, prompt: "A {product}."}
          - {id: b, prompt: B., continue_from: a}
    """)
    for command, where in (("plan", "table.csv:2"), ("run", "shard 00001")):
        refused = desk.campaign(command)
        assert refused.code == 2
        assert f"✗ {where}: shot m00001/b: its pictures have to be fetched by the provider" in refused.err
        assert "4 problems, all of them in " in refused.err
    assert emulator.bill()["charges"] == []
