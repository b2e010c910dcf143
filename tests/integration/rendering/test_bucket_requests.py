"""What a render asks of a bucket for its clips, posters, film and productions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.commanding import Desk
from tests.support.emulating import RunningEmulator
from tests.support.renderer import API_KEY
from tests.support.s3_server import Line, RunningS3

BOARD = """
title: The lighthouse
defaults: {size: 480x864, duration: 2, fps: 24}
shots:
  - {id: arrival, prompt: A keeper rows.}
  - {id: climb, prompt: He climbs.}
  - {id: lamp, prompt: The lamp turns.}
"""


class Counting(Desk):
    """Renders into a bucket at the end of a line, and counts what is asked there."""

    def __init__(self, folder: Path, emulator: RunningEmulator, s3: RunningS3, line: Line) -> None:
        self.line = line
        places = {"AWS_ENDPOINT_URL": line.endpoint_url, "XDG_STATE_HOME": str(folder / "state"), "TMPDIR": str(folder)}
        reaching = {"RUNPOD_API_KEY": API_KEY, "RUNPOD_BASE_URL": emulator.base_url}
        super().__init__(folder, s3.environment | places | reaching)
        self.store = f"s3://{s3.new_bucket()}/x"

    def render(self, board: str) -> tuple[Any, Counter[str]]:
        """The manifest, and how often each folder was asked for what; a copy is a PUT."""
        asked: Counter[str] = Counter()

        def count(method: str, path: str) -> None:
            below = urlsplit(path).path.partition("/x/")[2].split("/")
            asked[f"{method} {'shots' if 'shots' in below else below[0]}"] += 1

        self.line.on_request = count
        ended = self.run("render", self.board(board), "--json")
        assert (ended.code, ended.document["status"]) == (0, "complete"), ended.err
        return ended.document, asked


@pytest.fixture
def desk(tmp_path: Path, s3_server: RunningS3, line: Line) -> Iterator[Counting]:
    with RunningEmulator.start(latency=0.01) as emulator:
        yield Counting(tmp_path, emulator, s3_server, line)


def test_new_clips_are_not_downloaded_again_and_known_ones_are_asked_for_nothing(desk: Counting) -> None:
    first, asked = desk.render(BOARD)
    assert {name: asked[name] for name in ("PUT clips", "PUT posters", "PUT shots")} == {
        "PUT clips": 3,
        "PUT posters": 3,
        "PUT shots": 3,
    }
    assert asked["PUT films"] == 1
    of_clips = ("clips", "posters", "shots", "films")
    assert [name for name in asked if name.partition(" ")[2] in of_clips and not name.startswith("PUT")] == []
    again, asked = desk.render(BOARD)
    assert [name for name in asked if name.partition(" ")[2] in of_clips] == []
    assert asked["PUT productions"] == 0
    assert {again[name] == first[name] for name in ("film", "review", "timeline")} == {True}
    assert list(desk.folder.glob("prefect-seedance-*/*/*")) == []
