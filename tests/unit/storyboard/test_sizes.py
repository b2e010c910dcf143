"""A ratio and a word such as 720p choose the exact size; a contradiction or what is not offered is a problem."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.board_texts import read, told


@pytest.fixture(autouse=True)
def _desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("defaults", "shot", "size"),
    [
        ("", "", "1920x1080"),
        ("", "size: 720p", "1280x720"),
        ("", "size: 720P, aspect_ratio: 9:16", "720x1280"),
        ("", "aspect_ratio: 9:16", "1080x1920"),
        ("", "aspect_ratio: 1080x1920", "1080x1920"),
        ("", "aspect_ratio: '21:9'", "2176x928"),
        ("size: 480p", "", "854x480"),
        ("size: 480p, aspect_ratio: 3:4", "", "544x736"),
        ("size: 1280x720", "aspect_ratio: 9:16", "720x1280"),
        ("size: 480p, aspect_ratio: 9:16", "aspect_ratio: 1:1", "640x640"),
        ("aspect_ratio: 9:16", "size: 720p", "720x1280"),
        ("aspect_ratio: 9:16", "size: 1280x720", "1280x720"),
        ("size: 720p", "size: 1248x704, aspect_ratio: 16:9", "1248x704"),
        ("size: 720p, aspect_ratio: 9:16", "model: p-video", "720x1280"),
        ("model: p-video", "aspect_ratio: 2:3", "720x1080"),
        ("model: vidu-q3-t2v, size: 1080p", "aspect_ratio: 4:3", "1440x1080"),
    ],
)
async def test_words_choose_the_exact_size(defaults: str, shot: str, size: str) -> None:
    more = f", {shot}" if shot else ""
    board = await read(f"title: F\ndefaults: {{{defaults}}}\nshots:\n  - {{id: a, prompt: x{more}}}\n")
    assert told(board) == []
    assert board.shots[0].request is not None
    assert board.shots[0].request.size == size


@pytest.mark.parametrize(
    ("defaults", "shot", "message"),
    [
        ("", "size: 4k",
         "board.yaml:4: shot a: size `4k` is not offered by seedance-1-0-pro; it offers 1080p, 720p, 480p"),
        ("", "size: 9:16",
         "board.yaml:4: shot a: size 9:16 is a ratio; write `aspect_ratio: 9:16`, and a size such as 1080p"),
        ("", "aspect_ratio: 2:1",
         "board.yaml:4: shot a: aspect_ratio `2:1` is not offered by seedance-1-0-pro at 1080p; "
         "it offers 16:9, 9:16, 21:9, 4:3, 1:1, 3:4"),
        ("", "aspect_ratio: wide",
         "board.yaml:4: shot a: aspect_ratio `wide` is not offered by seedance-1-0-pro at 1080p; "
         "it offers 16:9, 9:16, 21:9, 4:3, 1:1, 3:4"),
        ("", "aspect_ratio: 1:0",
         "board.yaml:4: shot a: aspect_ratio `1:0` is not offered by seedance-1-0-pro at 1080p; "
         "it offers 16:9, 9:16, 21:9, 4:3, 1:1, 3:4"),
        ("", "size: 1280x720, aspect_ratio: 9:16",
         "board.yaml:4: shot a: size 1280x720 is 16:9, not 9:16; leave one of the two out"),
        ("size: 1280x720, aspect_ratio: 9:16", "",
         "board.yaml:2: size 1280x720 is 16:9, not 9:16; leave one of the two out"),
        ("aspect_ratio: 21:9", "model: p-video",
         "board.yaml:4: shot a: aspect_ratio `21:9` is not offered by p-video at 720p; "
         "it offers 16:9, 9:16, 1:1, 4:3, 3:4, 3:2, 2:3; it comes from the defaults, so give one here"),
        ("size: 480p", "model: p-video",
         "board.yaml:4: shot a: size `480p` is not offered by p-video; it offers 720p, 1080p; "
         "it comes from the defaults, so give one here"),
    ],
)  # fmt: skip
async def test_what_is_not_offered_is_a_problem_with_what_is(defaults: str, shot: str, message: str) -> None:
    more = f", {shot}" if shot else ""
    board = await read(f"title: F\ndefaults: {{{defaults}}}\nshots:\n  - {{id: a, prompt: x{more}}}\n")
    assert told(board) == [message]
    assert board.shots[0].request is None
