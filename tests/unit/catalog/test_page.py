"""docs/catalog.md says of the rows what they say themselves, and its examples are right."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from prefect_seedance.catalog.endpoints import KNOWN, with_rows
from prefect_seedance.catalog.loading import with_own_rows
from prefect_seedance.cli.models import COLUMNS, in_columns
from prefect_seedance.errors import BadInput
from prefect_seedance.storyboard.reading import read_board
from tests.support.places import EXAMPLES, ROOT

PAGE = ROOT / "docs" / "catalog.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_table_of_the_page_is_that_of_the_rows() -> None:
    """After a change of a row write *table* between the two marks of the page."""
    [table] = re.findall(r"<!-- rows -->\n(.*?)<!-- /rows -->", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [COLUMNS, ("---",) * len(COLUMNS), *map(in_columns, KNOWN.values())]
    assert table == "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


async def test_the_storyboard_of_the_page_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(EXAMPLES / "references", tmp_path / "references")
    (tmp_path / "board.yaml").write_text(BLOCKS[0], encoding="utf-8")
    board = await read_board("board.yaml", catalog=KNOWN, store=None)
    assert (board.problems, board.warnings) == ((), ())
    assert [shot.request.size for shot in board.shots if shot.request] == [
        "720x1280", "1280x720", "720x1280", "1080x1920",
    ]  # fmt: skip


def test_the_row_of_the_page_is_one() -> None:
    [row] = yaml.safe_load(BLOCKS[1])
    assert with_rows([row])[row["slug"]].durations[:3] == (5, 4, 6)


def test_a_row_that_is_like_another_says_only_what_differs() -> None:
    [row] = yaml.safe_load(BLOCKS[2])
    there = KNOWN["chatterbox-turbo"]
    assert with_rows([row])[row["slug"]] == there.model_copy(update={"runsync": 20})
    with pytest.raises(BadInput, match="no endpoint is called nobody"):
        with_own_rows(b"[{slug: x, like: nobody}]", "catalog.yaml")


@pytest.mark.parametrize(
    "price",
    [
        *("flat: -1", "flat: 0", "per_clip: {5: -1}", "per_second: 0", "per_1000_characters: -0.1"),
        *("per_second: 1, upper_per_second: 0", "per_second: 1, when: [{inputs: {}, per_second: -1}]"),
    ],
)
def test_a_row_whose_price_is_nothing_or_less_is_refused_by_its_name(price: str) -> None:
    """A reservation of less than nothing would let others pass a limit."""
    row = f"[{{slug: mine, like: seedance-1-0-pro, tiers: [{{name: a, sizes: [480x864], {price}}}]}}]"
    with pytest.raises(BadInput, match=r"catalog\.yaml: mine: tiers\..*greater than 0"):
        with_own_rows(row.encode(), "catalog.yaml")
