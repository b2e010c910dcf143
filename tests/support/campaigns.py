"""Campaigns for tests: storyboards with variables, tables in every form, and a desk to run commands at."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from prefect_seedance.keys import key_of
from prefect_seedance.models import Request
from tests.support.commanding import Desk, Said
from tests.support.emulating import RunningEmulator

BOARD = """
    title: Mugs of {product}
    defaults: {size: 640x640, duration: 2}
    shots:
      - {id: turn, prompt: "A {product} turns in {city}."}
      - {id: logo, prompt: The logo of the house.}
"""
ONE_SHOT = """
    title: Mugs
    defaults: {size: 640x640, duration: 2}
    shots:
      - {id: turn, prompt: "A {product} turns."}
"""
ROWS = (
    {"id": "m1", "product": "red mug", "city": "Paris"},
    {"id": "m2", "product": "blue mug", "city": "Rome"},
    {"id": "m3", "product": "jar", "city": "Oslo"},
)
PRICE = 0.05
"""Of one clip of these boards, in dollars."""


def mugs(count: int) -> list[dict[str, str]]:
    """Rows for `ONE_SHOT`."""
    return [{"id": f"m{number:05d}", "product": f"mug number {number}"} for number in range(1, count + 1)]


def key_of_mug(number: int) -> str:
    """Of the clip that row *number* of `mugs` makes."""
    prompt = f"A mug number {number} turns."
    return key_of(Request(model="seedance-1-0-pro", prompt=prompt, size="640x640", duration=2, fps=24))


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    """*rows* as the file that the ending of *path* says."""
    match path.suffix:
        case ".csv":
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
                writer.writeheader()
                writer.writerows(rows)
        case ".parquet":
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
        case _:
            path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(path)


class CampaignDesk(Desk):
    """Runs the commands of a campaign; its board and its table are `board.yaml` and `table.csv` unless it is said."""

    def campaign(self, command: str, *words: str, table: str = "table.csv") -> Said:
        return self.run("campaign", command, "board.yaml", "--table", table, *words)

    def planned(self, *words: str) -> dict[str, Any]:
        plan: dict[str, Any] = self.campaign("plan", "--json", *words).document
        return plan

    def rows(self, campaign: str) -> list[dict[str, Any]]:
        """All rows of its results."""
        parts = sorted((Path(self.store) / "campaigns" / campaign / "results").glob("*/part.jsonl"))
        return [json.loads(line) for part in parts for line in part.read_text().splitlines()]

    def ids(self) -> list[str]:
        """The frozen campaigns of the store."""
        return sorted(path.parent.name for path in Path(self.store).glob("campaigns/*/campaign.json"))


@pytest.fixture
def desk(tmp_path: Path, emulator: RunningEmulator) -> CampaignDesk:
    """With `ONE_SHOT` and four rows for it."""
    desk = CampaignDesk(tmp_path, {"RUNPOD_API_KEY": "k-SECRET", "RUNPOD_BASE_URL": emulator.base_url})
    desk.board(ONE_SHOT)
    write_table(tmp_path / "table.csv", mugs(4))
    return desk
