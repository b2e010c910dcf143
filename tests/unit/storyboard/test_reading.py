"""Right storyboards become requests with keys that never change, from YAML, JSON, CSV, rows and forms alike."""

from __future__ import annotations

import asyncio
import json
import tempfile
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.keys import key_of
from prefect_seedance.models import LastFrame, Request
from prefect_seedance.sources.folder import Folder
from prefect_seedance.storyboard.documents import read_json
from prefect_seedance.storyboard.reading import ShotSpec, Storyboard, read_board, read_boards, storyboard_for
from prefect_seedance.text import slug
from tests.support.board_texts import read, shots, told
from tests.support.places import EXAMPLES, ROOT

SCHEMA = ROOT / "prefect_seedance" / "storyboard" / "storyboard.schema.json"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("desk")
async def test_a_right_storyboard_becomes_requests_with_keys_that_never_change() -> None:
    board = await read(
        "title: The lighthouse\nstyle: ' Hand-painted. '\n"
        "defaults: {size: 854x480}\nvariables: {who: A keeper}\nshots:\n"
        "  - {id: arrival, prompt: ' {who} rows -- slowly. '}\n"
        "  - {id: 01, prompt: He climbs., continue_from: arrival, take: 2, duration: '10'}\n"
        "  - {id: कि 登る, prompt: He lights it—dur 12., model: p-video, size: 1280x720}\n"
    )
    assert (board.problems, board.warnings) == ((), ())
    first, second, third = board.shots
    assert first.request == Request(
        model="seedance-1-0-pro", prompt="A keeper rows -- slowly. Hand-painted.", size="854x480", duration=5, fps=24
    )
    assert first.key == key_of(first.request) == "sd1-b8a05424bf35e2242d7f835fdd7f0646"
    assert second.request == Request(
        model="seedance-1-0-pro", prompt="He climbs. Hand-painted.", size="854x480", duration=10, fps=24, take=2,
        image=LastFrame(of="sd1-b8a05424bf35e2242d7f835fdd7f0646"),
    )  # fmt: skip
    assert second.key == "sd1-95d8985f62b24eaa26783287f1a3d24c"
    assert [(shot.id, shot.line, shot.estimated_usd, shot.continue_from) for shot in board.shots] == [
        ("arrival", 6, Decimal("0.12"), None),
        ("01", 7, Decimal("0.24"), "arrival"),
        ("कि 登る", 8, Decimal("0.10"), None),
    ]
    assert third.request is not None
    assert (third.request.fps, third.request.duration) == (24, 5)


@pytest.mark.usefixtures("desk")
async def test_a_shot_may_continue_from_one_further_down() -> None:
    forwards = await read(shots("  - {id: a, prompt: x}", "  - {id: b, prompt: y, continue_from: a}"))
    backwards = await read(shots("  - {id: b, prompt: y, continue_from: a}", "  - {id: a, prompt: x}"))
    assert [shot.key for shot in backwards.shots] == [shot.key for shot in reversed(forwards.shots)]
    assert [shot.id for shot in backwards.shots] == ["b", "a"]


@pytest.mark.usefixtures("desk")
async def test_yaml_json_csv_and_a_form_make_the_same_requests() -> None:
    board = Storyboard(
        title="board",
        shots=(
            ShotSpec(id="a", prompt='A "boat" 😀\\ud83d, red.'),
            ShotSpec(id="b", prompt="No", continue_from="a", take=2, duration=10),
        ),
    )
    plain = board.model_dump(exclude_defaults=True)
    asked = [shot.request for shot in (await read_board(board, catalog=KNOWN, store=None)).shots]
    assert None not in asked
    csv = 'ID;Prompt;Continue from;take;duration\na;"A ""boat"" 😀\\ud83d, red.";;;\n\nb;No;a;2;10\n'
    for text, name in (
        (yaml.safe_dump(plain), "board.yaml"),
        (json.dumps(plain, indent="\t"), "board.json"),
        ("\ufeff" + csv, "board.csv"),
        (csv.replace(";", "\t"), "board.csv"),
    ):
        read_again = await read(text, name)
        assert told(read_again) == []
        assert [shot.request for shot in read_again.shots] == asked
        assert read_again.title == "board"


