"""Accounts, stores and places that can't be: one sentence, before anything is spent."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from prefect_seedance.cli.app import run
from prefect_seedance.storage.store import Store
from tests.support.commanding import LIGHTHOUSE, Desk
from tests.support.emulating import RunningEmulator
from tests.support.pictures import plain_picture
from tests.support.s3_server import Line, RunningS3


@pytest.mark.parametrize(
    ("changed", "code", "told"),
    [
        ({"RUNPOD_API_KEY": "wrong"}, 2, "refuses this key"),
        ({"RUNPOD_API_KEY": ""}, 2, "no usable Runpod API key"),
        ({"RUNPOD_BASE_URL": "http://127.0.0.1:9/v2"}, 1, "can't be reached"),
        ({"RUNPOD_BASE_URL": "not-an-address"}, 2, "is not an address"),
        ({"RUNPOD_BASE_URL": "http://127.0.0.1:notaport/v2"}, 2, "is not an address"),
        ({"RUNPOD_BASE_URL": "http://[::1"}, 2, "is not an address"),
        ({"RUNPOD_BASE_URL": "https://a..b/v2"}, 2, "is not an address"),
    ],
    ids=str,
)
def test_an_account_that_cannot_work_is_one_sentence(
    changed: dict[str, str], code: int, told: str, desk: Desk, emulator: RunningEmulator
) -> None:
    said = desk.run("render", desk.board(LIGHTHOUSE), "--json", **changed)
    assert said.code == code
    assert said.document["schema"] == "prefect-seedance/plan/1"
    assert told in said.err
    looked = desk.run("doctor", **changed)
    assert (looked.code, told in looked.err) == (code, True), looked.err
    assert emulator.calls()["run"] == 0


def test_a_withdrawn_endpoint_is_one_sentence(desk: Desk, emulator: RunningEmulator) -> None:
    rows = desk.board(
        """
        - slug: gone-model
          title: Gone
          durations: [5]
          tiers: [{name: 480p, sizes: [640x640], per_second: 0.01}]
          checked: 2026-11-01
        """,
        "rows.yaml",
    )
    board = desk.board("title: T\ndefaults: {model: gone-model}\nshots: [{id: a, prompt: Gulls.}]\n")
    said = desk.run("render", board, PREFECT_SEEDANCE_CATALOG=rows)
    assert said.code == 2
    assert "gone-model does not exist" in said.err
    assert emulator.charges == []


def test_a_folder_that_cannot_be_made_is_one_sentence_before_anything_is_submitted(
    desk: Desk, emulator: RunningEmulator
) -> None:
    desk.store = "/proc/nowhere"
    said = desk.run("render", desk.board(LIGHTHOUSE), "--json")
    assert said.code == 2, said
    assert said.document["schema"] == "prefect-seedance/plan/1"
    assert "/proc/nowhere" in said.err
    assert emulator.charges == []


def test_an_inbox_ends_as_a_render_does_where_key_or_store_do_not_allow_it(
    desk: Desk, emulator: RunningEmulator
) -> None:
    inbox = Path(desk.store) / "inbox"
    inbox.mkdir(parents=True)
    (inbox / "board.yaml").write_text(textwrap.dedent(LIGHTHOUSE))
    said = desk.run("inbox", "--json", RUNPOD_API_KEY="wrong")
    assert said.code == 2, said
    [told] = said.document["boards"]
    assert (told["status"], "refuses this key" in told["error"]) == ("nothing", True)
    assert said.document["exit_code"] == 2
    assert (inbox / "board.yaml").exists()
    assert emulator.calls()["run"] == 0


@pytest.mark.parametrize("store", ["gs://bucket/x", "s3://", "~nobody-of-that-name/x"])
def test_a_store_that_cannot_work_is_one_sentence(store: str, desk: Desk, emulator: RunningEmulator) -> None:
    desk.store = store
    for command in (["render", desk.board(LIGHTHOUSE)], ["collect"], ["settle"]):
        said = desk.run(*command)
        assert said.code == 2, said
        assert len(said.err.strip().splitlines()) < 15
    assert emulator.charges == []


def test_a_store_of_the_other_kind_is_refused(desk: Desk, emulator: RunningEmulator) -> None:
    Path(desk.store).mkdir()
    (Path(desk.store) / "store.json").write_text('{"schema": "prefect-seedance/store/1", "kind": "real"}')
    for command in (["plan", desk.board(LIGHTHOUSE)], ["render", desk.board(LIGHTHOUSE)], ["settle"]):
        said = desk.run(*command)
        assert said.code == 2
        assert "belongs to" in said.err
    assert emulator.charges == []


def test_a_bucket_without_permission_is_one_sentence(
    desk: Desk, s3_server: RunningS3, emulator: RunningEmulator
) -> None:
    desk.store = "s3://no-such-bucket-anywhere/films"
    said = desk.run("render", desk.board(LIGHTHOUSE), **s3_server.environment)
    assert said.code == 2
    assert "no-such-bucket-anywhere" in said.err
    assert emulator.charges == []


@pytest.mark.parametrize("command", ["plan", "render"])
async def test_a_bucket_that_is_silent_while_pictures_are_read_is_one_sentence(
    command: str, desk: Desk, line: Line, far_store: Store, s3_server: RunningS3, emulator: RunningEmulator
) -> None:
    shots = [f"- {{id: s{number}, prompt: Waves., image: {number}.png}}" for number in range(9)]
    await far_store.write("board.yaml", "\n".join(["title: Film", "shots:", *shots]).encode())
    for number in range(9):
        await far_store.write(f"{number}.png", plain_picture(number))
    line.on_request = lambda _, path: setattr(
        line, "answer_instead", (503, "SlowDown") if path.endswith(".png") else None
    )
    away = s3_server.environment | {"AWS_ENDPOINT_URL": line.endpoint_url}
    said = await asyncio.to_thread(desk.run, command, f"{far_store.url}/board.yaml", **away)
    assert said.code == 2, said
    assert said.err.startswith(f"The store failed at {far_store.url}/")
    assert "group" not in said.err.lower()
    assert emulator.charges == []


def test_what_can_not_be_a_place_is_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_text("here")
    for words in (
        ["emulator", "--port", "99999"],
        ["emulator", "--serve", f"{file}/x"],
        ["demo", "--folder", str(file)],
        ["settle", "../x@1", "--retry", "--store", str(tmp_path)],
    ):
        assert run(words) == 2, words
        told = capsys.readouterr().err
        assert "Something unexpected" not in told
        assert len(told.splitlines()) == 1


def test_a_demo_whose_port_is_taken_says_so(tmp_path: Path, desk: Desk) -> None:
    folder = tmp_path / "demo"
    with socket.create_server(("127.0.0.1", 0)) as other:
        (folder / "emulator").mkdir(parents=True)
        (folder / "emulator" / "port").write_text(str(other.getsockname()[1]))
        command = [sys.executable, "-m", "prefect_seedance.cli", "demo", "--folder", str(folder)]
        said = subprocess.run(command, env=desk.environment, capture_output=True, text=True, check=False)
        assert f"did not start on port {other.getsockname()[1]}" in said.stderr
    assert said.returncode == 1
    assert "Something unexpected" not in said.stderr
