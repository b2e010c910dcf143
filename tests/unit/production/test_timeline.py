from __future__ import annotations

import json
import re
from typing import Any

import opentimelineio
import pytest
from opentimelineio.opentime import RationalTime
from opentimelineio.schema import ExternalReference, MissingReference, Timeline

from prefect_seedance.models import Words
from prefect_seedance.production import timeline
from prefect_seedance.production.manifest import ShotResult


def shot(name: str, **changed: Any) -> ShotResult:
    stored: dict[str, Any] = {
        "status": "stored",
        "key": f"sd1-{name}",
        "take": 1,
        "job_id": "job-1",
        "clip": f"clips/sd1-{name}.mp4",
        "sha256": "ab" * 32,
        "fps": 24,
        "frames": 121,
        "seconds": 5.0,
        "cost_usd": "0.61",
    }
    return ShotResult.model_validate({"id": name, **stored, **changed})


def missing(name: str, status: str = "refused", error: str | None = "The prompt was refused.") -> ShotResult:
    return ShotResult.model_validate({"id": name, "status": status, "key": f"sd1-{name}", "take": 2, "error": error})


BOARD = [shot("arrival"), missing("climb"), shot("lamp", frames=60, seconds=2.5)]
URLS = ["shots/01-arrival.mp4", None, "shots/03-lamp.mp4"]


def as_otio(shots: list[ShotResult], urls: list[str | None], rate: float = 24, **more: Any) -> Timeline:
    text = timeline.otio("The lighthouse", shots, {"arrival": "A keeper rows."}, urls, rate, **more)
    read = opentimelineio.adapters.read_from_string(text)
    assert isinstance(read, Timeline)
    return read


def as_edl(shots: list[ShotResult], urls: list[str | None], rate: float = 24, **more: Any) -> str:
    return timeline.edl("The lighthouse", shots, urls, rate, **more)


def events(edl: str) -> list[list[str]]:
    return [line.split() for line in edl.splitlines() if re.match(r"\d{3,}  ", line)]


def test_clips_are_as_long_as_their_files_not_as_what_was_asked() -> None:
    clips = as_otio(BOARD, URLS, wanted_seconds={"arrival": 5}).video_tracks()[0]
    assert clips[0].available_range().duration == RationalTime(121, 24)
    assert clips[0].duration() == RationalTime(121, 24)
    assert clips[2].duration() == RationalTime(60, 24)


def test_a_missing_shot_holds_its_place_for_the_seconds_that_were_asked() -> None:
    read = as_otio(BOARD, URLS, wanted_seconds={"climb": 10})
    slate = read.video_tracks()[0][1]
    assert isinstance(slate.media_reference, MissingReference)
    assert slate.duration() == RationalTime(240, 24)
    assert read.duration() == RationalTime(121 + 240 + 60, 24)
    assert slate.markers[0].comment == "refused (The prompt was refused.)"


def test_media_is_found_beside_the_timeline() -> None:
    clips = as_otio(BOARD, URLS).video_tracks()[0]
    assert isinstance(clips[0].media_reference, ExternalReference)
    assert [clips[0].media_reference.target_url, clips[2].media_reference.target_url] == [URLS[0], URLS[2]]


def test_every_clip_says_where_it_comes_from() -> None:
    clips = as_otio(BOARD, URLS, models={"arrival": "seedance-1-0-pro"}).video_tracks()[0]
    assert dict(clips[0].metadata["prefect_seedance"]) == {
        "shot_id": "arrival",
        "take": 1,
        "job_id": "job-1",
        "key": "sd1-arrival",
        "model": "seedance-1-0-pro",
        "prompt": "A keeper rows.",
        "cost_usd": 0.61,
        "clip": "clips/sd1-arrival.mp4",
        "sha256": "ab" * 32,
        "status": "stored",
        "error": None,
    }
    assert clips[1].metadata["prefect_seedance"]["status"] == "refused"


def test_the_library_writes_the_same_timeline_again() -> None:
    """No schema is unknown to it and no field is spelled wrong."""
    text = timeline.otio("The lighthouse", BOARD, {}, URLS, 24)
    again = opentimelineio.adapters.read_from_string(text).to_json_string()
    ours, theirs = json.loads(text), json.loads(again)

    def shared(mine: Any, yours: Any) -> None:
        if isinstance(mine, dict):
            assert set(mine) <= set(yours)
            for name in mine:
                shared(mine[name], yours[name])
        elif isinstance(mine, list):
            for one, other in zip(mine, yours, strict=True):
                shared(one, other)
        else:
            assert mine == yours

    shared(ours, theirs)
    assert "UnknownSchema" not in json.dumps(theirs)


def test_a_clip_of_another_rate_keeps_its_own_frames() -> None:
    clips = as_otio([shot("slow"), shot("quick", fps=48, frames=240)], ["a.mp4", "b.mp4"])
    assert clips.video_tracks()[0][1].duration() == RationalTime(240, 48)
    assert clips.duration().to_seconds() == pytest.approx(121 / 24 + 5)


def test_an_edl_reads_back_as_the_same_cut() -> None:
    edl = as_edl(BOARD, URLS, wanted_seconds={"climb": 10})
    track = opentimelineio.adapters.read_from_string(edl, "cmx_3600", rate=24).video_tracks()[0]
    assert [item.duration() for item in track] == [RationalTime(frames, 24) for frames in (121, 240, 60)]
    assert [item.name for item in track][::2] == ["01-arrival.mp4", "03-lamp.mp4"]