@pytest.mark.parametrize("ends", ["\r\n", "\r"], ids=["CRLF", "CR"])
async def test_other_line_ends_change_neither_keys_nor_lines(desk: Path, ends: str) -> None:
    """A checkout on Windows must not pay again for what was rendered elsewhere."""
    texts = {
        "board.csv": 'id,prompt,notes\na,"A keeper rows.\nHe looks up.",x\nb,"Gulls ""cry"".",\nc,\n',
        "board.yaml": shots("  - id: a", "    prompt: |", "      A keeper rows.", "      He looks up.", "  - {id: c}"),
        "board.json": '{"title": "Film", "shots": [{"id": "a", "prompt": "A keeper.\\r\\nHe."},\n\n{"id": "c"}]}\n',
    }
    for name, text in texts.items():
        as_elsewhere = await read(text, name)
        (desk / name).write_bytes(text.replace("\n", ends).encode())
        here = await read_board(name, catalog=KNOWN, store=None)
        assert [(shot.key, shot.line) for shot in here.shots] == [(shot.key, shot.line) for shot in as_elsewhere.shots]
        assert told(here) == told(as_elsewhere) != []
    (desk / "board.csv").write_bytes(b"id,prompt" + ends.encode() + b"a,\xff")
    assert told(await read_board("board.csv", catalog=KNOWN, store=None)) == [
        "board.csv:2: the file is not UTF-8 text from here on; save it as UTF-8"
    ]


@pytest.mark.parametrize(
    ("name", "text", "messages"),
    [
        ("b.json", '{"title": "x",\n "shots": [}', [
            "b.json:2: the JSON can't be read here: Expecting value; correct it",
        ]),
        ("b.json", '{"title": "x",\n"title": "y",\n"shots": [{"id": "a", "prompt": "p", "size": 5}]}', [
            "b.json:2: field `title` is given twice, first on line 1; keep one of them",
            "b.json:3: shot a: size `5` is not a width x height; seedance-1-0-pro offers 1920x1080, 1080x1920, "
            "2176x928, 1920x1088, 1664x1248, 1440x1440, 1248x1664, 1088x1920, 1280x720, 720x1280, 1504x640, 1248x704, "
            "1120x832, 960x960, 832x1120, 704x1248, 854x480, 480x854, 960x416, 864x480, 736x544, 640x640, 544x736, "
            "480x864, or 1080p, 720p, 480p",
        ]),
        ("b.json", "[" * 100_000, ["b.json:1: the JSON is nested too deeply or holds a number too long; simplify it"]),
        ("b.csv", "", ["b.csv:1: the file is empty; its first line names the columns"]),
        ("b.csv", "id,prompt,prompt\n", ["b.csv:1: each column needs a name of its own in the first line"]),
        ("b.csv", "id,promt\na,x\n", [
            "b.csv:1: column `promt` is unknown (did you mean `prompt`?), column `prompt` is missing; the columns of "
            "a shot list are id, prompt, image, last_image, continue_from, take, model, size, aspect_ratio, "
            "duration, fps, inputs, cast, narration, crop, notes, dialogue, camera, transition",
        ]),
        ("b.csv", 'id,prompt\na,"x\ny"\nb,y,z\nc\na,x\nd,"x', [
            "b.csv:7: the CSV can't be read here: unexpected end of data; check the quotes",
        ]),
        ("b.csv", 'id,prompt\na,"x\ny"\nb,y,z\nc\na,x\n', [
            "b.csv:4: shot b: this row has 3 cells for 2 columns; quote a cell that holds the separator",
            "b.csv:5: shot c: field `prompt` is missing; add it",
            "b.csv:6: shot a: id `a` is used twice, first on line 2; give each shot an id of its own",
        ]),
        ("b.csv", "id,prompt\n", ["b.csv:1: there are no shots; add at least one with `id:` and `prompt:`"]),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("desk")
async def test_json_and_csv_mistakes_have_their_lines(name: str, text: str, messages: list[str]) -> None:
    assert told(await read(text, name)) == messages


async def test_a_form_has_no_lines_and_no_folder() -> None:
    spec = ShotSpec(id="a", prompt="A {x}", image="good.png", size="1x1")
    board = await read_board(Storyboard(title="Film", shots=(spec,)), catalog=KNOWN, store=None, name="the form")
    assert told(board) == [
        "the form: shot a: `{x}` has no value; add it to `variables:`, or write it without braces",
        "the form: shot a: picture good.png: a storyboard without a file has no folder beside it; "
        "give an s3:// object or a link",
        "the form: shot a: size 1x1 is not offered by seedance-1-0-pro; the nearest is 736x544",
    ]


@pytest.mark.usefixtures("desk")
async def test_rows_make_one_board_each_and_bad_rows_are_problems_of_their_own() -> None:
    shot = "  - {id: a, prompt: 'A {product} at {light}.'}\n"
    text = f"title: Sale\nrows: rows.csv\nvariables: {{light: dawn}}\nshots:\n{shot}"
    await asyncio.to_thread(Path("board.yaml").write_text, text)
    rows = "product,price (EUR),light\nmug,3,noon\nkettle,4,\nmug,5,dusk\n\na,b,c,d\n,7,\nx --dur 12,8,\n"
    await asyncio.to_thread(Path("rows.csv").write_text, rows)
    boards = await read_boards("board.yaml", catalog=KNOWN, store=None)
    assert [(board.title, board.shots[0].prompt) for board in boards[:3]] == [
        ("Sale (mug)", "A mug at noon."),
        ("Sale (kettle)", "A kettle at dawn."),
        ("Sale (mug)", "A mug at dusk."),
    ]
    assert [told(board) for board in boards] == [
        [],
        [],
        ["rows.csv:4: this row makes the same title as line 2; put more {columns} into the `title:`"],
        ["rows.csv:6: this row has 4 cells for 3 columns; quote a cell that holds the separator"],
        ["rows.csv:7: this row has no value for a variable; fill it or remove it"],
        ["board.yaml:5: shot a: `--dur` in the prompt can change the bill; use the fields, or write it without --"],
    ]


async def test_rows_whose_productions_would_share_a_folder_are_problems(desk: Path) -> None:
    (desk / "board.yaml").write_text("title: Spring\nrows: rows.csv\nshots:\n  - {id: a, prompt: 'A {product}.'}\n")
    long = "A mug of the spring, blue and tall as no other one, at {}"
    (desk / "rows.csv").write_text(f'product\nC++\nc++\nC#\nc\nC-3\n"{long.format("noon")}"\n"{long.format("Noon")}"\n')
    boards = await read_boards("board.yaml", catalog=KNOWN, store=None)
    into = "put more {columns} into the `title:`"
    assert [told(board) for board in boards] == [
        [],
        [f"rows.csv:3: this row makes the same title as line 2; {into}"],
        [f"rows.csv:4: this row makes the same folder `spring-c` as line 2; {into}"],
        [f"rows.csv:5: this row makes the same folder `spring-c` as line 2; {into}"],
        [],
        [],
        [f"rows.csv:8: this row makes the same title as line 7; {into}"],
    ]
    kept = [board for board in boards if not board.problems]
    assert len({slug(board.title) for board in kept}) == len(kept)


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("rows.csv", None, "board.yaml:2: rows rows.csv: there is no such file; check the path"),
        ("../rows.csv", None, "board.yaml:2: rows ../rows.csv: it leads out of the folder of the storyboard; "
                              "put the file beside the storyboard or below"),
        ("rows.txt", "a", "board.yaml:2: rows rows.txt must be a .csv or .jsonl file beside the storyboard"),
        ("rows.csv", "product\n", "board.yaml:2: rows rows.csv: the file has no rows; add at least one"),
        ("rows.csv", "product\n\"x",
         "rows.csv:2: the CSV can't be read here: unexpected end of data; check the quotes"),
        ("rows.csv", "product\n" + "x\n" * 1001, "board.yaml:2: rows rows.csv: 1,001 rows are too many; "
                                                 "the most is 1,000 rows and 10,000 shots in all"),
        ("rows.jsonl", "{}\n", "rows.jsonl:1: this row has no value for a variable; fill it or remove it"),
        ("rows.jsonl", "{'a': 1}\n", "rows.jsonl:1: this line is not JSON; write one object per line"),
        ("rows.jsonl", '{"product": "\\ud800"}\n', "rows.jsonl:1: this line holds half a character, such as `\\ud800`; "
                                                 "write the whole one, or remove it"),
        ("rows.jsonl", '\n{"product": [1]}\n', "rows.jsonl:2: this line is not an object of plain values; "
                                                'write it like {"product": "Red mug"}'),
    ],
)  # fmt: skip
async def test_rows_that_cannot_be_read_are_one_problem(
    desk: Path, path: str, content: str | None, message: str
) -> None:
    (desk / "board.yaml").write_text(f"title: Sale\nrows: {path}\nshots:\n  - {{id: a, prompt: 'A {{product}}.'}}\n")
    if content is not None:
        (desk / path).write_text(content)
    (board,) = await read_boards("board.yaml", catalog=KNOWN, store=None)
    assert told(board) == [message]


