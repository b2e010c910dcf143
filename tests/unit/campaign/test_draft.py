"""What a campaign would be: its id by content, its problems all at once, its shards. No API, and nothing is written."""

from __future__ import annotations

import hashlib
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from prefect_seedance.campaign.document import Campaign, Line
from prefect_seedance.campaign.draft import Asked, drafted
from prefect_seedance.campaign.survey import survey
from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.errors import BadInput
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage import open_store
from prefect_seedance.storage.store import Store
from tests.support.campaigns import BOARD, ONE_SHOT, ROWS, mugs, write_table
from tests.support.counting import CountedStore
from tests.support.pictures import plain_picture

ACCOUNT = Account("k", "http://127.0.0.1:9/v2")


@pytest.fixture
def board(tmp_path: Path) -> Path:
    path = tmp_path / "board.yaml"
    path.write_text(textwrap.dedent(BOARD))
    return path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


async def draft(
    board: Path, rows: str | Sequence[Mapping[str, Any]], store: Store, **more: Any
) -> tuple[Campaign, list[str], list[list[Line]]]:
    """The campaign, its problems and the lines of its shards."""
    async with drafted(Asked(str(board), rows, **more), store, ACCOUNT, KNOWN) as made:
        return made.campaign, [str(problem) for problem in made.problems], made.lines


async def test_the_same_rows_in_every_form_are_the_same_campaign(tmp_path: Path, board: Path, store: Store) -> None:
    tables = [write_table(tmp_path / f"t{ending}", ROWS) for ending in (".csv", ".jsonl", ".parquet")]
    made = [(await draft(board, table, store))[0] for table in tables]
    made.append((await draft(board, ROWS, store))[0])
    assert len({campaign.id for campaign in made}) == 1
    assert made[0].id == f"mugs-of-{made[0].hash[:12]}"
    assert (made[0].rows, made[0].clips) == (3, 6)


async def test_whatever_decides_what_is_rendered_or_paid_makes_another_campaign(
    tmp_path: Path, board: Path, store: Store
) -> None:
    made = [(await draft(board, ROWS, store))[0]]
    others: list[dict[str, Any]] = [{"canary": 1}, {"shard_size": 2}, {"vary": ("take=1,2",)}, {"vary": ("take=2",)}]
    made += [(await draft(board, ROWS, store, **more))[0] for more in others]
    made.append((await draft(board, ROWS[:2], store))[0])
    made.append((await draft(board, ROWS, open_store(tmp_path / "other")))[0])
    board.write_text(board.read_text().replace("logo of", "emblem of"))
    made.append((await draft(board, ROWS, store))[0])
    async with drafted(Asked(str(board), ROWS), store, Account("k2", ACCOUNT.base_url), KNOWN) as other:
        made.append(other.campaign)
    assert len({campaign.hash for campaign in made}) == len(made)


async def test_a_campaign_keeps_the_hash_of_its_storyboard(board: Path, store: Store) -> None:
    campaign = (await draft(board, ROWS, store))[0]
    assert campaign.storyboard_sha256 == hashlib.sha256(board.read_bytes()).hexdigest()


async def test_a_repeated_row_changes_nothing(board: Path, store: Store) -> None:
    once, twice = [(await draft(board, rows, store))[0] for rows in (ROWS, (*ROWS, ROWS[0]))]
    assert (once.hash, once.duplicates, twice.duplicates) == (twice.hash, 0, 1)


async def test_a_picture_that_changed_makes_another_campaign(tmp_path: Path, board: Path, store: Store) -> None:
    board.write_text("title: T\nshots:\n  - {id: a, prompt: A., image: '{file}'}\n")
    rows = [{"file": "mug.png"}]
    (tmp_path / "mug.png").write_bytes(plain_picture(200))
    one, problems, _ = await draft(board, rows, store)
    assert problems == []
    (tmp_path / "mug.png").write_bytes(plain_picture(90))
    assert (await draft(board, rows, store))[0].hash != one.hash


