"""Every mistake in a storyboard gives one message with file, line and remedy, all at once, and right ones give keys."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from prefect_seedance.catalog import KNOWN
from prefect_seedance.fingerprint import key_of
from prefect_seedance.lines import read_json
from prefect_seedance.models import LastFrame, Request
from prefect_seedance.storyboard import Board, ShotSpec, Storyboard, read_board, read_boards, storyboard_for

EXAMPLES = Path(__file__).parents[1] / "examples"
SCHEMA = Path(__file__).parents[1] / "prefect_seedance" / "storyboard.schema.json"
ONE_SHOT = "shots:\n  - id: a\n    prompt: A boat.\n"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with one good picture in it."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (960, 640), "navy").save(tmp_path / "good.png")
    return tmp_path


async def read(text: str, name: str = "board.yaml") -> Board:
    await asyncio.to_thread(Path(name).write_text, text, encoding="utf-8")
    return await read_board(name, catalog=KNOWN, store=None)


def told(board: Board) -> list[str]:
    return [str(problem) for problem in board.problems]


def shots(*lines: str) -> str:
    """A storyboard whose shots begin on line 3."""
    return "title: Film\nshots:\n" + "\n".join(lines) + "\n"


MISTAKES = {
    "empty file": ("", ["board.yaml:1: the file is empty; a storyboard has at least `title:` and `shots:`"]),
    "a list": (
        "- a\n",
        ["board.yaml:1: a storyboard is fields such as `title:` and `shots:`, not one text or list"],
    ),
    "YAML syntax": (
        "title: Film\nshots: [\n",
        ["board.yaml:3: the YAML can't be read here: did not find expected node content; "
         "check colons, quotes and indentation"],
    ),
    "an unquoted colon": (
        shots("  - id: a", "    prompt: A boat: red."),
        ["board.yaml:4: the YAML can't be read here: mapping values are not allowed in this context; "
         "check colons, quotes and indentation"],
    ),
    "an alias": (
        "title: &t Film\nshots: *t\n",
        ["board.yaml:1: anchors and aliases (`&`, `*`) are not read; write the value out, or quote it"],
    ),
    "a tag": (
        "title: !!python/object/apply:os.system [ls]\n",
        ["board.yaml:1: tags (`!`) are not read; write the value without one, or quote it"],
    ),
    "two documents": ("title: a\n---\ntitle: b\n", ["board.yaml:2: a second document begins here; keep one per file"]),
    "a control character": (
        "title: \x07\n",
        ["board.yaml:1: the file holds a character that YAML does not allow; remove it"],
    ),
    "nothing but a title": ("title: Film\n", ["board.yaml:1: field `shots` is missing; add it"]),
    "no title": (ONE_SHOT, ["board.yaml:1: field `title` is missing; add it"]),
    "an empty title": (
        "title: ''\n" + ONE_SHOT,
        ["board.yaml:1: the title is empty; productions are kept under it, so give one"],
    ),
    "a long title": (
        f"title: {'x' * 201}\n" + ONE_SHOT,
        ["board.yaml:1: the title has 201 characters; shorten it to 200"],
    ),
    "no shots": (
        "title: Film\nshots: []\n",
        ["board.yaml:2: there are no shots; add at least one with `id:` and `prompt:`"],
    ),
    "shots that are no list": (
        "title: Film\nshots: {id: a}\n",
        ["board.yaml:2: `shots` is a list; begin each shot with `- id:`"],
    ),
    "a shot that is a text": (
        shots("  - A boat."),
        ["board.yaml:3: shot #1: a shot is fields such as `id:` and `prompt:`; "
         "write it as `- id: arrival` with the others below"],
    ),
    "unknown fields at every level": (
        "title: Film\nstlye: x\ndefaults: {szie: 1x1}\nshots:\n"
        "  - id: a\n    prompt: A boat.\n    promt: x\n    zoom: 2\n",
        [
            "board.yaml:2: field `stlye` is unknown; did you mean `style`?",
            "board.yaml:3: field `szie` is unknown; did you mean `size`?",
            "board.yaml:7: shot a: field `promt` is unknown; did you mean `prompt`?",
            "board.yaml:8: shot a: field `zoom` is unknown; known are id, prompt, image, last_image, continue_from, "
            "take, model, size, duration, fps, crop",
        ],
    ),
    "a field twice": (
        shots("  - id: a", "    prompt: A boat.", "    prompt: A ship."),
        ["board.yaml:5: shot a: field `prompt` is given twice, first on line 4; keep one of them"],
    ),
    "missing fields": (
        shots("  - prompt: A boat.", "  - id: b"),
        [
            "board.yaml:3: shot #1: field `id` is missing; add it",
            "board.yaml:4: shot b: field `prompt` is missing; add it",
        ],
    ),
    "wrong types": (
        "title: [a]\ndefaults: 5\nshots:\n"
        "  - id: a\n    prompt: {x: y}\n    duration: 5 s\n    crop: maybe\n    take:\n",
        [
            "board.yaml:1: `title` must be text, not several values",
            "board.yaml:2: `defaults` holds fields; write it like `defaults: {name: value}`",
            "board.yaml:5: shot a: `prompt` must be text, not several values",
            "board.yaml:6: shot a: `duration` must be a whole number, not `5 s`",
            "board.yaml:7: shot a: `crop` must be true or false, not `maybe`",
            "board.yaml:8: shot a: `take` is empty; write a whole number after it, or leave the field out",
        ],
    ),
    "take zero": (
        shots("  - {id: a, prompt: A boat., take: 0}"),
        ["board.yaml:3: shot a: `take` is 0; it must be at least 1"],
    ),
    "an id twice": (
        shots("  - {id: a, prompt: A boat.}", "  - {id: a, prompt: A ship.}"),
        ["board.yaml:4: shot a: id `a` is used twice, first on line 3; give each shot an id of its own"],
    ),
    "ids of one file name": (
        shots("  - {id: Dusk 1, prompt: A boat.}", "  - {id: dusk-1, prompt: A ship.}"),
        ["board.yaml:4: shot dusk-1: id `dusk-1` makes the same file name as `Dusk 1`, first on line 3; "
         "choose another"],
    ),
    "ids that are no file names": (
        shots("  - {id: a/b, prompt: x}", "  - {id: .a, prompt: x}", f"  - {{id: {'y' * 81}, prompt: x}}",
              "  - {id: '', prompt: x}"),
        [
            "board.yaml:3: shot a/b: the id `a/b` can't be a file name; "
            "use letters, digits, and inside it spaces, dashes and dots",
            "board.yaml:4: shot .a: the id `.a` can't be a file name; "
            "use letters, digits, and inside it spaces, dashes and dots",
            f"board.yaml:5: shot {'y' * 79}…: the id `{'y' * 29}…` is too long for a file name; "
            "shorten it to 80 characters",
            "board.yaml:6: shot #4: the id is empty; give the shot a name of its own",
        ],
    ),
    "unknown models": (
        "title: Film\ndefaults: {model: seedance-1-pro}\nshots:\n  - {id: a, prompt: x}\n"
        "  - {id: b, prompt: x, model: wan-2-6-t2}\n",
        [
            "board.yaml:2: model `seedance-1-pro` is not in the catalog; did you mean `seedance-1-0-pro`?",
            "board.yaml:5: shot b: model `wan-2-6-t2` is not in the catalog; did you mean `wan-2-6-t2v`?",
        ],
    ),
    "wrong defaults, said once": (
        "title: Film\ndefaults:\n  size: 1920x1079\n  duration: 13\n  fps: 30\nshots:\n"
        "  - {id: a, prompt: x}\n  - {id: b, prompt: x}\n",
        [
            "board.yaml:3: size 1920x1079 is not offered by seedance-1-0-pro; the nearest is 1920x1080",
            "board.yaml:4: duration 13 is not offered by seedance-1-0-pro; the nearest is 12",
            "board.yaml:5: fps 30 is not offered by seedance-1-0-pro; the nearest is 24",
        ],
    ),
    "wrong sizes, durations and rates": (
        shots("  - {id: a, prompt: x, size: 720p, duration: 1, fps: 25}", "  - {id: b, prompt: x, size: big}"),
        [
            "board.yaml:3: shot a: size 720p is not a width x height; seedance-1-0-pro calls 1280x720 so",
            "board.yaml:3: shot a: duration 1 is not offered by seedance-1-0-pro; the nearest is 2",
            "board.yaml:3: shot a: fps 25 is not offered by seedance-1-0-pro; the nearest is 24",
            "board.yaml:4: shot b: size `big` is not a width x height; seedance-1-0-pro offers 1920x1080, 2176x928, "
            "1920x1088, 1664x1248, 1440x1440, 1248x1664, 1088x1920, 1280x720, 1504x640, 1248x704, 1120x832, 960x960, "
            "832x1120, 704x1248, 854x480, 960x416, 864x480, 736x544, 640x640, 544x736, 480x864",
        ],
    ),
    "a default that another model does not offer": (
        "title: Film\ndefaults: {duration: 7}\nshots:\n  - id: a\n    prompt: x\n    model: wan-2-6-t2v\n    fps: 24\n",
        [
            "board.yaml:6: shot a: duration 7 is not offered by wan-2-6-t2v; the nearest is 5; "
            "it comes from the defaults, so give one here",
            "board.yaml:7: shot a: fps is not an input of wan-2-6-t2v; leave it out",
        ],
    ),
    "an empty prompt": (
        shots("  - {id: a, prompt: '  '}"),
        ["board.yaml:3: shot a: the prompt is empty; say what the clip shows"],
    ),
    "a huge prompt": (
        shots(f"  - {{id: a, prompt: {'x' * 20_001}}}"),
        ["board.yaml:3: shot a: the prompt has 20,001 characters; the most is 20,000, so shorten it"],
    ),
    "flags": (
        "title: Film\nstyle: Oil --rs 1080p\nshots:\n  - {id: a, prompt: A boat. --dur 12}\n"
        "  - {id: b, prompt: 'A boat.(--Seed 3)'}\n  - {id: c, prompt: A boat--dur 12}\n",
        [
            "board.yaml:2: `--rs` in the style can change the bill; use the fields, or write it without --",
            "board.yaml:4: shot a: `--dur` in the prompt can change the bill; use the fields, or write it without --",
            "board.yaml:5: shot b: `--Seed` in the prompt can change the bill; use the fields, or write it without --",
            "board.yaml:6: shot c: `--dur` in the prompt can change the bill; use the fields, or write it without --",
        ],
    ),
    "an escape sequence": (
        shots('  - {id: a, prompt: "A \\e[31mboat"}'),
        ["board.yaml:3: shot a: the prompt holds a control character; write plain text"],
    ),
    "variables without values": (
        "title: '{name}'\nvariables: {product: mug}\nshots:\n  - {id: a, prompt: 'A {prodct} and a {spoon}.'}\n",
        [
            "board.yaml:1: `{name}` has no value; add it to `variables:`, or write it without braces",
            "board.yaml:4: shot a: `{prodct}` has no value; did you mean `product`?",
            "board.yaml:4: shot a: `{spoon}` has no value; add it to `variables:`, or write it without braces",
        ],
    ),
    "a variable that brings a flag": (
        "title: Film\nvariables: {x: --dur 12}\nshots:\n  - {id: a, prompt: 'A {x}'}\n",
        ["board.yaml:4: shot a: `--dur` in the prompt can change the bill; use the fields, or write it without --"],
    ),
    "a name that can't be a variable": (
        "title: Film\nvariables:\n  the product: mug\n" + ONE_SHOT,
        ["board.yaml:3: `the product` can't be a variable; use letters, digits and underscores"],
    ),
    "nothing to continue from": (
        shots("  - {id: arrival, prompt: x}", "  - {id: b, prompt: x, continue_from: arival}",
              "  - {id: c, prompt: x, continue_from: c}"),
        [
            "board.yaml:4: shot b: there is no shot `arival` to continue from; did you mean `arrival`?",
            "board.yaml:5: shot c: it continues from itself; name another shot, or remove `continue_from`",
        ],
    ),
    "circles, each once": (
        shots("  - {id: a, prompt: x, continue_from: c}", "  - {id: b, prompt: x, continue_from: a}",
              "  - {id: c, prompt: x, continue_from: b}", "  - {id: p, prompt: x, continue_from: q}",
              "  - {id: q, prompt: x, continue_from: p}", "  - {id: tail, prompt: x, continue_from: q}"),
        [
            "board.yaml:3: shot a: these shots continue from one another in a circle: `a` → `c` → `b` → `a`; "
            "let one of them begin afresh",
            "board.yaml:6: shot p: these shots continue from one another in a circle: `p` → `q` → `p`; "
            "let one of them begin afresh",
            "board.yaml:8: shot tail: it continues from `q`, which is blocked, so correct that one",
        ],
    ),
    "a blocked shot names all that hang on it in one message": (
        shots("  - {id: a, prompt: x, duration: 99}", *(
            f"  - {{id: b{n}, prompt: x, continue_from: {'a' if n == 1 else f'b{n - 1}'}}}" for n in range(1, 8))),
        [
            "board.yaml:3: shot a: duration 99 is not offered by seedance-1-0-pro; the nearest is 12",
            "board.yaml:4: shot b1: it continues from `a`, which is blocked, so correct that one; "
            "so do `b2`, `b3`, `b4`, 3 more",
        ],
    ),
    "two first frames": (
        shots("  - {id: a, prompt: x}", "  - {id: b, prompt: x, continue_from: a, image: good.png}"),
        ["board.yaml:4: shot b: it has both `image` and `continue_from`, but one first frame; keep one of them"],
    ),
    "pictures that a model can't use": (
        shots("  - {id: a, prompt: x, model: wan-2-6-t2v, image: good.png}", "  - {id: b, prompt: x, model: wan-2-5}",
              "  - {id: c, prompt: x, last_image: good.png}",
              "  - {id: d, prompt: x, model: wan-2-6-t2v, continue_from: c}"),
        [
            "board.yaml:3: shot a: wan-2-6-t2v takes no picture; remove `image` or choose another model",
            "board.yaml:4: shot b: wan-2-5 needs a picture to begin with; add `image` or `continue_from`",
            "board.yaml:5: shot c: seedance-1-0-pro takes no last frame; remove `last_image` or choose another model",
            "board.yaml:6: shot d: wan-2-6-t2v takes no picture; remove `continue_from` or choose another model",
        ],
    ),
    "pictures that can't be had": (
        shots("  - {id: a, prompt: x, image: none.png}", "  - {id: b, prompt: x, image: ../good.png}",
              "  - {id: c, prompt: x, image: /good.png}", "  - {id: d, prompt: x, image: 's3://b/x.png'}",
              "  - {id: e, prompt: x, image: 'ftp://h/x.png'}", "  - {id: f, prompt: x, image: ''}"),
        [
            "board.yaml:3: shot a: picture none.png: there is no such file; check the path",
            "board.yaml:4: shot b: picture ../good.png: it leads out of the folder of the storyboard; "
            "put the file beside the storyboard or below",
            "board.yaml:5: shot c: picture /good.png: it leads out of the folder of the storyboard; "
            "put the file beside the storyboard or below",
            "board.yaml:6: shot d: picture s3://b/x.png: it lies in a bucket that is not the storyboard's; "
            "copy it beside the storyboard",
            "board.yaml:7: shot e: picture ftp://h/x.png: ftp: is not read; "
            "give a file beside the storyboard, s3:// or https://",
            "board.yaml:8: shot f: the path is empty; name a picture or leave it out",
        ],
    ),
    "rows where one production is wanted": (
        "title: Film\nrows: x.csv\nshots:\n  - {id: a, prompt: 'A {product}.'}\n",
        ["board.yaml:2: it has `rows:`, which make many productions; put it into an inbox"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "messages"), MISTAKES.values(), ids=MISTAKES.keys())
@pytest.mark.usefixtures("desk")
async def test_each_mistake_gives_one_message_with_line_and_remedy(text: str, messages: list[str]) -> None:
    board = await read(text)
    assert told(board) == messages
    blocked = {shot.id for shot in board.shots if shot.request is None and shot.key is None and shot.problem}
    assert blocked >= {problem.shot for problem in board.problems if problem.shot and "…" not in problem.shot}


@pytest.mark.usefixtures("desk")
async def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    singles = ["an empty prompt", "take zero", "a shot that is a text", "two first frames", "flags"]
    lines = [line for name in singles for line in MISTAKES[name][0].splitlines() if line.startswith("  - ")]
    renamed = [line.replace("id: a", f"id: a{n}") for n, line in enumerate(lines)]
    board = await read(shots(*renamed))
    assert len(board.problems) == 9
    numbers = [problem.line or 0 for problem in board.problems]
    assert numbers == sorted(numbers)


@pytest.mark.usefixtures("desk")
async def test_too_many_shots_are_one_message() -> None:
    board = await read(shots(*(f"  - {{id: s{n}, prompt: x}}" for n in range(5001))))
    assert told(board) == ["board.yaml:2: there are 5,001 shots; the most is 5,000, so split the storyboard"]


@pytest.mark.usefixtures("desk")
async def test_a_bomb_of_nested_or_countless_values_is_refused() -> None:
    for text in ("[" * 1_000_000, "title: [" + "a," * 300_000 + "]"):
        message = "the file holds more than 200,000 values or 20 levels; split it"
        assert told(await read(text)) == [f"board.yaml:1: {message}"]
    assert told(await read("x" * 5_000_001)) == [
        "board.yaml: the storyboard can't be read: it has more than 5 MB; make it smaller"
    ]


async def test_values_of_variables_do_not_multiply_into_gigabytes(desk: Path) -> None:
    variables = "".join(f"  v{n}: {'y' * 20_000}\n" for n in range(50))
    names = "".join(f"{{v{n % 50}}}" for n in range(3_000))
    board = await read(f"title: '{names}'\nvariables:\n{variables}style: '{names}'\n{ONE_SHOT}")
    assert [problem.line for problem in board.problems] == [1, 53]
    assert len(board.shots[0].prompt) < 21_000


async def test_a_file_that_is_not_text_or_not_there_is_a_problem(desk: Path) -> None:
    (desk / "board.yaml").write_bytes(b"title: x\nstyle: \xff\n")
    board = await read_board("board.yaml", catalog=KNOWN, store=None)
    assert told(board) == ["board.yaml:2: the file is not UTF-8 text from here on; save it as UTF-8"]
    board = await read_board("none.yaml", catalog=KNOWN, store=None)
    assert told(board) == ["none.yaml: there is no such file; check the path of the storyboard"]
    assert board.title == "none"


@pytest.mark.usefixtures("desk")
async def test_a_prompt_beyond_what_the_model_reads_is_a_warning() -> None:
    board = await read(shots(f"  - {{id: a, prompt: {'x' * 2_001}}}"))
    assert board.problems == ()
    assert [str(one) for one in board.warnings] == [
        "board.yaml:3: shot a: the prompt has 2,001 characters with the style; "
        "seedance-1-0-pro may cut what is beyond 2,000"
    ]


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


@pytest.mark.parametrize(
    ("name", "text", "messages"),
    [
        ("b.json", '{"title": "x",\n "shots": [}', [
            "b.json:2: the JSON can't be read here: Expecting value; correct it",
        ]),
        ("b.json", '{"title": "x",\n"title": "y",\n"shots": [{"id": "a", "prompt": "p", "size": 5}]}', [
            "b.json:2: field `title` is given twice, first on line 1; keep one of them",
            "b.json:3: shot a: size `5` is not a width x height; seedance-1-0-pro offers 1920x1080, 2176x928, "
            "1920x1088, 1664x1248, 1440x1440, 1248x1664, 1088x1920, 1280x720, 1504x640, 1248x704, 1120x832, 960x960, "
            "832x1120, 704x1248, 854x480, 960x416, 864x480, 736x544, 640x640, 544x736, 480x864",
        ]),
        ("b.json", "[" * 100_000, ["b.json:1: the JSON is nested too deeply or holds a number too long; simplify it"]),
        ("b.csv", "", ["b.csv:1: the file is empty; its first line names the columns"]),
        ("b.csv", "id,prompt,prompt\n", ["b.csv:1: each column needs a name of its own in the first line"]),
        ("b.csv", "id,promt\na,x\n", [
            "b.csv:1: column `promt` is unknown, column `prompt` is missing; the columns of a shot list are id, "
            "prompt, image, last_image, continue_from, take, model, size, duration, fps, crop",
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
                                                 "the most is 1,000 rows and 5,000 shots in all"),
        ("rows.jsonl", "{}\n", "rows.jsonl:1: this row has no value for a variable; fill it or remove it"),
        ("rows.jsonl", "{'a': 1}\n", "rows.jsonl:1: this line is not JSON; write one object per line"),
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


def test_reading_storyboards_starts_without_pillow_httpx_and_s3() -> None:
    code = (
        "import sys, prefect_seedance.storyboard; print({'PIL', 'httpx', 's3fs', 'av', 'prefect'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


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
    optional=dict.fromkeys(("style", "defaults", "variables", "rows"), ANYTHING),
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
