"""What needs no Prefect: plans, mistakes, settling, reports, checks, and the first line of defence of a render."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prefect_seedance.generation.session import RenderSession
from prefect_seedance.generation.submit import submit
from prefect_seedance.ledger.ledger import Ledger, record_path
from prefect_seedance.ledger.record import Record
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage import open_store
from tests.support.commanding import Desk
from tests.support.emulating import RunningEmulator
from tests.support.renderer import small

BOARD = """
    title: The lighthouse
    defaults: {size: 640x640, duration: 2}
    shots:
      - {id: arrival, prompt: A keeper rows.}
      - {id: lamp, prompt: The lamp burns., duration: 5}
      - {id: again, prompt: A keeper rows.}
"""
FULL_OF_MISTAKES = """
    title: The lighthouse
    defaults: {size: 640x640, duration: 2}
    shots:
      - {id: arrival, promt: A keeper rows.}
      - {id: lamp, prompt: The lamp burns., size: 641x640}
      - {id: lamp, prompt: The lamp burns --dur 12}
      - {id: end, prompt: Gulls., continue_from: nowhere}
"""


def test_a_plan_prices_every_shot_and_spends_nothing(desk: Desk, emulator: RunningEmulator) -> None:
    said = desk.run("plan", desk.board(BOARD), "--json")
    assert said.code == 0
    plan = said.document
    assert plan["schema"] == "prefect-seedance/plan/1"
    assert [(s["id"], s["action"], s["estimated_usd"]) for s in plan["shots"]] == [
        ("arrival", "generate", 0.05),
        ("lamp", "generate", 0.12),
        ("again", "generate", 0),
    ]
    assert plan["shots"][0]["key"] == plan["shots"][2]["key"]
    assert (plan["estimated_usd"], plan["reused_usd"], plan["problems"]) == (0.17, 0, [])
    assert not Path(desk.store).exists()
    assert emulator.calls()["run"] == 0


def test_a_plan_needs_no_key(desk: Desk) -> None:
    assert desk.run("plan", desk.board(BOARD), RUNPOD_API_KEY="", RUNPOD_BASE_URL="").code == 0


@pytest.mark.parametrize("command", ["plan", "render"])
def test_all_mistakes_are_told_at_once_with_their_places(command: str, desk: Desk, emulator: RunningEmulator) -> None:
    board = desk.board(FULL_OF_MISTAKES)
    said = desk.run(command, board, "--json")
    assert said.code == 2
    told = {(problem["line"], problem["shot"]) for problem in said.document["problems"]}
    assert {line for line, _ in told} == {5, 6, 7, 8}
    for words in ("did you mean", "641x640", "--dur", "nowhere", "board.yaml:5"):
        assert words in said.err
    assert not Path(desk.store).exists()
    assert emulator.calls()["run"] == 0


@pytest.mark.parametrize(
    "words",
    [["render"], ["rendr", "x"], ["plan", "x", "--nonsense"], ["render", "x", "--budget", "much"], ["settle", "K@1"]],
    ids=str,
)
def test_a_wrong_word_is_exit_code_2(words: list[str], desk: Desk) -> None:
    said = desk.run(*words)
    assert said.code == 2
    assert said.out == ""


@pytest.mark.parametrize("option", ["--budget", "--per-day", "--per-month", "--approve-above"])
@pytest.mark.parametrize("amount", ["inf", "Infinity", "nan", "snan"])
def test_an_amount_without_end_is_one_sentence(option: str, amount: str, desk: Desk) -> None:
    said = desk.run("render", desk.board(BOARD), option, amount)
    words = " ".join(said.err.replace("│", " ").split())
    assert (said.code, said.out) == (2, "")
    assert f"for {option}. Name an amount in dollars, such as 25, or leave it out for no bound." in words
    assert "pydantic" not in words


@pytest.mark.parametrize("way", [[], ["--prefect"]], ids=["here", "as a flow"])
@pytest.mark.parametrize(
    "words", [["--retry-failed", "6"], ["--max-in-flight", "1001"], ["--budget", "-1"]], ids=lambda words: words[0]
)
def test_a_value_outside_of_its_bounds_is_exit_code_2_before_anything_begins(
    words: list[str], way: list[str], desk: Desk, emulator: RunningEmulator
) -> None:
    said = desk.run("render", desk.board(BOARD), *words, *way)
    assert said.code == 2, said.err
    assert "Something unexpected" not in said.err
    assert emulator.calls()["run"] == 0


@pytest.mark.parametrize(("encoding", "stdout"), [("latin-1", "read"), ("utf-8", "closed"), ("utf-8", "full")])
def test_a_document_that_stdout_can_not_take_changes_no_exit_code(encoding: str, stdout: str, desk: Desk) -> None:
    board = desk.board("title: 灯塔\nshots: [{id: a, prompt: Gulls.}]\n")
    command = [sys.executable, "-m", "prefect_seedance.cli", "plan", board, "--store", desk.store, "--json"]
    environment = desk.environment | {"PYTHONIOENCODING": encoding}
    reading, writing = os.pipe()
    if stdout == "closed":
        os.close(reading)
    if stdout == "full":
        os.dup2(os.open("/dev/full", os.O_WRONLY), writing)
    said = subprocess.run(command, env=environment, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert said.returncode == 0, said.stderr
    never_open = subprocess.run(command, env=environment, preexec_fn=lambda: os.close(1), check=False)
    assert never_open.returncode == 0
    assert ("No space left" in said.stderr) is (stdout == "full")
    if stdout == "read":
        with open(reading, encoding=encoding) as document:
            assert json.load(document)["title"] == "灯塔"


def test_a_server_for_one_command_leaves_block_types_to_the_persons_own_server(tmp_path: Path) -> None:
    home = tmp_path / "home"
    begin = "from prefect_seedance.cli import prefect_settings, temporary_server; prefect_settings.prepare_prefect()"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PREFECT_HOME": str(home)}
    subprocess.run([sys.executable, "-c", f"{begin}; temporary_server.wait_until_ready()"], env=environment, check=True)
    assert (home / "prefect.db").exists()
    assert not (home / "memo_store.toml").exists()  # in which Prefect notes that they are registered


def test_a_budget_of_nothing_pays_for_nothing(desk: Desk, emulator: RunningEmulator) -> None:
    said = desk.run("render", desk.board(BOARD), "--budget", "0")
    assert said.code == 4
    assert "budget of $0.00; nothing was submitted" in said.err
    assert emulator.calls()["run"] == 0


def test_a_budget_that_no_clip_fits_into_by_what_was_billed_before_is_refused(
    desk: Desk, emulator: RunningEmulator
) -> None:
    board = desk.board("title: Film\ndefaults: {size: 1920x1080}\nshots:\n  - {id: a, prompt: A boat.}\n")
    said = desk.run("render", board, "--budget", "0.61")
    assert (said.code, emulator.calls()["run"]) == (4, 0)
    assert "may cost $0.62, the most that was ever billed for one, and of the budget of $0.61 $0.61 is left" in said.err


def test_settling_lists_what_is_unclear_and_nothing_else(desk: Desk) -> None:
    said = desk.run("settle", "--json")
    assert (said.code, said.document) == (0, [])


@pytest.mark.parametrize("command", ["settle", "report", "collect"])
def test_a_place_where_nothing_was_ever_rendered_is_said_to_be_one(command: str, desk: Desk) -> None:
    assert f"Nothing was ever rendered into {desk.store}" in desk.run(command).err


@pytest.mark.parametrize("handle", ["nonsense", "sd1-00000000000000000000000000000000@2"])
def test_settling_something_else_changes_nothing(handle: str, desk: Desk) -> None:
    said = desk.run("settle", handle, "--charged")
    assert said.code == 2
    assert "settle" in said.err


def test_a_report_of_nothing_is_empty_in_every_form(desk: Desk) -> None:
    assert desk.run("report", "--csv").out.startswith("day,claims,stored,")
    assert desk.run("report", "--jsonl").out == ""
    assert desk.run("report").code == 0


def test_the_doctor_says_what_would_work(desk: Desk) -> None:
    said = desk.run("doctor")
    assert said.code == 0, said.err
    assert said.err.count("✓") == 4
    said = desk.run("doctor", RUNPOD_API_KEY="wrong")
    assert said.code == 2
    assert "✗ API" in said.err
    said = desk.run("doctor", RUNPOD_BASE_URL="http://127.0.0.1:9/v2")
    assert said.code == 1
    assert "can't be reached" in said.err


def test_the_doctor_looks_for_prefect_where_a_command_would(desk: Desk) -> None:
    profile = 'active = "work"\n[profiles.work]\nPREFECT_API_URL = "http://127.0.0.1:9/api"\n'
    (desk.folder / "profiles.toml").write_text(profile)
    said = desk.run("doctor", PREFECT_PROFILES_PATH=str(desk.folder / "profiles.toml"))
    assert said.code == 2
    assert "✗ Prefect: The Prefect API at http://127.0.0.1:9/api does not answer" in said.err


def unclear_ones(desk: Desk, emulator: RunningEmulator, *prompts: str) -> list[Record]:
    """What a run leaves whose answers got lost."""

    async def lose_answers() -> list[Record]:
        ledger = Ledger(open_store(desk.store))
        async with RunpodClient(Account("k", emulator.base_url)) as client:
            histories = [await submit(RenderSession(client, ledger), small(prompt)) for prompt in prompts]
        return [history.records[-1] for history in histories]

    emulator.fault("run", "drop_after", times=len(prompts))
    return asyncio.run(lose_answers())


@pytest.mark.parametrize("words", [["settle", "--json"], ["settle"], ["report"], ["report", "--csv"]], ids=" ".join)
def test_what_cannot_be_read_is_named_on_stderr_and_the_rest_is_told(
    words: list[str], desk: Desk, emulator: RunningEmulator
) -> None:
    unclear, damaged = unclear_ones(desk, emulator, "Dawn.", "Noon.")
    (Path(desk.store) / record_path(damaged.key, 2)).write_text("{")
    said = desk.run(*words)
    assert said.code == 3
    assert f"{damaged.key} can't be read" in said.err
    assert damaged.key not in said.out
    if words == ["settle", "--json"]:
        assert [(row["key"], row["record"]) for row in said.document] == [(unclear.key, 2)]
    assert len(emulator.charges) == 2


def test_a_rotated_key_can_settle_what_the_old_one_left(desk: Desk, emulator: RunningEmulator) -> None:
    async def submitted() -> Record:
        async with RunpodClient(Account("k", emulator.base_url)) as client:
            history = await submit(RenderSession(client, Ledger(open_store(desk.store))), small("Dawn."))
        return history.records[-1]

    accepted = asyncio.run(submitted())
    handle = f"{accepted.key}@{accepted.number}"
    assert desk.run("settle", "--json").document == []
    assert desk.run("settle", "--json", RUNPOD_API_KEY="").document == []
    [listed] = desk.run("settle", "--json", RUNPOD_API_KEY="rotated").document
    assert f"{listed['key']}@{listed['record']}" == handle
    assert desk.run("settle", handle, "--charged", RUNPOD_API_KEY="").code == 2
    assert desk.run("settle", handle, "--charged", RUNPOD_API_KEY="rotated").code == 2
    then = time.time() - 200
    os.utime(Path(desk.store) / record_path(accepted.key, accepted.number), (then, then))
    assert desk.run("settle", handle, "--charged", "--json", RUNPOD_API_KEY="rotated").document["status"] == "lost"
    again = desk.run("settle", f"{accepted.key}@{accepted.number + 1}", "--retry", "--json")
    assert (again.code, again.document["status"], again.document["job_id"]) == (0, "accepted", accepted.job_id)
    assert len(emulator.charges) == 1