def test_an_edl_is_written_out_like_this() -> None:
    assert as_edl(BOARD, URLS) == (
        "TITLE: The lighthouse\n"
        "FCM: NON-DROP FRAME\n"
        "\n"
        "001  001ARRIV V     C        00:00:00:00 00:00:05:01 00:00:00:00 00:00:05:01\n"
        "* FROM CLIP NAME: 01-arrival.mp4\n"
        "* SOURCE FILE: shots/01-arrival.mp4\n"
        "002  BL       V     C        00:00:00:00 00:00:05:00 00:00:05:01 00:00:10:01\n"
        "* COMMENT: MISSING climb: refused (The prompt was refused.)\n"
        "003  003LAMP  V     C        00:00:00:00 00:00:02:12 00:00:10:01 00:00:12:13\n"
        "* FROM CLIP NAME: 03-lamp.mp4\n"
        "* SOURCE FILE: shots/03-lamp.mp4\n"
    )


def test_reels_are_unique_and_short_whatever_the_ids() -> None:
    board = [shot(f"the-same-beginning-{number}") for number in range(1200)] + [shot("灯塔"), shot("BL")]
    reels = [event[1] for event in events(as_edl(board, [f"shots/{n}.mp4" for n in range(len(board))]))]
    assert len(set(reels)) == len(board)
    assert max(map(len, reels)) == 8
    assert "BL" not in reels


@pytest.mark.parametrize(("rate", "end"), [(24, "00:00:10:01"), (23.976, "00:00:10:01"), (30, "00:00:08:01")])
def test_timecodes_count_at_the_nominal_rate(rate: float, end: str) -> None:
    board = [shot("a", fps=rate, frames=241)]
    assert events(as_edl(board, ["a.mp4"], rate))[0][-1] == end


def test_the_cut_of_an_edl_has_no_holes() -> None:
    board = [shot(str(n), fps=fps, frames=121) for n, fps in enumerate((24, 30, 25, 24))]
    lines = events(as_edl(board, ["x.mp4"] * 4))
    assert [line[7] for line in lines[:-1]] == [line[6] for line in lines[1:]]
    assert all(line[5] == "00:00:05:01" for line in lines[::3])


def test_a_title_or_error_of_many_lines_can_not_forge_an_event() -> None:
    evil = "x\n002  FAKE     V     C        00:00:00:00 00:00:01:00 00:00:00:00 00:00:01:00"
    edl = timeline.edl(evil, [missing("climb", error=evil), shot("a")], [None, "a.mp4"], 24)
    assert len(events(edl)) == 2
    assert len(opentimelineio.adapters.read_from_string(edl, "cmx_3600", rate=24).video_tracks()[0]) == 2


SAID = Words(notes="Bring fog.\nAsk Ann.", dialogue="守灯人：到了。", metadata={"scene": 12, "tags": ["x", "灯"]})


def test_what_people_wrote_stands_in_the_timeline() -> None:
    board = [shot("arrival", **SAID.model_dump()), missing("climb")]
    read = as_otio(board, ["shots/01-arrival.mp4", None], words=Words(notes="For the festival."))
    assert dict(read.metadata["prefect_seedance"]) == {"notes": "For the festival."}
    told = read.video_tracks()[0][0].metadata["prefect_seedance"]
    assert (told["notes"], told["dialogue"]) == ("Bring fog.\nAsk Ann.", "守灯人：到了。")
    assert (told["metadata"]["scene"], list(told["metadata"]["tags"])) == (12, ["x", "灯"])
    assert "notes" not in read.video_tracks()[0][1].metadata["prefect_seedance"]


def test_what_people_wrote_stands_in_comments_of_the_edl() -> None:
    board = [shot("arrival", **SAID.model_dump()), shot("lamp", notes="long " * 40)]
    edl = as_edl(board, ["shots/01-到达.mp4", "shots/02-lamp.mp4"], words=Words(camera="35mm"))
    assert [line for line in edl.splitlines() if line.startswith("* COMMENT")][:5] == [
        "* COMMENT: CAMERA: 35mm",
        "* COMMENT: NOTES: Bring fog. Ask Ann.",
        "* COMMENT: DIALOGUE: 守灯人：到了。",
        "* COMMENT: scene: 12",
        '* COMMENT: tags: ["x", "灯"]',
    ]
    assert max(map(len, edl.splitlines())) <= 80
    track = opentimelineio.adapters.read_from_string(edl, "cmx_3600", rate=24).video_tracks()[0]
    assert [item.name for item in track] == ["01-到达.mp4", "02-lamp.mp4"]


def test_no_letter_is_lost_in_an_edl_and_no_mark_steers_it() -> None:
    edl = timeline.edl("\u202eمی\u200cخواهم\u202c 灯塔", [shot("a", camera="क्\u200dष")], ["a.mp4"], 24)
    assert edl.splitlines()[0] == "TITLE: می\u200cخواهم 灯塔"
    assert "* COMMENT: CAMERA: क्\u200dष" in edl


def test_words_for_people_can_not_forge_a_line_of_the_edl() -> None:
    evil = "x\n002  FAKE     V     C        00:00:00:00 00:00:01:00 00:00:00:00 00:00:01:00\n* SOURCE FILE: /etc/passwd"
    board = [shot("a", notes=evil, metadata={evil: evil, "FROM CLIP NAME": "b.mp4"})]
    edl = as_edl(board, ["a.mp4"], words=Words(notes=evil))
    assert len(events(edl)) == 1
    assert [line for line in edl.splitlines() if line.startswith(("* SOURCE", "* FROM"))] == [
        "* FROM CLIP NAME: a.mp4",
        "* SOURCE FILE: a.mp4",
    ]
