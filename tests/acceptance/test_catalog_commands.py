"""What the command line says of the catalog: what a row takes, what no longer answers, and what there is instead."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.support.commanding import COMMAND, Desk
from tests.support.emulating import RunningEmulator

DRAFT = """
    title: Draft
    defaults: {model: p-video, size: 720p, aspect_ratio: 9:16, duration: 2, inputs: {draft: true, seed: 7}}
    shots:
      - {id: arrival, prompt: A keeper rows.}
      - {id: final, prompt: A keeper rows., inputs: {draft: false}}
"""


@pytest.fixture
def desk(tmp_path: Path, emulator: RunningEmulator) -> Desk:
    return Desk(tmp_path, {"RUNPOD_API_KEY": "k", "RUNPOD_BASE_URL": emulator.base_url})


def models(*words: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "models", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_inputs_and_words_for_sizes_are_planned_rendered_and_billed(desk: Desk, emulator: RunningEmulator) -> None:
    board = desk.board(DRAFT)
    said = desk.run("plan", board, "--json")
    assert said.code == 0, said
    assert [(shot["size"], shot["estimated_usd"]) for shot in said.document["shots"]] == [
        ("720x1280", 0.01),
        ("720x1280", 0.04),
    ]
    assert "720x1280" in desk.run("plan", board).err
    assert desk.run("render", board).code == 0
    assert sorted(charge["usd"] for charge in emulator.charges) == [0.01, 0.04]
    assert [shot["action"] for shot in desk.run("plan", board, "--json").document["shots"]] == ["reuse", "reuse"]


def test_a_wrong_input_costs_nothing_and_says_what_the_row_takes(desk: Desk, emulator: RunningEmulator) -> None:
    said = desk.run("render", desk.board(DRAFT.replace("seed: 7", "sede: 7")))
    assert said.code == 2
    assert "board.yaml:3" in said.err
    assert "`seed` (a whole number from 0 to 2147483647); did you mean `seed`?" in said.err
    assert emulator.calls()["run"] == 0


@pytest.mark.parametrize("command", ["doctor", "render"])
def test_where_the_default_model_no_longer_answers_one_sentence_says_what_does(
    command: str, desk: Desk, emulator: RunningEmulator
) -> None:
    emulator.fault("status", "status", code=404, detail="endpoint not found")
    board = desk.board("title: T\nshots: [{id: a, prompt: Gulls.}]\n")
    said = desk.run(command, *([board] if command == "render" else []))
    assert said.code == 2
    (line,) = [line for line in said.err.splitlines() if "These answer" in line]
    assert "seedance-1-0-pro does not exist" in line
    assert "p-video (from text or a picture, 5 s for $0.10)" in line
    assert "wan-2-6-t2v (from text, 5 s for $0.50)" in line
    assert "sora" not in line
    assert emulator.calls()["run"] == 0


def test_a_marked_row_is_refused_with_what_there_is_instead(desk: Desk) -> None:
    said = desk.run("doctor", "--model", "sora-2-i2v")
    assert said.code == 2
    assert "OpenAI shut Sora 2 down on 2026-09-24" in said.err
    assert "nothing new is asked of it, since OpenAI" in models("sora-2-i2v").stdout


def test_models_says_what_every_row_takes_and_costs() -> None:
    listed = models()
    assert listed.returncode == 0
    assert "vidu-q3-t2v" in listed.stdout
    rows = {row["slug"]: row for row in json.loads(models("--json").stdout)}
    assert rows["p-video"]["inputs"]["draft"]["default"] is False
    assert rows["p-video"]["tiers"][0]["when"][0]["per_second"] == 0.005
    one = models("vidu-q3-t2v").stdout
    assert "input bgm: true or false, background music; the endpoint's own is true; sent as false unless you ask" in one
    assert models("nothing").returncode == 2


def test_pictures_are_animated_with_what_the_model_takes(desk: Desk, emulator: RunningEmulator) -> None:
    Image.new("RGB", (640, 480), "navy").save(desk.folder / "a.png")
    words = ["--prompt", "Waves.", "--model", "p-video", "--size", "720p", "--aspect-ratio", "4:3", "--duration", "2"]
    served = ["--public-base-url", f"{emulator.origin}/files"]
    said = desk.run("animate", "*.png", *words, *served, "--input", "draft=yes", "--input", "sed=1", "--json")
    assert said.code == 2
    assert "did you mean `seed`?" in said.err
    assert "720p" not in said.err
    assert desk.run("animate", "*.png", *words, *served, "--input", "draft").code == 2
    said = desk.run("animate", "*.png", *words, "--input", "draft=yes", "--input", "seed=1", "--json")
    assert said.document["shots"][0] | {"key": ""} == {
        "id": "a", "key": "", "take": 1, "action": "blocked", "estimated_usd": 0, "size": "960x720",
        "problem": said.document["shots"][0]["problem"],
    }  # fmt: skip
    assert "--public-base-url" in said.document["shots"][0]["problem"]
    assert emulator.charges == []
