"""Endpoints that speak: a sound as long as the text, in the format that was asked for, answered as seen live."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from prefect_seedance.video import hearing
from prefect_seedance.video.endings import ending_of
from tests.support.calling import LATENCY, Caller

TEXT = "Nobody had seen the light for years."  # 36 characters


def asked(caller: Caller, slug: str, **fields: Any) -> dict[str, Any]:
    answer = caller.http.post(f"/{slug}/run", json={"input": fields})
    assert answer.status_code == 200
    caller.emulator.advance(LATENCY)
    ended: dict[str, Any] = caller.look(answer.json()["id"], slug).json()
    return ended


@pytest.mark.parametrize(
    ("slug", "fields", "ending", "content_type", "cost"),
    [
        ("chatterbox-turbo", {}, ".wav", "audio/wav", 0.0024),
        ("chatterbox-turbo", {"format": "flac"}, ".flac", "audio/flac", 0.0024),
        ("chatterbox-turbo", {"format": "ogg"}, ".opus", "audio/ogg", 0.0024),
        ("minimax-speech-02-hd", {"emotion": "sad"}, ".mp3", "audio/mpeg", 0.0018),
    ],
)
def test_a_text_is_spoken_for_as_long_as_it_takes_and_billed_for_that(
    slug: str, fields: dict[str, Any], ending: str, content_type: str, cost: float, caller: Caller, tmp_path: Path
) -> None:
    ended = asked(caller, slug, prompt=TEXT, **fields)
    output = ended["output"]
    assert set(output) == {"audio_url", "cost", "result"}
    assert output["audio_url"] == output["result"]
    media = caller.http.get(output["audio_url"])
    assert media.headers["content-type"] == content_type
    file = tmp_path / f"speech{ending}"
    file.write_bytes(media.content)
    assert ending_of(file) == ending
    heard = hearing.listen(file, 60)
    assert heard.seconds == pytest.approx(2.4, abs=0.1)
    assert heard.audio.loudness is not None
    assert (output["cost"], caller.charge(ended["id"])) == (cost, cost)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"prompt": " "}, "field prompt is required"),
        ({"prompt": "x" * 10_001}, "at most 10000 characters"),
        ({"prompt": TEXT, "voice": "nobody"}, "input `voice` is `nobody`"),
        ({"prompt": TEXT, "format": "exe"}, "input `format` is `exe`"),
    ],
)
def test_what_can_not_be_spoken_fails_and_costs_nothing(fields: dict[str, Any], error: str, caller: Caller) -> None:
    ended = asked(caller, "chatterbox-turbo", **fields)
    assert ended["status"] == "FAILED"
    assert error in ended["error"]
    assert caller.charge(ended["id"]) == 0
