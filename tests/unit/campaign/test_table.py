"""Tables: the same rows in every form, and one sentence for what can't be read."""

from __future__ import annotations

import datetime
import math
import tracemalloc
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from prefect_seedance.campaign import table as tables
from prefect_seedance.campaign.parquet import rows_of_parquet
from prefect_seedance.campaign.table import read_table, table_of
from prefect_seedance.errors import BadInput
from prefect_seedance.sources.folder import Folder
from prefect_seedance.storage import open_store
from tests.support.campaigns import write_table

TYPED = [
    {"id": "a", "product": "red mug", "pieces": 3, "fragile": True, "note": None},
    {"id": "b", "product": " blue mug ", "pieces": 12, "fragile": False, "note": "late"},
]
AS_TEXT = [
    {"id": "a", "product": "red mug", "pieces": "3", "fragile": "true"},
    {"id": "b", "product": "blue mug", "pieces": "12", "fragile": "false", "note": "late"},
]


@pytest.mark.parametrize(
    ("ending", "rows"), [(".csv", AS_TEXT), (".jsonl", TYPED), (".ndjson", TYPED), (".parquet", TYPED)]
)
async def test_every_form_of_a_table_gives_the_same_rows(tmp_path: Path, ending: str, rows: list[Any]) -> None:
    table = await read_table(write_table(tmp_path / f"table{ending}", rows), None)
    assert [row.cells for row in table.rows] == AS_TEXT
    assert set(table.columns) == {"id", "product", "pieces", "fragile", "note"}


def test_rows_of_a_program_may_hold_amounts_and_dates() -> None:
    table = table_of([{"price": Decimal("12.50"), "day": datetime.date(2026, 11, 26), "none": None}], "the rows")
    assert table.rows[0].cells == {"price": "12.50", "day": "2026-11-26"}


class NaT(datetime.datetime):
    """As pandas has it: a time that is none, and equals nothing."""

    def __ne__(self, other: object) -> bool:
        return True


async def test_cells_that_pandas_or_parquet_leave_empty_are_none_and_no_word_of_a_prompt(tmp_path: Path) -> None:
    empty = [math.nan, Decimal("NaN"), NaT(2026, 11, 26)]
    table = table_of([{"id": "a", "note": cell} for cell in empty], "the rows")
    assert [(row.cells, row.mistake) for row in table.rows] == [({"id": "a"}, None)] * 3
    rows = [{"id": "a", "pieces": 1.5}, {"id": "b", "pieces": math.nan}]
    for ending in (".parquet", ".jsonl"):
        kept = await read_table(write_table(tmp_path / f"t{ending}", rows), None)
        assert [row.cells for row in kept.rows] == [{"id": "a", "pieces": "1.5"}, {"id": "b"}]


def test_cells_that_no_prompt_can_hold_are_mistakes_of_their_row() -> None:
    rows: list[dict[str, object]] = [
        {"a": math.inf},
        {"a": Decimal("-Infinity")},
        {"a": "mug \ud800"},
        {"\ud800": "mug"},
    ]
    mistakes = [row.mistake or "" for row in table_of(rows, "the rows").rows]
    assert ["holds no plain value" in mistake for mistake in mistakes] == [True] * 4
    assert all(mistake.encode() for mistake in mistakes)


async def test_a_table_may_lie_beside_its_storyboard_and_one_at_the_path_itself_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, product in (("store", "in the store"), ("boards", "beside"), (".", "here")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "mugs.csv").write_text(f"product\n{product}\n")
    store, beside = open_store(tmp_path / "store"), Folder("boards")

    async def found() -> tuple[str, str]:
        table = await read_table("mugs.csv", store, beside)
        return table.name, table.rows[0].cells["product"]

    assert await found() == ("mugs.csv", "here")
    (tmp_path / "mugs.csv").unlink()
    assert await found() == ("boards/mugs.csv", "beside")
    (tmp_path / "boards" / "mugs.csv").unlink()
    assert await found() == ("mugs.csv", "in the store")


async def test_a_table_may_be_a_file_of_the_store(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    await store.write("tables/mugs.csv", b"id,product\nm1,mug\n")
    table = await read_table("tables/mugs.csv", store)
    assert [row.cells for row in table.rows] == [{"id": "m1", "product": "mug"}]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("t.parquet", b"PAR1 no more of it", "is damaged or no Parquet file"),
        ("t.csv", b"", "the file is empty"),
        ("t.csv", b"id,product\n", "t.csv can't be read: it has no rows; add at least one; nothing was submitted."),
        ("t.jsonl", b"\n", "t.jsonl can't be read: it has no rows; add at least one; nothing was submitted."),
        ("t.csv", b"id,id\na,b\n", "each column needs a name of its own"),
        ("t.csv", b'id,product\na,"mug\n', "the CSV can't be read here"),
        ("t.jsonl", b"\xff\xfe", "is not UTF-8"),
        ("t.xlsx", b"", "must be a .csv, .jsonl or .parquet file"),
    ],
)
async def test_what_is_no_table_is_one_sentence(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match="nothing was submitted") as told:
        await read_table(str(tmp_path / name), None)
    assert sentence in str(told.value)
    assert len(told.value.problems) == 1


