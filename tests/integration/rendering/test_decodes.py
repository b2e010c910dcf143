"""What a render opens with the decoder, counted in all of its processes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commanding import Desk, Said
from tests.support.emulating import RunningEmulator
from tests.support.renderer import API_KEY

COUNTS = """
import json, os, sys
import av

opening, decoder = av.open, "prefect_seedance.video.decoding" in sys.orig_argv

def counted(file, mode="r", **options):
    with open(os.environ["OPENED"], "a") as log:
        log.write(json.dumps([decoder, mode, os.path.basename(file)]) + "\\n")
    return opening(file, mode, **options)

av.open = counted
"""

BOARD = """
title: The lighthouse
defaults: {size: 480x864, duration: 2, fps: 24}
shots:
  - {id: arrival, prompt: A keeper rows.}
  - {id: climb, prompt: He climbs., continue_from: arrival}
  - {id: lamp, prompt: The lamp turns.}
"""


class Counting(Desk):
    """Counts which clips its commands open: in decoders, which read every frame, and elsewhere."""

    def __init__(self, folder: Path, emulator: RunningEmulator) -> None:
        (folder / "sitecustomize.py").write_text(COUNTS)
        self.log = folder / "opened"
        self.serving = ("--public-base-url", emulator.public_base_url)
        counting = {"PYTHONPATH": str(folder), "OPENED": str(self.log), "XDG_STATE_HOME": str(folder / "state")}
        reaching = {"RUNPOD_API_KEY": API_KEY, "RUNPOD_BASE_URL": emulator.base_url}
        super().__init__(folder, counting | reaching)

    def run(self, *words: str, **environment: str) -> Said:
        """A command with an interpreter of its own: what is forked from one that has PyAV already counts nothing."""
        running = self.start(*words)
        out, err = running.communicate(timeout=300)
        return Said(running.returncode, out, err)

    def opened(self, *words: str) -> tuple[Counter[str], Counter[str]]:
        """Render, and say what was opened: decoded, and joined."""
        self.log.write_text("")
        ended = self.run("render", *words, *self.serving, "--json")
        assert (ended.code, ended.document["status"]) == (0, "complete"), ended.err
        assert ended.document["film"]
        files = [json.loads(line) for line in self.log.read_text().splitlines()]
        counts = (
            Counter(f for inside, mode, f in files if inside is decoder and mode == "r") for decoder in (True, False)
        )
        decoded, joined = counts
        decoded.pop("probe.mp4", None)
        return decoded, joined


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Counting]:
    (tmp_path / "store").mkdir()
    with RunningEmulator.start(latency=0.01, serve=tmp_path / "store") as emulator:
        yield Counting(tmp_path, emulator)


def test_every_clip_is_decoded_once_and_never_again(desk: Counting) -> None:
    store = desk.folder / "store"
    decoded, joined = desk.opened(desk.board(BOARD))
    clips = {path.name for path in (store / "clips").iterdir()}
    assert (sorted(decoded.values()), joined) == ([1, 1, 1], Counter(clips))
    assert len(list((store / "posters").iterdir())) == 3
    assert [path.name.endswith("-last.png") for path in (store / "stills").iterdir()] == [True]

    more = BOARD.replace("The lighthouse", "With one more") + "  - {id: dusk, prompt: The sea at dusk.}\n"
    decoded, joined = desk.opened(desk.board(more))
    assert (list(decoded.values()), set(joined.values()), len(joined)) == ([1], {1}, 4)
    assert desk.opened(desk.board(more.replace("With one more", "Another title"))) == (Counter(), Counter())
