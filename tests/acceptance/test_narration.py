"""Narrations as a person has them: planned, budgeted, billed and told of beside the shots they are heard over."""

from __future__ import annotations

import textwrap
from collections import Counter
from pathlib import Path

import pytest

from prefect_seedance.emulator.speech import speak
from tests.support.commanding import Desk
from tests.support.emulating import RunningEmulator
from tests.support.prefect_server import RunningPrefect
from tests.support.s3_server import RunningS3

BOARD = """
    title: The lighthouse
    defaults: {size: 640x640, duration: 2}
    narrator: {model: chatterbox-turbo, inputs: {voice: abigail}}
    shots:
      - {id: arrival, prompt: A keeper rows., narration: "Nobody had seen the light for years, until he came."}
      - {id: lamp, prompt: The lamp burns., narration: keeper.flac}
      - {id: dusk, prompt: It grows dark., narration: "Nobody had seen the light for years, until he came."}
"""
TEXT = "Nobody had seen the light for years, until he came."


@pytest.fixture
def desk(tmp_path: Path, emulator: RunningEmulator) -> Desk:
    speak("He counts the steps.", 2.5, tmp_path / "keeper.flac")
    return Desk(tmp_path, {"RUNPOD_API_KEY": "k-SECRET", "RUNPOD_BASE_URL": emulator.base_url})


def paid(emulator: RunningEmulator) -> Counter[str]:
    return Counter(charge["prompt"] for charge in emulator.charges)


def test_narrations_are_planned_rendered_once_and_free_the_second_time(desk: Desk, emulator: RunningEmulator) -> None:
    board = desk.board(BOARD)
    plan = desk.run("plan", board, "--json").document
    assert [(one["id"], one["action"], one["estimated_usd"]) for one in plan["narrations"]] == [
        ("arrival.narration", "generate", 0.02),
        ("dusk.narration", "generate", 0),
    ]
    assert len(plan["shots"]) == 3
    assert plan["estimated_usd"] == pytest.approx(3 * 0.05 + 0.02)
    assert "takes about 3.4 s and its shot 2 s: it runs on over the next one" in plan["narrations"][0]["problem"]
    said = desk.run("render", board, "--json")
    assert said.code == 0, said.err
    assert "! The narration of lamp takes 2.5 s and its shot 2 s: it runs on over the next one." in said.err
    arrival, lamp, dusk = (shot["narration"] for shot in said.document["shots"])
    assert (arrival["status"], arrival["text"], arrival["cost_usd"]) == ("stored", TEXT, 0.0034)
    assert arrival["path"].startswith(f"clips/{arrival['key']}-")
    assert (dusk["path"], dusk["key"]) == (arrival["path"], arrival["key"])
    assert (lamp["status"], lamp["key"], lamp["cost_usd"], lamp["seconds"]) == ("stored", None, None, 2.5)
    assert lamp["path"] == f"sources/{lamp['sha256'][:32]}.flac"
    assert (Path(desk.store) / lamp["path"]).read_bytes() == (desk.folder / "keeper.flac").read_bytes()
    assert said.document["spent_usd"] == emulator.bill()["total_usd"]
    again = desk.run("render", board, "--json").document
    assert (again["spent_usd"], again["film"]) == (0, said.document["film"])
    assert paid(emulator) == {"A keeper rows.": 1, "The lamp burns.": 1, "It grows dark.": 1, TEXT: 1}


def test_a_narration_that_fails_stops_no_shot_and_the_manifest_says_so(desk: Desk, emulator: RunningEmulator) -> None:
    emulator.fault("run", "status", code=400, prompt="Nobody")
    said = desk.run("render", desk.board(BOARD), "--json")
    assert (said.code, said.document["status"]) == (3, "partial"), said.err
    shots = said.document["shots"]
    assert [shot["status"] for shot in shots] == ["stored"] * 3
    assert [shot["narration"]["status"] for shot in shots] == ["refused", "stored", "refused"]
    assert "nothing was charged" in shots[0]["narration"]["error"]
    assert (shots[0]["narration"]["path"], shots[0]["error"], bool(said.document["film"])) == (None, None, True)
    assert desk.run("render", desk.board(BOARD), "--json").document["status"] == "complete"
    assert len(emulator.charges) == 4


