"""What a campaign leaves: rows that match the ledger and the bill, pages for people, and nothing left to pay."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

import httpx
import pyarrow.dataset
import pyarrow.parquet

from tests.support.campaigns import BOARD, ROWS, CampaignDesk, write_table
from tests.support.emulating import RunningEmulator
from tests.support.s3_server import RunningS3


def test_a_campaign_pays_each_clip_once_and_its_second_run_nothing(
    desk: CampaignDesk, emulator: RunningEmulator
) -> None:
    plan = desk.planned("--shard-size", "2")
    assert (plan["schema"], plan["clips"], plan["shards"]) == ("prefect-seedance/campaign-plan/1", 4, 2)
    assert plan["estimated_usd"] == 0.2
    assert desk.ids() == []
    first = desk.campaign("run", "--shard-size", "2", "--json")
    assert first.code == 0, first.err
    assert first.document["statuses"] == {"stored": 4}
    assert first.document["clips_usd"] == emulator.bill()["total_usd"] == 0.2
    submits = len(emulator.bill()["charges"])
    again = desk.campaign("run", "--shard-size", "2")
    assert again.code == 0, again.err
    assert "This run cost $0.00." in again.err
    assert desk.planned("--shard-size", "2")["estimated_usd"] == 0
    assert desk.ids() == [plan["id"]]
    assert len(emulator.bill()["charges"]) == submits == 4


def test_the_rows_of_the_results_match_the_ledger_and_the_bill(desk: CampaignDesk, emulator: RunningEmulator) -> None:
    desk.board(BOARD)
    write_table(desk.folder / "table.csv", ROWS)
    emulator.fault("run", "moderated", prompt="blue mug")
    done = desk.campaign("run", "--shard-size", "2", "--vary", "take=1,2", "--json")
    assert done.code == 3, done.err
    [campaign] = desk.ids()
    rows = desk.rows(campaign)
    assert [(row["row"], row["vary"], row["shot"]) for row in rows[:4]] == [
        ("m1", "take=1", "turn"),
        ("m1", "take=1", "logo"),
        ("m1", "take=2", "turn"),
        ("m1", "take=2", "logo"),
    ]
    assert Counter(row["status"] for row in rows) == {"stored": 11, "failed": 1}
    [failed] = [row for row in rows if row["status"] == "failed"]
    assert (failed["row"], failed["uri"], "sensitive" in failed["reason"]) == ("m2", None, True)
    for row in rows:
        if row["status"] == "stored":
            last = json.loads((Path(desk.store) / "ledger" / row["key"] / "0004.json").read_text())
            assert row["uri"] == f"{desk.store}/{last['clip']}"
            assert (row["sha256"], row["seconds"], row["model"], row["size"], row["take"]) == (
                last["sha256"],
                last["footage"]["seconds"],
                last["request"]["model"],
                last["request"]["size"],
                last["request"]["take"],
            )
    paid = sum(Decimal(row["usd"]) for row in rows if row["usd"] is not None)
    assert paid == Decimal(str(emulator.bill()["total_usd"])) == Decimal("0.35")
    assert len(emulator.charges) == len({row["key"] for row in rows}) - 1 == 7


def test_results_are_parquet_too_with_money_as_decimals_and_the_shard_as_their_folder_says_it(
    desk: CampaignDesk, emulator: RunningEmulator
) -> None:
    assert desk.campaign("run", "--shard-size", "2").code == 0
    [results] = Path(desk.store).glob("campaigns/*/results")
    parts = sorted(results.glob("*/part.parquet"))
    told = [{**row, "usd": Decimal(row["usd"])} for row in desk.rows(results.parent.name)]
    hive = pyarrow.dataset.dataset(results, partitioning="hive", exclude_invalid_files=True).to_table()
    assert str(hive.schema.field("usd").type) == "decimal128(12, 6)"
    assert sorted(hive.to_pylist(), key=lambda row: row["row"]) == told
    plain = [row for part in parts for row in pyarrow.parquet.read_table(part).to_pylist()]
    assert [{**row, "shard": told[place]["shard"]} for place, row in enumerate(plain)] == told
    assert len(emulator.charges) == 4


def test_the_pages_show_posters_that_are_there_and_what_went_wrong(
    desk: CampaignDesk, emulator: RunningEmulator
) -> None:
    emulator.fault("run", "status", code=400, prompt="number 3")
    assert desk.campaign("run").code == 3
    review = Path(desk.store) / "campaigns" / desk.ids()[0] / "review"
    page = (review / "0001.html").read_text()
    posters = [part.split('"')[0] for part in page.split('src="')[1:]]
    assert len(posters) == 3
    assert all((review / poster).resolve().is_file() for poster in posters)
    assert page.count('loading="lazy"') == 3
    index = (review / "index.html").read_text()
    assert "<td>m00003</td>" in index
    assert 'href="0001.html"' in index


def test_the_pages_of_a_shard_whose_end_is_removed_are_written_anew_for_nothing(
    desk: CampaignDesk, emulator: RunningEmulator
) -> None:
    """As docs/campaigns.md says of pages whose links have ended."""
    assert desk.campaign("run").code == 0
    folder = Path(desk.store) / "campaigns" / desk.ids()[0]
    page = folder / "review" / "0001.html"
    page.write_text("its links have ended")
    assert desk.campaign("run").code == 0
    assert page.read_text() == "its links have ended"
    (folder / "results" / "shard=00001" / "shard.json").unlink()
    again = desk.campaign("run")
    assert (again.code, "This run cost $0.00." in again.err) == (0, True)
    assert page.read_text().count('loading="lazy"') == len(emulator.charges) == 4


def test_what_a_table_says_is_never_run_by_a_page(desk: CampaignDesk) -> None:
    write_table(desk.folder / "table.csv", [{"id": "<script>alert(1)</script>", "product": "<img src=x onerror=1>"}])
    assert desk.campaign("run").code == 0
    for page in Path(desk.store).glob("campaigns/*/review/*.html"):
        assert "<script" not in page.read_text()
        assert "<img src=x" not in page.read_text()


def test_a_campaign_in_a_bucket_reads_its_table_there(
    desk: CampaignDesk, s3_server: RunningS3, emulator: RunningEmulator
) -> None:
    bucket = s3_server.new_bucket()
    desk.store = f"s3://{bucket}/films"
    desk.environment |= s3_server.environment
    for path in ("mugs.csv", "films/tables/mugs.csv"):  # beside the store, and a file of it
        content = (desk.folder / "table.csv").read_bytes()
        httpx.put(f"{s3_server.endpoint_url}/{bucket}/{path}", content=content).raise_for_status()
    first = desk.campaign("run", "--shard-size", "2", "--json", table=f"s3://{bucket}/mugs.csv")
    assert first.code == 0, first.err
    again = desk.campaign("run", "--shard-size", "2", table="tables/mugs.csv")
    assert (again.code, "This run cost $0.00." in again.err) == (0, True)
    board = (desk.folder / "board.yaml").read_bytes()
    httpx.put(f"{s3_server.endpoint_url}/{bucket}/films/tables/board.yaml", content=board).raise_for_status()
    there = desk.run(
        "campaign", "plan", f"{desk.store}/tables/board.yaml", "--table", "mugs.csv", "--shard-size", "2", "--json"
    )
    assert (there.document["id"], there.document["shards_left"]) == (first.document["id"], 0)
    status = desk.run("campaign", "status", first.document["id"], "--json").document
    assert (status["status"], len(status["done"]), status["running"]) == ("complete", 2, [])
    assert len(emulator.charges) == 4