async def test_all_problems_of_all_rows_are_found_at_once(tmp_path: Path, board: Path, store: Store) -> None:
    rows = [*ROWS, {"id": "m1", "product": "x", "city": "y"}, {"id": "m5", "product": "cup"}, {"id": "m6", "city": "z"}]
    _, problems, _ = await draft(board, write_table(tmp_path / "t.jsonl", rows), store)
    table = str(tmp_path / "t.jsonl")
    assert problems[0] == f"{table}:4: the id `m1` is that of line 1; give each row an id of its own"
    assert f"{table}:5: shot m5/turn: `{{city}}` has no value" in problems[1]
    assert [f"{table}:6: shot m6" in problem for problem in problems[2:]] == [True, True]


async def test_what_is_wrong_with_the_storyboard_is_told_once_and_not_for_each_row(board: Path, store: Store) -> None:
    board.write_text("title: T\nshots:\n  - {id: a, promt: A.}\n")
    with pytest.raises(BadInput, match="promt"):
        await draft(board, mugs(50), store)


async def test_a_clip_that_several_rows_ask_for_counts_and_costs_once(board: Path, store: Store) -> None:
    campaign, _, [lines] = await draft(board, ROWS, store)
    assert [line.again for line in lines] == [(), ("m2/logo",), ("m3/logo",)]
    assert campaign.upper_usd * 100 == 4 * 5


async def test_rows_are_never_parted_and_the_canary_is_a_shard_of_its_own(board: Path, store: Store) -> None:
    rows = [{"product": str(number), "city": "x"} for number in range(10)]
    campaign, _, lines = await draft(board, rows, store, canary=1, shard_size=5)
    assert [len(part) for part in lines] == [1, 2, 2, 2, 2, 1]
    assert [shard.clips for shard in campaign.shards] == [2, 4, 4, 4, 4, 2]
    _, _, varied = await draft(board, rows, store, canary=2, shard_size=100, vary=("size=640x640,854x480",))
    assert [len(part) for part in varied] == [4, 16]


async def test_pages_are_numbered_over_all_shards(tmp_path: Path, store: Store) -> None:
    (tmp_path / "one.yaml").write_text(textwrap.dedent(ONE_SHOT))
    campaign, _, _ = await draft(tmp_path / "one.yaml", mugs(1000), store, shard_size=450)
    assert [list(shard.pages) for shard in campaign.shards] == [[1, 2, 3], [4, 5, 6], [7]]


async def test_thousands_of_rows_are_planned_with_a_bounded_number_of_operations(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(
        "title: Mugs\ndefaults: {size: 640x640, duration: 2}\nshots:\n"
        "  - {id: turn, prompt: 'A {product} turns.', image: mug.png}\n"
    )
    (tmp_path / "mug.png").write_bytes(plain_picture(200))
    store = CountedStore(open_store(tmp_path / "store", public_base_url="http://127.0.0.1:9/files"))
    async with drafted(Asked(str(tmp_path / "one.yaml"), mugs(2_000)), store, ACCOUNT, KNOWN) as made:
        asked_before = sum(store.operations.values())
        boards = ((shard.number, await made.board_of(shard.number)) for shard in made.campaign.shards)
        found = await survey(boards, Ledger(store), ACCOUNT, KNOWN)
    assert found.counts == {"generate": 2_000}
    assert asked_before < 10  # checking rows asks the store nothing
    assert sum(store.operations.values()) <= 2 * 2_000 + 2 * len(made.campaign.shards) + 10
    assert store.operations.keys() <= {"read", "names", "link"}  # and writes nothing


async def test_one_picture_of_many_rows_is_read_once(tmp_path: Path, store: Store) -> None:
    """Its file may be gone after that: no row looks at it again."""
    (tmp_path / "one.yaml").write_text("title: T\nshots:\n  - {id: a, prompt: '{product}', image: mug.png}\n")
    (tmp_path / "mug.png").write_bytes(plain_picture(200))
    async with drafted(Asked(str(tmp_path / "one.yaml"), mugs(3)), store, ACCOUNT, KNOWN) as made:
        (tmp_path / "mug.png").unlink()
        board = await made.board_of(1)
    assert Counter(shot.image.picture.sha256 for shot in board.shots if shot.image).total() == 3
