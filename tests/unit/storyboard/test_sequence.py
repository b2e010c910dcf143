"""A folder, a pattern, an S3 prefix or a list of pictures becomes clips in natural order, or says all that is wrong."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_seedance.models import Picture
from prefect_seedance.storyboard.sequence_files import ids_of, natural
from prefect_seedance.storyboard.texts import file_name, id_problem
from tests.support.board_texts import told
from tests.support.pictures import plain_picture
from tests.support.places import EXAMPLES
from tests.support.sequences import asked, of, read


@pytest.fixture
def frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder `frames` in the current one, with three pictures."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in (1, 2, 10):
        (folder / f"img{number}.png").write_bytes(plain_picture(number))
    return folder


def write(name: str, text: str) -> None:
    Path(name).write_text(text)


@pytest.mark.usefixtures("frames")
async def test_each_picture_of_a_folder_becomes_one_clip_in_natural_order() -> None:
    board = await read(style="Oil.")
    assert (board.title, board.problems, board.warnings) == ("frames", (), ())
    assert asked(board) == [("img1", "Waves. Oil."), ("img2", "Waves. Oil."), ("img10", "Waves. Oil.")]
    assert [of(shot.image) for shot in board.shots] == ["img1.png", "img2.png", "img10.png"]
    assert all(isinstance(shot.request and shot.request.image, Picture) for shot in board.shots)
    assert len({shot.key for shot in board.shots}) == 3


@pytest.mark.usefixtures("frames")
async def test_the_same_pictures_have_the_same_keys_however_they_are_named() -> None:
    write("list.csv", "file\nframes/img1.png\nframes/img2.png\nframes/img10.png\n")
    keys = [shot.key for shot in (await read()).shots]
    for location in ("frames/", "frames/*.png", "f*/img*.png", "**/*.png", "list.csv"):
        assert [shot.key for shot in (await read(location)).shots] == keys
    assert [shot.id for shot in (await read("frames/img[12].png")).shots] == ["img1", "img2"]
    assert [shot.id for shot in (await read("frames/img2.png")).shots] == ["img2"]


async def test_a_prompt_of_its_own_replaces_the_common_one_or_takes_it_in(frames: Path) -> None:
    (frames / "img2.txt").write_text("\ufeffFog rises.\n", encoding="utf-8")
    (frames / "img10.txt").write_text("Night. {prompt}")
    for location in ("frames", "frames/*", "frames/*.png"):
        board = await read(location)
        assert asked(board) == [("img1", "Waves."), ("img2", "Fog rises."), ("img10", "Night. Waves.")]
        assert board.warnings == ()
    assert told(await read(prompt=" ")) == [
        "frames: 1 picture has no prompt, first img1.png; give a common prompt, or write img1.txt"
    ]


async def test_a_prompt_beside_a_picture_has_one_key_with_any_line_ends(frames: Path) -> None:
    keys = set[str | None]()
    for ends in (b"\n", b"\r\n", b"\r"):
        (frames / "img2.txt").write_bytes(b"Fog rises." + ends + b"It clears." + ends)
        keys.add((await read("frames/img2.png")).shots[0].key)
    assert len(keys) == 1


async def test_a_list_names_picture_prompt_id_duration_and_take(frames: Path) -> None:
    write(
        "list.csv",
        "Path;prompt;id;duration;take\nframes/img10.png;Go. {prompt};last;10;\nframes/img1.png;-;;;2\n;;;;\n",
    )
    board = await read("list.csv")
    assert (told(board), board.title) == ([], "list")
    assert asked(board) == [("last", "Go. Waves."), ("img1", "Waves.")]
    assert [(shot.request.duration, shot.take, shot.line) for shot in board.shots if shot.request] == [
        (10, 1, 2),
        (5, 2, 3),
    ]


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("img,promt\n", ["list.csv:1: column `img` is unknown (did you mean `image`?), column `promt` is unknown (did "
                         "you mean `prompt`?), column `image` is missing; "
                         "the columns of an image list are image, prompt, id, duration, take, notes, dialogue, camera, "
                         "transition"]),
        ("Image,image,Duration\nframes/img1.png,frames/img2.png,5\n", [
            "list.csv:1: columns `Image` and `image` are both `image`; keep one of them",
        ]),
        ("image\n", ["list.csv: there are no pictures; name a folder, a pattern or a list with more"]),
        ("", ["list.csv:1: the file is empty; its first line names the columns"]),
        ("image,duration,take,id\nframes/img1.png,99,0,a\n,,,b\nframes/no.png,5 s,,a/b\nx,,,,,y\n../x.png,,,\n", [
            "list.csv:2: shot a: `take` is 0; it must be at least 1",
            "list.csv:2: shot a: duration 99 is not offered by seedance-1-0-pro; the nearest is 12",
            "list.csv:3: shot b: the cell of the picture is empty; name one, or remove the row",
            "list.csv:4: shot a/b: `duration` must be a whole number, not `5 s`",
            "list.csv:4: shot a/b: the id `a/b` can't be a file name; "
            "use letters, digits, and inside it spaces, dashes and dots",
            "list.csv:4: shot a/b: picture frames/no.png: there is no such file; check the path",
            "list.csv:5: shot x: this row has 6 cells for 4 columns; quote a cell that holds the separator",
            "list.csv:6: shot x.png: picture ../x.png: it leads out of the folder of the storyboard; "
            "put the file beside the storyboard or below",
        ]),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("frames")
async def test_mistakes_in_a_list_have_their_lines(text: str, messages: list[str]) -> None:
    write("list.csv", text)
    assert told(await read("list.csv")) == messages


async def test_all_that_is_wrong_with_a_folder_is_told_at_once(frames: Path, tmp_path: Path) -> None:
    (frames / "img2.png").write_bytes(b"no picture")
    (frames / "img3.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "secret.png").write_bytes(plain_picture(0))
    (frames / "img1.txt").write_text("A boat. --dur 12")
    (frames / "img10.txt").write_bytes(b"ok\n\xff")
    expected = [
        "img10.txt:2: the file is not UTF-8 text from here on; save it as UTF-8",
        "frames: shot img1: `--dur` in the prompt can change the bill; use the fields, or write it without --",
        "frames: shot img2: picture img2.png: it is not a picture that can be read; "
        "save it as JPEG, PNG, WEBP, BMP, TIFF or GIF",
        "frames: shot img3: picture img3.png: it is a link out of the folder of the storyboard; "
        "put the file itself there",
    ]
    assert told(await read()) == expected
    unknown = "frames: model `seedance-1-0-pr` is not in the catalog; did you mean `seedance-1-0-pro`?"
    assert set(told(await read(model="seedance-1-0-pr"))) == {unknown, *expected}


@pytest.mark.parametrize(
    ("prompt", "model", "messages"),
    [
        ("", "seedance-1-0-pro",
         ["3 pictures have no prompt, first img1.png; give a common prompt, or write img1.txt"]),
        ("Sea --rs 1080p", "seedance-1-0-pro",
         ["`--rs` in the common prompt can change the bill; use the fields, or write it without --"]),
        ("A {thing}", "seedance-1-0-pro",
         ["`{thing}` in the common prompt has no value; write it without braces"]),
        ("Sea", "wan-2-6-t2v", ["wan-2-6-t2v takes no picture; choose another model"]),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("frames")
async def test_what_is_wrong_for_all_pictures_is_said_once(prompt: str, model: str, messages: list[str]) -> None:
    board = await read(prompt=prompt, model=model)
    assert [(problem.file, problem.shot, problem.message) for problem in board.problems] == [
        ("frames", None, message) for message in messages
    ]
    assert all(shot.request is None for shot in board.shots)


@pytest.mark.usefixtures("frames")
async def test_between_goes_from_each_picture_to_the_next() -> None:
    board = await read(model="seedance-v1-5-pro-i2v", between=True)
    assert board.problems == ()
    assert [(shot.id, of(shot.image), of(shot.last_image)) for shot in board.shots] == [
        ("img1-to-img2", "img1.png", "img2.png"),
        ("img2-to-img10", "img2.png", "img10.png"),
    ]
    first, second = (shot.request for shot in board.shots)
    assert first is not None
    assert second is not None
    assert first.last_image == second.image
    assert sum(shot.estimated_usd for shot in board.shots) == Decimal("0.52")


async def test_between_needs_two_pictures_and_a_model_with_a_last_frame(frames: Path) -> None:
    assert told(await read(between=True)) == [
        "frames: seedance-1-0-pro takes no last frame, which going between pictures needs; choose seedance-v1-5-pro-i2v"
    ]
    assert told(await read("frames/img1.png", model="seedance-v1-5-pro-i2v", between=True)) == [
        "frames/img1.png: two pictures make the first clip; name a folder, a pattern or a list with more"
    ]


async def test_where_there_are_no_pictures_one_problem_says_so(frames: Path) -> None:
    (frames / "empty").mkdir()
    nothing = "there are no pictures; name a folder, a pattern or a list with more"
    assert told(await read("frames/empty")) == [f"frames/empty: {nothing}"]
    assert told(await read("frames/*.jpg")) == [f"frames/*.jpg: {nothing}"]
    assert told(await read("none")) == [
        "none: there is no folder, file or pattern of this name; check the path of the pictures"
    ]
    assert told(await read("none.csv")) == ["none.csv: there is no such file; check the path of the pictures"]


async def test_other_files_are_left_out_with_a_warning(frames: Path) -> None:
    for name in (".hidden", "notes.md", "img3.txt", "Thumbs.db"):
        (frames / name).write_text("x")
    (frames / "img1.txt").write_text("Fog.")
    (frames / "below").mkdir()
    board = await read()
    assert (len(board.shots), board.problems) == (3, ())
    assert [str(one) for one in board.warnings] == [
        "frames: files that are neither pictures nor prompts of one are left out: img3.txt, notes.md, Thumbs.db"
    ]


async def test_pictures_of_one_name_get_ids_of_their_own(frames: Path) -> None:
    (frames / "img1.jpg").write_bytes(plain_picture(7, "JPEG"))
    (frames / "b").mkdir()
    (frames / "b" / "img1.png").write_bytes(plain_picture(8))
    board = await read("frames/**/img1.*")
    assert (board.problems, [shot.id for shot in board.shots]) == ((), ["img1", "img1.jpg", "img1.png"])


@given(st.lists(st.text(min_size=1, max_size=100), max_size=8))
def test_any_names_give_ids_that_are_allowed_and_differ(names: list[str]) -> None:
    ids = ids_of(f"{name}.png" for name in names)
    assert [id_problem(one) for one in ids] == [None] * len(names)
    assert len({file_name(one) for one in ids}) == len(ids)


def test_numbers_are_sorted_as_numbers() -> None:
    names = [
        "img10.png",
        "img2.png",
        "IMG1.png",
        "b/2.png",
        "b/10.png",
        "a.png",
        "2.png",
        "10.png",
        "img02.png",
        "١.png",
    ]
    assert sorted(names, key=natural) == [
        "١.png", "2.png", "10.png", "a.png", "b/2.png", "b/10.png", "IMG1.png", "img02.png", "img2.png", "img10.png",
    ]  # fmt: skip


async def test_the_example_harbour_is_right() -> None:
    board = await read(str(EXAMPLES / "harbour"), prompt="The water glitters.")
    assert (board.problems, board.warnings) == ((), ())
    assert asked(board) == [
        ("harbour-1", "First light climbs the house fronts, gulls circle over the quay. The water glitters."),
        ("harbour-2", "The water glitters."),
        ("harbour-10", "The water glitters."),
        ("harbour-11", "Night falls, one window after another is lit, the beam of the lighthouse turns slowly."),
    ]