async def test_a_column_in_braces_that_cannot_be_filled_is_one_problem(desk: Path) -> None:
    (desk / "board.yaml").write_text("title: Sale\nrows: rows.csv\nshots:\n  - {id: a, prompt: 'A {product name}.'}\n")
    (desk / "rows.csv").write_text("id,product name\na,Mug\nb,Jar\n")
    (board,) = await read_boards("board.yaml", catalog=KNOWN, store=None)
    assert told(board) == [
        "board.yaml:2: rows rows.csv: the storyboard names {product name}, and a column that is called `product name` "
        "can't be filled in; call it by letters, digits and underscores, in the table and in the storyboard"
    ]


async def test_a_list_or_scenes_without_a_title_in_a_delivery_are_no_storyboard(desk: Path) -> None:
    """It may be of a board beside it, and each of its entries would be a clip that is paid."""
    (desk / "cast.json").write_text('[{"id": "keeper", "description": "An old man."}]')
    (board,) = await read_boards("cast.json", catalog=KNOWN, store=None, folder=Folder(str(desk)))
    assert told(board) == ["cast.json:1: a storyboard is fields such as `title:` and `shots:`, not one text or list"]
    (board,) = await read_boards("cast.json", catalog=KNOWN, store=None)
    assert told(board) == []
    (desk / "plan.json").write_text('{"scenes": [{"id": "keeper", "description": "An old man."}]}')
    (board,) = await read_boards("plan.json", catalog=KNOWN, store=None, folder=Folder(str(desk)))
    assert told(board) == ["plan.json:1: field `title` is missing; add it"]