def test_an_unclear_narration_is_settled_like_a_clip(desk: Desk, emulator: RunningEmulator) -> None:
    emulator.fault("run", "drop_after", prompt="Nobody")
    assert desk.run("render", desk.board(BOARD)).code == 3
    (listed,) = desk.run("settle", "--json").document
    assert (listed["prompt"], listed["at_risk_usd"]) == (TEXT, 0.02)
    job_id = next(charge["job_id"] for charge in emulator.charges if charge["prompt"] == TEXT)
    assert desk.run("settle", f"{listed['key']}@{listed['record']}", "--job-id", job_id).code == 0
    assert desk.run("collect", "--json").document["stored"] == 1
    assert desk.run("render", desk.board(BOARD), "--json").document["status"] == "complete"
    assert paid(emulator)[TEXT] == 1


def test_the_budget_and_the_approval_hold_for_what_is_spoken(desk: Desk, emulator: RunningEmulator) -> None:
    board = desk.board(BOARD)
    assert desk.run("render", board, "--budget", "0.16", "--json").code == 4
    other = desk.board(BOARD.replace("until he came", "until she came"), "other.yaml")
    hashes = [desk.run("plan", one, "--json").document["plan_hash"] for one in (board, other)]
    assert hashes[0] != hashes[1]
    words = ["render", other, "--approve-above", "0.01", "--json"]
    assert desk.run(*words, "--approve", hashes[0]).code == 4
    assert emulator.calls()["run"] == 0
    assert desk.run(*words, "--approve", hashes[1], "--budget", "0.17").code == 0
    assert len(emulator.charges) == 4


def test_a_missing_sound_file_stops_the_board_before_anything_is_paid(desk: Desk, emulator: RunningEmulator) -> None:
    (desk.folder / "keeper.flac").write_bytes(b"RIFF")
    said = desk.run("render", desk.board(BOARD))
    assert said.code == 2
    assert "shot lamp: narration keeper.flac: it" in said.err
    assert len(emulator.charges) == 0


def test_a_delivery_with_the_same_sounds_is_made_once_and_with_other_music_anew(
    desk: Desk, emulator: RunningEmulator
) -> None:
    made = []
    for name, said in (("one", "Sea."), ("two", "Sea."), ("three", "Wind and rain.")):
        folder = Path(desk.store) / "inbox" / name
        folder.mkdir(parents=True)
        speak(said, 1.5, folder / "music.mp3")
        speak("He counts the steps.", 2.5, folder / "keeper.flac")
        (folder / "board.yaml").write_text(textwrap.dedent(BOARD) + "music: music.mp3\n")
        (board,) = desk.run("inbox", "--json").document["boards"]
        assert board["status"] == "complete", board
        made.append(board["production"])
    assert made[0] == made[1] != made[2]
    assert len(emulator.charges) == 4


@pytest.mark.slow
def test_narrations_are_kept_and_reused_in_a_bucket_too(
    desk: Desk, s3_server: RunningS3, emulator: RunningEmulator
) -> None:
    desk.store = f"s3://{s3_server.new_bucket()}/films"
    desk.environment |= s3_server.environment
    said = desk.run("render", desk.board(BOARD), "--json")
    assert (said.code, said.document["status"]) == (0, "complete"), said.err
    assert said.document["film"]
    assert desk.run("render", desk.board(BOARD), "--json").document["spent_usd"] == 0
    assert paid(emulator)[TEXT] == 1


@pytest.mark.slow
def test_narrations_are_paid_once_as_tasks_of_a_flow_too(
    desk: Desk, emulator: RunningEmulator, prefect_server: RunningPrefect
) -> None:
    desk.environment |= prefect_server.environment
    said = desk.run("render", desk.board(BOARD), "--json")
    assert (said.code, said.document["status"]) == (0, "complete"), said.err
    assert desk.run("render", desk.board(BOARD), "--json").document["spent_usd"] == 0
    assert paid(emulator) == {"A keeper rows.": 1, "The lamp burns.": 1, "It grows dark.": 1, TEXT: 1}
