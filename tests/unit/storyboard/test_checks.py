"""Every mistake in a storyboard gives one message with file, line and remedy, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.storyboard.reading import read_board
from tests.support.board_texts import ONE_SHOT, read, shots, told


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with one good picture in it."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (960, 640), "navy").save(tmp_path / "good.png")
    return tmp_path


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
    "a merge": (
        shots("  - {id: a, prompt: x}", "  - id: b", "    <<: {duration: 10}", "    prompt: x"),
        ["board.yaml:5: merges (`<<`) are not read; write the fields out, or quote it"],
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
        "  - id: a\n    prompt: A boat.\n    promt: x\n    takes: 2\n",
        [
            "board.yaml:2: field `stlye` is unknown; did you mean `style`?",
            "board.yaml:3: field `szie` is unknown; did you mean `size`?",
            "board.yaml:7: shot a: field `promt` is unknown; did you mean `prompt`?",
            "board.yaml:8: shot a: field `takes` is unknown; did you mean `take`?",
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
        shots("  - {id: a, prompt: x, size: 540p, duration: 1, fps: 25}", "  - {id: b, prompt: x, size: big}"),
        [
            "board.yaml:3: shot a: size `540p` is not offered by seedance-1-0-pro; it offers 1080p, 720p, 480p",
            "board.yaml:3: shot a: duration 1 is not offered by seedance-1-0-pro; the nearest is 2",
            "board.yaml:3: shot a: fps 25 is not offered by seedance-1-0-pro; the nearest is 24",
            "board.yaml:4: shot b: size `big` is not a width x height; seedance-1-0-pro offers 1920x1080, 1080x1920, "
            "2176x928, 1920x1088, 1664x1248, 1440x1440, 1248x1664, 1088x1920, 1280x720, 720x1280, 1504x640, 1248x704, "
            "1120x832, 960x960, 832x1120, 704x1248, 854x480, 480x854, 960x416, 864x480, 736x544, 640x640, 544x736, "
            "480x864, or 1080p, 720p, 480p",
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
