"""`render` and its siblings as a person uses them, here and as flows on a Prefect server: exit codes, JSON, Ctrl-C."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commanding import LIGHTHOUSE, Desk
from tests.support.emulating import RunningEmulator
from tests.support.prefect_server import RunningPrefect
from tests.support.s3_server import RunningS3

JOB_SECONDS = 600
HERE, AS_A_FLOW = "here", "as a flow"
in_both_ways = pytest.mark.parametrize("desk", [HERE, AS_A_FLOW], indirect=True)


@pytest.fixture
def desk(request: pytest.FixtureRequest, tmp_path: Path, emulator: RunningEmulator) -> Desk:
    """Without a Prefect API, or with one where a test asks for it."""
    environment = {"RUNPOD_API_KEY": "k-SECRET", "RUNPOD_BASE_URL": emulator.base_url}
    if getattr(request, "param", HERE) == AS_A_FLOW:
        server: RunningPrefect = request.getfixturevalue("prefect_server")
        environment |= server.environment
    return Desk(tmp_path, environment)


@in_both_ways
def test_a_render_pays_once_and_the_next_one_nothing(desk: Desk, emulator: RunningEmulator) -> None:
    first = desk.run("render", desk.board(LIGHTHOUSE), "--json")
    assert first.code == 0, first.err
    manifest = first.document
    assert manifest["schema"] == "prefect-seedance/manifest/1"
    assert (manifest["status"], manifest["spent_usd"]) == ("complete", emulator.bill()["total_usd"])
    on_disk = json.loads((Path(desk.store) / Path(manifest["film"]).parent / "manifest.json").read_text())
    assert on_disk == manifest
    again = desk.run("render", desk.board(LIGHTHOUSE), "--json")
    assert (again.code, again.document["spent_usd"]) == (0, 0)
    assert "this run cost $0.00" in again.err
    planned = desk.run("plan", desk.board(LIGHTHOUSE), "--json").document
    assert [shot["action"] for shot in planned["shots"]] == ["reuse", "reuse"]
    assert len(emulator.charges) == 2


def test_the_same_work_is_paid_once_in_a_bucket_too(
    desk: Desk, s3_server: RunningS3, emulator: RunningEmulator
) -> None:
    desk.store = f"s3://{s3_server.new_bucket()}/films"
    desk.environment |= s3_server.environment
    board = desk.board(LIGHTHOUSE + "      - {id: chained, prompt: Gulls., continue_from: lamp}\n")
    first = desk.run("render", board, "--json")
    assert first.code == 0, first.err
    assert desk.run("render", board, "--json").document["spent_usd"] == 0
    assert len(emulator.charges) == 3


@in_both_ways
@pytest.mark.parametrize(
    ("faults", "code", "statuses", "charges"),
    [
        ([{"fault": "status", "code": 400, "prompt": "lamp"}], 3, ["stored", "refused"], 1),
        ([{"fault": "drop_after", "prompt": "lamp"}], 3, ["stored", "unclear"], 2),
        ([{"fault": "status", "code": 400, "times": 2}], 1, ["refused", "refused"], 0),
        ([{"fault": "status", "code": 401, "times": 2}], 1, ["refused", None], 0),
        ([{"fault": "cancelled", "prompt": "lamp"}], 3, ["stored", "lost"], 2),
        ([{"fault": "status", "code": 429, "retry_after": 0, "times": 3}], 0, ["stored", "stored"], 2),
    ],
    ids=str,
)
def test_the_exit_code_says_how_much_was_stored(
    faults: list[dict[str, object]],
    code: int,
    statuses: list[str | None],
    charges: int,
    desk: Desk,
    emulator: RunningEmulator,
) -> None:
    for fault in faults:
        emulator.fault("run", **fault)  # type: ignore[arg-type]
    said = desk.run("render", desk.board(LIGHTHOUSE), "--json", "--max-in-flight", "1")
    assert said.code == code, said.err
    found = [shot["status"] for shot in said.document["shots"]]
    assert [a for a, b in zip(found, statuses, strict=True) if b] == [b for b in statuses if b]
    assert len(emulator.charges) == charges


@in_both_ways
@pytest.mark.parametrize("limit", ["--budget", "--per-day", "--per-month", "--approve-above"])
def test_a_limit_below_the_plan_prints_the_plan_and_submits_nothing(
    limit: str, desk: Desk, emulator: RunningEmulator
) -> None:
    said = desk.run("render", desk.board(LIGHTHOUSE), limit, "0.09", "--json")
    assert said.code == 4, said.err
    assert said.document["schema"] == "prefect-seedance/plan/1"
    assert "nothing was submitted" in said.err
    assert emulator.calls()["run"] == 0
    assert desk.run("render", desk.board(LIGHTHOUSE), limit, "0.10").code == 0
    assert len(emulator.charges) == 2


@in_both_ways
def test_an_approved_plan_is_rendered_and_its_approval_is_good_once(desk: Desk, emulator: RunningEmulator) -> None:
    emulator.fault("run", "status", code=400, prompt="lamp")
    approve = desk.run("plan", desk.board(LIGHTHOUSE), "--json").document["plan_hash"]
    words = ["render", desk.board(LIGHTHOUSE), "--approve-above", "0.01", "--json"]
    assert desk.run(*words, "--approve", approve).code == 3
    refused = desk.run(*words, "--approve", approve)
    assert refused.code == 4
    assert refused.document["plan_hash"] != approve
    assert desk.run(*words, "--approve", refused.document["plan_hash"]).code == 0
    assert len(emulator.charges) == 2


def test_an_unclear_shot_stays_so_until_a_person_settles_it(desk: Desk, emulator: RunningEmulator) -> None:
    emulator.fault("run", "drop_after", prompt="lamp")
    desk.run("render", desk.board(LIGHTHOUSE))
    assert desk.run("render", desk.board(LIGHTHOUSE)).code == 3
    (listed,) = desk.run("settle", "--json").document
    assert listed["prompt"] == "The lamp burns."
    handle = f"{listed['key']}@{listed['record']}"
    too_early = desk.run("settle", handle, "--not-charged")
    assert too_early.code == 2
    assert "too early" in too_early.err
    job_id = next(charge["job_id"] for charge in emulator.charges if charge["prompt"] == "The lamp burns.")
    assert desk.run("settle", handle, "--job-id", "no-such-job").code == 2
    assert desk.run("settle", handle, "--job-id", job_id, "--json").code == 0
    assert desk.run("settle", handle, "--job-id", job_id).code == 2
    collected = desk.run("collect", "--json")
    assert (collected.code, collected.document["stored"], collected.document["spent_usd"]) == (0, 1, 0)
    assert desk.run("render", desk.board(LIGHTHOUSE), "--json").document["status"] == "complete"
    assert len(emulator.charges) == 2


def _wait_for(path: Path, pattern: str, count: int) -> None:
    """Until the run itself has come so far; the bound only keeps a broken run from hanging the tests."""
    deadline = time.monotonic() + 120
    while len(list(path.rglob(pattern))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def slow_emulator(desk: Desk) -> Iterator[RunningEmulator]:
    """One whose jobs end when a test says so, for a run that shall be stopped before."""
    with RunningEmulator.start(latency=JOB_SECONDS) as running:
        desk.environment["RUNPOD_BASE_URL"] = running.base_url
        yield running


@in_both_ways
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_stopped_render_is_resumed_for_nothing(
    number: signal.Signals, desk: Desk, slow_emulator: RunningEmulator
) -> None:
    process = desk.start("render", desk.board(LIGHTHOUSE))
    _wait_for(Path(desk.store), "0002.json", 2)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert "Traceback" not in err
    if number is signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 128 + number
        assert "nothing is paid twice" in err
    slow_emulator.advance(JOB_SECONDS)
    again = desk.run("render", desk.board(LIGHTHOUSE), "--json")
    assert (again.code, again.document["status"]) == (0, "complete")
    billed = f"${slow_emulator.bill()['total_usd']:.2f}"
    assert f"Today, all runs (UTC): {billed} spent, $0.00 reserved" in desk.run("report").err
    assert len(slow_emulator.charges) == 2


@in_both_ways
def test_a_closed_terminal_stops_a_render_in_good_order(desk: Desk, slow_emulator: RunningEmulator) -> None:
    process = desk.start("render", desk.board(LIGHTHOUSE))
    _wait_for(Path(desk.store), "0002.json", 2)
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 129
    assert "nothing is paid twice" in err
    slow_emulator.advance(JOB_SECONDS)
    assert desk.run("render", desk.board(LIGHTHOUSE)).code == 0
    assert len(slow_emulator.charges) == 2


def test_a_render_whose_words_nobody_reads_goes_on_to_its_end(desk: Desk, emulator: RunningEmulator) -> None:
    process = desk.start("render", desk.board(LIGHTHOUSE), "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stderr.close()
    manifest = json.loads(process.stdout.read())
    assert (process.wait(timeout=120), manifest["status"]) == (0, "complete")
    assert len(emulator.charges) == 2


@pytest.mark.parametrize("damaged", ["2*", "reservations"])
def test_a_damaged_record_of_the_money_holds_up_no_paid_clip(
    damaged: str, desk: Desk, emulator: RunningEmulator
) -> None:
    process = desk.start("render", desk.board(LIGHTHOUSE))
    _wait_for(Path(desk.store), "0002.json", 2)
    process.kill()
    process.communicate(timeout=120)
    max(Path(desk.store).glob(f"spending/{damaged}/*.json")).write_text("{")
    again = desk.run("render", desk.board(LIGHTHOUSE), "--json")
    assert (again.code, again.document["status"], again.document["spent_usd"]) == (0, "complete", 0)
    assert len(emulator.charges) == 2


@in_both_ways
def test_no_secret_is_left_anywhere(desk: Desk) -> None:
    said = desk.run("render", desk.board(LIGHTHOUSE))
    assert said.code == 0, said.err
    assert "k-SECRET" not in said.out + said.err
    home = Path(desk.environment["HOME"])
    assert Path(desk.store).is_relative_to(home)
    files = [file for file in home.rglob("*") if file.is_file()]
    assert any(file.name == "manifest.json" for file in files)
    assert [file for file in files if b"k-SECRET" in file.read_bytes()] == []


def test_a_report_adds_up_to_the_bill(desk: Desk, emulator: RunningEmulator) -> None:
    desk.run("render", desk.board(LIGHTHOUSE))
    (row,) = [json.loads(line) for line in desk.run("report", "--jsonl").out.splitlines()]
    assert (row["stored"], row["spent_usd"]) == (2, emulator.bill()["total_usd"])
    cost = row["spent_usd"]
    told = desk.run("report", "--per-day", "5").err
    assert f"Today, all runs (UTC): ${cost:.2f} spent, $0.00 reserved, ${5 - cost:.2f} left of $5.00." in told
    assert f"This month, all runs (UTC): ${cost:.2f} spent, $0.00 reserved." in told


def test_a_collector_names_what_it_cannot_read(desk: Desk, emulator: RunningEmulator) -> None:
    desk.run("render", desk.board(LIGHTHOUSE))
    damaged = Path(desk.store) / "ledger" / f"sd1-{'0' * 32}"
    damaged.mkdir(parents=True)
    (damaged / "0001.json").write_text("{")
    marker = Path(desk.store) / "ledger-open" / f"{damaged.name}-0001"
    marker.parent.mkdir(exist_ok=True)
    marker.write_text("{")
    collected = desk.run("collect", "--json")
    assert (collected.code, collected.document["running"]) == (3, 0)
    assert [error["key"] for error in collected.document["errors"]] == [damaged.name]
    assert f"{damaged.name} can't be read" in collected.err
    assert len(emulator.charges) == 2
