"""What docs/campaigns.md shows works as it stands there."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prefect_seedance.campaign.results import COLUMNS
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage import open_store
from prefect_seedance.storyboard.documents import read_csv
from tests.support.campaigns import CampaignDesk, mugs, write_table
from tests.support.emulating import RunningEmulator
from tests.support.places import EXAMPLES, ROOT

PAGE = (ROOT / "docs" / "campaigns.md").read_text(encoding="utf-8")


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[RunningEmulator]:
    (tmp_path / "store").mkdir()
    with RunningEmulator.start(latency=0.025, serve=tmp_path / "store") as running:
        yield running


async def test_the_program_of_the_page_renders_the_rows_that_it_is_given(
    tmp_path: Path, account: Account, emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    _, program = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)  # the first is in Prefect
    shown: dict[str, Any] = {}
    exec(compile(program, "campaigns.md", "exec"), shown)
    store = open_store(tmp_path / "store", public_base_url=emulator.public_base_url)
    rows = [row.cells for row in read_csv((EXAMPLES / "products.csv").read_text())[1]]
    manifest = await shown["render"](store, account, rows)
    assert (manifest.status, manifest.clips) == ("complete", 6)
    assert len(emulator.charges) == 6


def test_the_commands_of_the_page_plan_and_run_the_example(desk: CampaignDesk, emulator: RunningEmulator) -> None:
    *words, by_id = re.findall(r"^prefect-seedance campaign (?:plan|run) (.*?) --store", PAGE, re.MULTILINE)
    served = ("--public-base-url", emulator.public_base_url)
    asked = [str(ROOT / word) if word.startswith("examples/") else word for word in words[0].split()]
    assert (words, by_id) == ([words[0]] * 2, "for-the-morning-1f0c9b2a77d4")
    planned = desk.run("campaign", "plan", *asked, *served, "--json")
    assert planned.code == 0, planned.err
    done = desk.run("campaign", "run", *asked, *served, "--approve", planned.document["hash"], "--json")
    assert done.code == 0, done.err
    again = desk.run("campaign", "run", done.document["id"], *served, "--json")
    assert again.document == done.document
    for path in re.findall(r"^campaigns/ID/(\S+) {2,}", PAGE, re.MULTILINE):
        assert (Path(desk.store) / "campaigns" / done.document["id"] / path).is_file(), path
    assert len(emulator.charges) == 6


def test_the_page_names_every_column_of_the_results() -> None:
    [table] = re.findall(r"\| column \| says \|\n(.*?)\n\n", PAGE, re.DOTALL)
    first = [line.split("|")[1] for line in table.splitlines()[1:]]
    assert {name for cell in first for name in re.findall(r"`(\w+)`", cell)} == set(COLUMNS)


def test_the_sums_of_the_page_are_the_bill_though_a_campaign_shows_clips_of_an_earlier_one(
    desk: CampaignDesk, emulator: RunningEmulator
) -> None:
    for count in (2, 4):
        write_table(desk.folder / "table.csv", mugs(count))
        assert desk.campaign("run").code == 0
    parts = [row for campaign in desk.ids() for row in desk.rows(campaign)]
    warehouse = sqlite3.connect(":memory:")
    warehouse.execute("create table parts (campaign, key, status, usd)")
    warehouse.executemany("insert into parts values (:campaign, :key, :status, cast(:usd as real))", parts)
    [page] = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    _, each, total = re.sub(r"read_parquet\(.*?\)", "parts", page).strip().rstrip(";").split(";")
    by_campaign = {campaign: (status, clips, round(usd, 2)) for campaign, status, clips, usd in warehouse.execute(each)}
    assert sorted(by_campaign.values()) == [("stored", 2, 0.1), ("stored", 4, 0.2)]
    [[usd]] = warehouse.execute(total)
    assert round(usd, 2) == emulator.bill()["total_usd"] == 0.2
    assert len(emulator.charges) == 4
