"""A film can be heard: what its clips have, voices and music over them, at one loudness; its captions say the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import opentimelineio
import pytest
from opentimelineio.schema import Gap

from prefect_seedance.production.manifest import Manifest, ShotResult, SoundFile
from prefect_seedance.production.narration import Narration
from prefect_seedance.production.score import film_of, film_path
from prefect_seedance.production.tidy import untidy
from prefect_seedance.storage.store import Store
from prefect_seedance.video import decoder
from prefect_seedance.video.clips import examine
from prefect_seedance.video.film import join
from tests.support.boards import NOON, keep_clip, leave, without_clip
from tests.support.hearing import heard, loudness, strength, tone

LATER = NOON + timedelta(hours=1)


async def keep_tone(store: Store, folder: Path, hertz: int, seconds: float, ending: str = ".wav") -> dict[str, Any]:
    """A tone in the store, as music or narration names it."""
    file = tone(folder / f"{hertz}{ending}", seconds, hertz)
    path = f"sources/{hertz}{ending}"
    said = await decoder.listen(file, 60)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    await store.put(file, path)
    return {"path": path, "sha256": sha256, "seconds": said.seconds, "loudness": said.audio.loudness}


@pytest.fixture
def play(either_store: Store, tmp_path: Path) -> Callable[..., Any]:
    """Leave a production, and fetch its film: the manifest, the folder, and the film as a file."""

    async def play(shots: list[ShotResult], **more: Any) -> tuple[Manifest, str, Path]:
        manifest, folder = await leave(either_store, shots, **more)
        assert manifest.film, json.loads(await either_store.read(f"{folder}/manifest.json"))
        film = tmp_path / f"film-{folder.rpartition('/')[2]}.mp4"
        await either_store.fetch(manifest.film, film)
        return manifest, folder, film

    return play


def streams(film: Path) -> list[str]:
    with av.open(str(film)) as opened:
        return [stream.type for stream in opened.streams]


def pictures(film: Path) -> list[str]:
    with av.open(str(film)) as opened:
        return [hashlib.sha256(bytes(packet)).hexdigest() for packet in opened.demux(video=0) if packet.size]


def captions_in(film: Path) -> list[tuple[float, float, str]]:
    with av.open(str(film)) as opened:
        found = [(p.pts or 0, p.duration or 0, bytes(p)[2:].decode()) for p in opened.demux(subtitles=0) if p.size > 2]
    return [(at / 1000, (at + lasts) / 1000, text) for at, lasts, text in found]


async def test_the_film_keeps_the_sound_of_its_clips_in_its_place(either_store: Store, play: Any) -> None:
    shots = [
        await keep_clip(either_store, "quiet", seconds=2),
        await keep_clip(either_store, "horn", seconds=2, sound=True),
        await keep_clip(either_store, "still", seconds=1),
    ]
    manifest, folder, film = await play(shots)
    assert streams(film) == ["video", "audio"]
    sound = heard(film)
    assert len(sound) == pytest.approx(5 * 48_000, abs=2_048)
    levels = {at: strength(sound, at, 697) for at in (1.0, 2.25, 4.5)}  # the emulator dials 1: 697 and 1209 hertz
    assert levels[2.25] > 0.02
    assert max(levels[1.0], levels[4.5]) < levels[2.25] / 50
    assert strength(sound, 2.25, 1209) == pytest.approx(levels[2.25], rel=0.3)
    assert loudness(film) == pytest.approx(-16, abs=1)
    document = json.loads(await either_store.read(f"{folder}/manifest.json"))
    assert [shot["audio"] and shot["audio"]["codec"] for shot in document["shots"]] == [None, "aac", None]
    assert (document["sound"], document["music"]) == ("clips", None)
    assert await either_store.read(f"{folder}/shots/02-horn.mp4") == await either_store.read(shots[1].clip or "")
    assert await either_store.exists(film_of(manifest).path)


async def test_the_picture_is_a_copy_beside_any_sound(either_store: Store, play: Any, tmp_path: Path) -> None:
    shots = [await keep_clip(either_store, name, sound=True) for name in ("a", "b")]
    _, _, film = await play(shots)
    clips = [tmp_path / f"{shot.id}.mp4" for shot in shots]
    for shot, clip in zip(shots, clips, strict=True):
        await either_store.fetch(shot.clip or "", clip)
    assert pictures(film) == pictures(clips[0]) + pictures(clips[1])
    content = film.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize("sound", [True, False], ids=["sound off", "silent clips"])
async def test_a_silent_film_is_the_stream_copy_that_it_was(
    either_store: Store, play: Any, tmp_path: Path, sound: bool
) -> None:
    shots = [await keep_clip(either_store, name, sound=sound) for name in ("a", "b")]
    music = SoundFile(**await keep_tone(either_store, tmp_path, 1760, 2))
    more = {"sound": "off", "music": music} if sound else {}
    manifest, folder, film = await play(shots, **more)
    clips = [tmp_path / f"{shot.id}.mp4" for shot in shots]
    for shot, clip in zip(shots, clips, strict=True):
        await either_store.fetch(shot.clip or "", clip)
    join(clips, tmp_path / "copy.mp4")
    assert film.read_bytes() == (tmp_path / "copy.mp4").read_bytes()
    assert film_of(manifest).path == film_path([shot.sha256 or "" for shot in shots])
    assert await either_store.exists(film_of(manifest).path)
    assert not [name for name in await either_store.names(folder) if name.startswith(("captions", "sound"))]


async def test_a_voice_begins_with_its_shot_runs_on_and_holds_the_last_frame(
    either_store: Store, play: Any, tmp_path: Path
) -> None:
    shots = [await keep_clip(either_store, name, seconds=2) for name in ("a", "b", "c")]
    first = Narration(**await keep_tone(either_store, tmp_path, 440, 2.5), text="The first.")
    second = Narration(**await keep_tone(either_store, tmp_path, 990, 4.5, ".mp3"), text="The second.")
    manifest, folder, film = await play(shots, narrations={"a": first, "b": second})
    sound = heard(film)
    times = [at / 4 + 0.1 for at in range(28)]
    audible = {hertz: [at for at in times if strength(sound, at, hertz) > 0.05] for hertz in (440, 990)}
    assert (audible[440][0], audible[440][-1]) == (0.1, 2.35)
    assert (audible[990][0], audible[990][-1]) == (2.6, 6.85)  # after the first has ended, and past the pictures
    with av.open(str(film)) as opened:
        video, audio = opened.streams.video[0], opened.streams.audio[0]
        lengths = [float((stream.duration or 0) * (stream.time_base or 0)) for stream in (video, audio)]
    assert lengths == [pytest.approx(7, abs=0.1)] * 2
    assert examine(film).frames == 6 * 24
    assert captions_in(film) == [(0, 2.5, "The first."), (2.5, pytest.approx(7, abs=0.1), "The second.")]
    srt = (await either_store.read(f"{folder}/captions.srt")).decode()
    assert srt.startswith("1\n00:00:00,000 --> 00:00:02,500\nThe first.\n\n2\n00:00:02,500 --> 00:00:0")
    document = json.loads(await either_store.read(f"{folder}/manifest.json"))
    assert document["shots"][0]["narration"]["text"] == "The first."
    assert await either_store.exists(film_of(manifest).path)


async def test_the_last_frame_is_held_where_clips_differ_too(either_store: Store, play: Any, tmp_path: Path) -> None:
    shots = [await keep_clip(either_store, "a"), await keep_clip(either_store, "b", size=(72, 128), sound=True)]
    voice = Narration(**await keep_tone(either_store, tmp_path, 440, 2), text="")
    _, _, film = await play(shots, narrations={"b": voice})
    assert (examine(film).frames, examine(film).seconds) == (72, 3.0)
    assert strength(heard(film), 2.8, 440) > 0.05


async def test_music_lies_under_the_film_and_makes_way_for_voices(
    either_store: Store, play: Any, tmp_path: Path
) -> None:
    shots = [await keep_clip(either_store, name, seconds=3) for name in ("a", "b", "c", "d")]
    music = SoundFile(**await keep_tone(either_store, tmp_path, 1760, 2, ".m4a"))
    voice = Narration(**await keep_tone(either_store, tmp_path, 440, 3), text="Here.")
    _, folder, film = await play(shots, music=music, narrations={"b": voice})
    sound = heard(film)
    levels = {at: strength(sound, at, 1760) for at in (1.5, 4.5, 8.0, 11.9)}
    assert levels[4.5] < 0.6 * min(levels[1.5], levels[8.0])
    assert levels[8.0] > 0.001
    assert levels[11.9] < 0.3 * levels[8.0]
    assert loudness(film) == pytest.approx(-16, abs=1)
    assert await either_store.names(f"{folder}/sound") == ["02-b.wav", "music.m4a"]


async def test_music_makes_way_for_clips_in_which_somebody_speaks(
    either_store: Store, play: Any, tmp_path: Path
) -> None:
    shots = [await keep_clip(either_store, name, seconds=3, sound=True) for name in ("a", "b")]
    shots[0] = shots[0].model_copy(update={"dialogue": "Aye."})
    music = SoundFile(**await keep_tone(either_store, tmp_path, 1760, 9))
    sound = heard((await play(shots, music=music))[2])
    assert strength(sound, 0.25, 1760) < 0.7 * strength(sound, 3.25, 1760)


async def test_a_film_is_made_once_for_all_that_shapes_it(either_store: Store, tmp_path: Path) -> None:
    shots = [await keep_clip(either_store, name, sound=True) for name in ("a", "b")]
    music = SoundFile(**await keep_tone(either_store, tmp_path, 1760, 2))
    voice = Narration(**await keep_tone(either_store, tmp_path, 440, 1), text="Here.")
    ways: list[dict[str, Any]] = [{}, {"sound": "off"}, {"music": music}, {"narrations": {"a": voice}}]
    ways += [{"narrations": {"b": voice}}, {"narrations": {"a": voice._replace(text="There.")}}]
    manifests = [(await leave(either_store, shots, made=LATER, **way))[0] for way in ways]
    assert len(await either_store.names("films")) == len(ways) == len({film_of(one).path for one in manifests})
    kept = film_of(manifests[2]).path
    await either_store.write(kept, b"the one that is there")
    again, _ = await leave(either_store, shots, music=music, prompts={"a": "Another prompt."}, made=LATER)
    assert await either_store.read(again.film or "") == b"the one that is there"
    assert (await untidy(either_store, LATER)).films == ()


async def test_captions_keep_to_the_true_frames_of_shown_shots(either_store: Store, play: Any) -> None:
    shots = [await keep_clip(either_store, "a"), without_clip("b"), await keep_clip(either_store, "c")]
    told = [shot.model_copy(update={"dialogue": f"KEEPER: {shot.id}\nMATE: <b>{shot.id}</b>"}) for shot in shots]
    _, folder, film = await play(told)
    lines = [(0.0, 1.0, "KEEPER: a\nMATE: <b>a</b>"), (1.0, 2.0, "KEEPER: c\nMATE: <b>c</b>")]
    assert (streams(film), captions_in(film)) == (["video", "subtitle"], lines)
    vtt = (await either_store.read(f"{folder}/captions.vtt")).decode()
    assert "MATE: &lt;b&gt;c" in vtt
    page = (await either_store.read(f"{folder}/index.html")).decode()
    assert '<track kind="captions"' in page
    assert "captions.srt" in page
    assert "muted" not in page


async def test_an_editor_finds_what_is_heard_on_tracks_of_its_own(either_store: Store, tmp_path: Path) -> None:
    shots = [await keep_clip(either_store, "a", sound=True), without_clip("b"), await keep_clip(either_store, "c")]
    music = SoundFile(**await keep_tone(either_store, tmp_path, 1760, 4))
    voice = Narration(**await keep_tone(either_store, tmp_path, 440, 1.5), text="Here.")
    manifest, folder = await leave(either_store, shots, music=music, narrations={"c": voice}, wanted_seconds={"b": 5})
    text = (await either_store.read(manifest.timeline or "")).decode()
    read = opentimelineio.adapters.read_from_string(text)
    tracks = {track.name: track for track in read.audio_tracks()}
    assert list(tracks) == ["Sound", "Narration", "Music"]
    assert [isinstance(item, Gap) for item in tracks["Sound"]] == [False, True, True]
    gap, said = tracks["Narration"]
    assert (gap.duration().to_seconds(), said.duration().to_seconds()) == (6, 1.5)
    assert [item.duration().to_seconds() for item in tracks["Music"]] == [4, 3.5]
    for track in tracks.values():
        for clip in track:
            if not isinstance(clip, Gap):
                assert await either_store.exists(f"{folder}/{clip.media_reference.target_url}")
    assert "UnknownSchema" not in read.to_json_string()


async def test_music_that_is_gone_costs_only_the_film(either_store: Store, tmp_path: Path) -> None:
    shots = [await keep_clip(either_store, "a")]
    music = SoundFile(**await keep_tone(either_store, tmp_path, 1760, 4))
    await either_store.delete(music.path)
    manifest, folder = await leave(either_store, shots, music=music)
    assert (manifest.status, manifest.film) == ("complete", None)
    assert "The film could not be joined" in (await either_store.read(f"{folder}/index.html")).decode()


def test_seconds_of_the_film_are_counted_in_frames() -> None:
    facts: dict[str, Any] = {"id": "a", "status": "stored", "key": "k", "take": 1, "clip": "c", "sha256": "s"}
    shot = ShotResult(**facts, fps=23.976, frames=121, seconds=5.047)
    film = film_of(
        Manifest(
            title="t",
            status="complete",
            plan_hash="p",
            estimated_usd=0,
            spent_usd=0,
            reused_usd=0,
            shots=(shot,) * 1000,
        )
    )
    assert film.seconds == Fraction(121_000 * 1001, 24_000)
