"""A board with sound, from its words to its film: paid once, decoded once, and heard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.cli.run_direct import TerminalHost
from prefect_seedance.rendering.narrations import keep_sounds, music_of
from prefect_seedance.rendering.options import Options
from prefect_seedance.rendering.render import render_board
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage import open_store
from tests.integration.rendering.test_decodes import Counting
from tests.support.board_texts import ONE_SHOT, read
from tests.support.emulating import RunningEmulator
from tests.support.hearing import heard, strength, tone

BOARD = """
title: The lighthouse
music: sea.wav
defaults: {model: p-video, size: 960x960, duration: 2, fps: 24, inputs: {save_audio: true}}
shots:
  - {id: arrival, prompt: A keeper rows., narration: Nobody had seen the light that evening.}
  - {id: climb, prompt: He climbs., dialogue: "KEEPER: Nearly there."}
"""


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[RunningEmulator]:
    (tmp_path / "store").mkdir()
    with RunningEmulator.start(latency=0.01, serve=tmp_path / "store") as running:
        yield running


def test_a_board_with_sound_is_paid_once_decoded_once_and_heard(tmp_path: Path, emulator: RunningEmulator) -> None:
    desk = Counting(tmp_path, emulator)
    tone(tmp_path / "sea.wav", 3, 1760)
    decoded, _ = desk.opened(desk.board(BOARD))
    stored = {path.name for path in (tmp_path / "store" / "clips").iterdir()}
    assert len(stored) == 3
    assert len(emulator.charges) == 3
    assert sorted(decoded.values()) == [1] * 4, desk.log.read_text()  # two clips, one voice, the music
    ended = desk.run("render", desk.board(BOARD), *desk.serving, "--json")
    manifest = ended.document
    film = tmp_path / "store" / manifest["film"]
    with av.open(str(film)) as opened:
        assert [stream.type for stream in opened.streams] == ["video", "audio", "subtitle"]
    sound = heard(film)
    assert strength(sound, 2.25, 697) > 0.01  # the second clip dials: 1, 2 and 3 share this tone
    assert max(strength(sound, at / 4, 1760) for at in range(1, 8)) > 0.001
    assert [shot["audio"]["codec"] for shot in manifest["shots"]] == ["aac", "aac"]
    assert manifest["music"]["path"].startswith("sources/")
    captions = film.with_name("captions.vtt").read_text()
    assert "Nobody had seen the light" in captions
    assert "Nearly there." in captions

    changed = BOARD.replace("music: sea.wav", "sound: off")
    opened_now = desk.opened(desk.board(changed))
    assert (opened_now[0], set(opened_now[1].values())) == ({}, {1})
    documents = [json.loads(path.read_text()) for path in (tmp_path / "store" / "productions").rglob("manifest.json")]
    assert {document["sound"] for document in documents} == {"clips", "off"}
    assert len(emulator.charges) == 3


async def test_music_that_has_changed_since_it_was_heard_is_told_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store(tmp_path / "store")
    board = await read(f"title: Film\nmusic: {tone(tmp_path / 'sea.wav', 1).name}\n{ONE_SHOT}")
    kept = await keep_sounds(board, store)
    music = music_of(board, kept)
    assert music is not None
    assert await store.read(music.path) == (tmp_path / "sea.wav").read_bytes()
    await store.delete(music.path)
    tone(tmp_path / "sea.wav", 2)
    (why,) = (await keep_sounds(board, store)).values()
    assert why == "sea.wav has changed since it was checked; render again, it pays for nothing that is stored"
    assert music_of(board, await keep_sounds(board, store)) is None


def test_music_that_can_not_be_heard_costs_nothing(tmp_path: Path, emulator: RunningEmulator) -> None:
    desk = Counting(tmp_path, emulator)
    ended = desk.run("render", desk.board(BOARD), *desk.serving, "--json")
    assert ended.code == 2
    assert "board.yaml:3: music sea.wav: there is no such file; check the path" in ended.err
    assert emulator.charges == []


class Tidying(TerminalHost):
    """Moves the music away once nothing refuses the run any more, as a link of an hour ends meanwhile."""

    def __init__(self, music: Path) -> None:
        super().__init__()
        self.music = music

    async def shots_begin(self, total: int) -> None:
        self.music.unlink()


async def test_sounds_are_kept_before_anything_is_paid(
    tmp_path: Path, emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store, music = open_store(tmp_path / "store"), tone(tmp_path / "sea.wav", 1)
    board = await read(f"title: Film\nmusic: sea.wav\ndefaults: {{size: 640x640, duration: 2}}\n{ONE_SHOT}")
    host = Tidying(music)
    manifest = await render_board(board, Account("k", emulator.base_url), store, Options(), KNOWN, host)
    assert manifest.music is not None
    assert (await store.read(manifest.music.path))[:4] == b"RIFF"
    assert len(emulator.charges) == 1