def test_a_row_fills_the_title_or_is_put_behind_it() -> None:
    plain = Storyboard(title="Sale", rows="x.csv", shots=())
    made = storyboard_for(plain, {"product": "Red mug", "price": "3"})
    assert (made.title, made.rows, made.variables) == ("Sale (Red mug)", None, {"product": "Red mug", "price": "3"})
    named = plain.model_copy(update={"title": "{price} for {product}"})
    assert storyboard_for(named, {"product": "Red mug", "price": "3"}).title == "{price} for {product}"


async def test_the_examples_are_right_and_cheap() -> None:
    board = await read_board(str(EXAMPLES / "lighthouse.yaml"), catalog=KNOWN, store=None)
    assert (board.problems, board.warnings) == ((), ())
    assert len(board.shots) == 7
    assert sum(shot.estimated_usd for shot in board.shots) == Decimal("0.82")
    assert [shot.continue_from for shot in board.shots if shot.continue_from] == ["arrival", "stairs"]
    boards = await read_boards(str(EXAMPLES / "product.yaml"), catalog=KNOWN, store=None)
    assert [told(board) for board in boards] == [[], [], []]
    assert len({board.title for board in boards}) == 3


def test_the_published_schema_is_that_of_the_model() -> None:
    """After a change of the fields write `schema`, with an indent of 2, into the file."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Storyboard.model_json_schema()}
    assert json.loads(SCHEMA.read_text()) == schema


def test_every_field_has_a_description_that_is_a_sentence() -> None:
    schema = Storyboard.model_json_schema()
    for properties in (schema["properties"], *(one["properties"] for one in schema["$defs"].values())):
        assert all(field["description"].endswith(".") for field in properties.values())


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
USUAL = st.sampled_from(["a", "b", "1280x720", "{x}"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | USUAL
FIELDS = st.sampled_from([*ShotSpec.model_fields, *Storyboard.model_fields]) | WORDS
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS, inner, max_size=6),
    max_leaves=12,
)
SHOTS = st.lists(st.dictionaries(FIELDS, SCALARS, max_size=6) | ANYTHING, max_size=5)
BOARDS = st.fixed_dictionaries(
    {"title": SCALARS, "shots": SHOTS | ANYTHING},
    optional=dict.fromkeys(("style", "defaults", "variables", "rows", "cast"), ANYTHING),
)


@settings(max_examples=300, deadline=None)
@given(
    content=st.binary(max_size=200)
    | WORDS.map(str.encode)
    | st.text("{}[]:-,&*!|>'\"%#?\n a1", max_size=80).map(str.encode)
    | (BOARDS | ANYTHING).map(lambda board: yaml.safe_dump(board, allow_unicode=True).encode())
    | (BOARDS | ANYTHING).map(lambda board: json.dumps(board).encode()),
    ending=st.sampled_from(["yaml", "json", "csv"]),
)
def test_nothing_that_somebody_wrote_makes_reading_raise(content: bytes, ending: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"board.{ending}"
        file.write_bytes(content)
        boards = asyncio.run(read_boards(str(file), catalog=KNOWN, store=None))
    for board in boards:
        assert board.problems or (board.title and all(shot.request and shot.key for shot in board.shots))


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(WORDS, min_size=1, max_size=5))
def test_every_text_that_json_can_hold_is_read_as_it_was_written(texts: list[str]) -> None:
    for ascii_only in (True, False):
        tree, _ = read_json(json.dumps(texts, ensure_ascii=ascii_only, indent="\t"))
        assert tree.plain() == texts


@pytest.mark.usefixtures("desk")
async def test_a_long_chain_gets_a_warning_that_it_drifts() -> None:
    links = [f"  - {{id: s{n}, prompt: On., continue_from: s{n - 1}}}" for n in range(2, 7)]
    text = "\n".join(["title: T", "shots:", "  - {id: s1, prompt: On.}", *links])
    (warning,) = (await read(text)).warnings
    assert (warning.shot, "drifts" in warning.message) == ("s5", True)
    assert (await read("max_chain: 6\n" + text)).warnings == ()