async def test_a_table_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"There is no table .*none\.csv here, beside the storyboard or in the store"):
        await read_table(str(tmp_path / "none.csv"), open_store(tmp_path / "store"))


async def test_more_rows_than_a_campaign_takes_are_told(tmp_path: Path) -> None:
    lines = b"product\n" + b"".join(b"%d\n" % number for number in range(tables.MOST_ROWS + 1))
    (tmp_path / "t.csv").write_bytes(lines)
    with pytest.raises(BadInput, match="has 100,001 rows; the most is 100,000"):
        await read_table(str(tmp_path / "t.csv"), None)


async def test_a_small_parquet_file_of_too_many_rows_is_refused_before_they_are_made(tmp_path: Path) -> None:
    rows = pyarrow.table({"product": pyarrow.array(["mug"] * 1_000_000)})
    pyarrow.parquet.write_table(rows, tmp_path / "t.parquet")
    sentence = "it has 1,000,000 rows; the most is 100,000; split it"
    with pytest.raises(BadInput, match=f"The table .* can't be read: {sentence}; nothing was submitted"):
        await read_table(str(tmp_path / "t.parquet"), None)
    content = (tmp_path / "t.parquet").read_bytes()
    assert len(content) < 10_000
    tracemalloc.start()
    try:
        with pytest.raises(BadInput, match=sentence):
            rows_of_parquet(content, tables.MOST_ROWS)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


async def test_each_row_that_can_not_be_read_says_so_itself(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"a": 1}\n[1]\n{"a": {"b": 1}}\n{oh\n')
    table = await read_table(str(tmp_path / "t.jsonl"), None)
    assert [row.mistake for row in table.rows] == [
        None,
        'this line is not an object; write it like {"product": "Red mug"}',
        "`a` holds no plain value; write a text or a number",
        "this line is not JSON; write one object per line",
    ]


async def test_a_row_that_names_a_column_twice_says_so_and_no_cell_is_taken_for_another(tmp_path: Path) -> None:
    twice = "`p` is there twice; each column needs a name of its own"
    lines = ('{"p": "x", "p": "z"}', '{"p": "x", "p ": "z"}', '{"p": null, " p": "z"}', '{"p": "x", "q": "x"}')
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    table = await read_table(str(tmp_path / "t.jsonl"), None)
    assert [row.mistake for row in table.rows] == [twice, twice, twice, None]
    assert [row.mistake for row in table_of([{"p": "x", "p ": "z"}, {"p": "x"}], "the rows").rows] == [twice, None]


def test_no_rows_of_a_program_are_one_sentence() -> None:
    with pytest.raises(BadInput) as told:
        table_of([], "the rows")
    assert str(told.value) == (
        "The table the rows can't be read: it has no rows; add at least one; nothing was submitted."
    )


FAR = pyarrow.table({"day": pyarrow.array([2**60], pyarrow.timestamp("us"))})
FINE = pyarrow.table({"day": pyarrow.array([1_700_000_000_123_456_789], pyarrow.timestamp("ns"))})


@pytest.mark.parametrize("table", [FAR, FINE], ids=["far dates", "nanoseconds"])
async def test_dates_of_a_parquet_table_that_python_can_not_hold_are_one_sentence_with_the_remedy(
    tmp_path: Path, table: pyarrow.Table
) -> None:
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(BadInput, match="it holds what can't be read here") as told:
        await read_table(str(tmp_path / "t.parquet"), None)
    remedy = "write dates as texts, or in microseconds and of the years 1 to 9999"
    assert str(told.value).endswith(f"); {remedy}; nothing was submitted.")


async def test_two_columns_of_one_name_in_a_parquet_table_are_no_damage(tmp_path: Path) -> None:
    twice = pyarrow.Table.from_arrays([pyarrow.array(["a"]), pyarrow.array(["b"])], names=["mug", "mug"])
    pyarrow.parquet.write_table(twice, tmp_path / "t.parquet")
    with pytest.raises(BadInput) as told:
        await read_table(str(tmp_path / "t.parquet"), None)
    why = "several columns are called `mug`; give each column a name of its own"
    assert str(told.value) == f"The table {tmp_path}/t.parquet can't be read: {why}; nothing was submitted."


async def test_columns_that_no_row_fills_with_a_plain_value_are_there(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"id": "a", "note": None, "sizes": ["s", "m"], "town": ""}]
    for ending in (".jsonl", ".parquet"):
        table = await read_table(write_table(tmp_path / f"t{ending}", rows), None)
        assert set(table.columns) == {"id", "note", "sizes", "town"}
        assert [row.mistake for row in table.rows] == ["`sizes` holds no plain value; write a text or a number"]
