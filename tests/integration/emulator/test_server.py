"""The pretend Runpod keeps the real one's promises."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.calling import LATENCY, SLUG, Caller
from tests.support.emulating import RunningEmulator

# The process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_quietly_even_while_a_call_is_held(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "prefect_seedance.emulator"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    base_url = process.stdout.readline().strip()
    origin = base_url.removesuffix("/v2")
    httpx.post(f"{origin}/faults", json=[{"on": "health", "fault": "silent"}])
    with socket.create_connection((httpx.URL(origin).host, httpx.URL(origin).port or 0)) as held:
        held.sendall(f"GET /v2/{SLUG}/health HTTP/1.1\r\nHost: emulator\r\n\r\n".encode())
        while httpx.get(f"{origin}/calls").json()["health"] == 0:
            pass
        process.send_signal(number)
        rest, complaints = process.communicate(timeout=30)
    assert (process.returncode, rest, complaints) == (0, "", "")


def test_it_ends_with_its_parent() -> None:
    code = (
        "import os, subprocess, sys; os.environ['PREFECT_SEEDANCE_EMULATOR_PARENT'] = str(os.getpid());"
        "emulator = subprocess.Popen([sys.executable, '-m', 'prefect_seedance.emulator'], stdout=subprocess.PIPE);"
        "print(emulator.pid, emulator.stdout.readline().decode(), flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid, base_url = parent.stdout.readline().split()
    assert httpx.get(f"{base_url}/{SLUG}/health").status_code == 401
    parent.kill()
    parent.communicate()
    until = time.monotonic() + 30
    while _alive(int(pid)):
        assert time.monotonic() < until, "the emulator outlived its parent"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and that nobody has asked about does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("content", "complaint"),
    [("[{]", "list of faults"), ('[{"on": "run", "fault": "nonsense"}]', "list of faults"), (None, "can't be read")],
)
def test_a_bad_fault_file_is_one_sentence_and_code_2(tmp_path: Path, content: str | None, complaint: str) -> None:
    file = tmp_path / "faults.json"
    if content is not None:
        file.write_text(content)
    command = [sys.executable, "-m", "prefect_seedance.emulator", "--faults", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_one_sentence_and_code_2(caller: Caller) -> None:
    command = [sys.executable, "-m", "prefect_seedance.emulator", "--port", str(caller.emulator.port)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "choose another --port" in done.stderr


# The envelope


def test_a_job_waits_runs_and_completes_as_documented(caller: Caller) -> None:
    job = caller.accepted()
    assert caller.look(job).json() == {"id": job, "status": "IN_QUEUE"}
    caller.emulator.advance(LATENCY / 2)
    assert caller.look(job).json()["status"] == "IN_PROGRESS"
    caller.emulator.advance(LATENCY / 2)
    assert caller.look(job).json() == {
        "id": job,
        "status": "COMPLETED",
        "delayTime": LATENCY / 5 * 1000,
        "executionTime": LATENCY * 4 / 5 * 1000,
        "workerId": "emulator0",
        "output": {"video_url": f"{caller.emulator.origin}/media/{job}/output.mp4", "cost": 0.05},
    }


def test_runsync_answers_with_the_clip_or_with_a_running_job() -> None:
    with RunningEmulator.start(latency=0.01) as quick:
        body = Caller(quick).run(call="runsync").json()
        assert (body["id"][:5], body["status"], body["output"]["cost"]) == ("sync-", "COMPLETED", 0.05)
        assert Caller(quick).look(body["id"]).json() == body
    with RunningEmulator.start(latency=LATENCY, speed=100) as slow:
        body = Caller(slow).run(call="runsync?wait=1000").json()
        assert body["status"] == "IN_QUEUE"
        assert len(slow.charges) == 1


def test_status_sync_answers_when_the_job_has_ended_or_the_wait_is_over(caller: Caller) -> None:
    job = caller.accepted()
    assert caller.http.get(f"/{SLUG}/status-sync/{job}?wait=1000").json() == {"id": job, "status": "IN_QUEUE"}
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(caller.http.get, f"/{SLUG}/status-sync/{job}")
        caller.emulator.advance(LATENCY)
        assert waiting.result(timeout=20).json() == caller.look(job).json()
    assert caller.look(job).json()["status"] == "COMPLETED"
    gone = caller.http.get(f"/{SLUG}/status-sync/nobody-u1")
    assert (gone.status_code, gone.json()["detail"]) == (404, "job not found")
    assert caller.http.get(f"/{SLUG}/status-sync/{job}?wait=soon").status_code == 400


@pytest.mark.parametrize("wait", ["soon", "-1", "1.5", "", "9999999999"])
def test_a_wait_that_is_no_number_is_refused_before_there_is_a_job(caller: Caller, wait: str) -> None:
    before = caller.emulator.bill()
    answer = caller.run(call=f"runsync?wait={wait}")
    assert (answer.status_code, answer.json()["status"]) == (400, "FAILED")
    assert "wait" in answer.json()["error"]
    assert caller.emulator.bill() == before


@pytest.mark.parametrize(
    ("method", "path", "code", "detail"),
    [
        ("GET", f"/{SLUG}/nothing-here", 404, "not found"),
        ("GET", f"/{SLUG}", 404, "not found"),
        ("POST", f"/{SLUG}/run/deeper", 404, "not found"),
        ("GET", "/no-such-model/nothing-here", 404, "endpoint not found"),
        ("GET", "/", 404, "not found"),
    ],
)
def test_an_unknown_path_is_answered_as_the_api_answers(
    caller: Caller, method: str, path: str, code: int, detail: str
) -> None:
    answer = caller.http.request(method, path)
    assert answer.json() == {"status": code, "title": "Not Found", "detail": detail}
    assert answer.status_code == code


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer"}, {"Authorization": "Bearer wrong"}])
def test_a_call_without_a_good_key_is_401(caller: Caller, headers: dict[str, str]) -> None:
    before = caller.emulator.bill()
    with httpx.Client(base_url=caller.emulator.base_url, headers=headers) as stranger:
        for answer in (
            stranger.post(f"/{SLUG}/run", json={"input": {"prompt": "x"}}),
            stranger.get(f"/{SLUG}/status/x-u1"),
            stranger.post(f"/{SLUG}/cancel/x-u1"),
        ):
            assert (answer.status_code, answer.json()["status"]) == (401, 401)
    assert caller.emulator.bill() == before


def test_an_unknown_endpoint_and_an_unknown_job_are_told_apart(caller: Caller) -> None:
    gone = {"status": 404, "title": "Not Found"}
    assert caller.look("x-u1", slug="no-such-model").json() == gone | {"detail": "endpoint not found"}
    assert caller.run(slug="no-such-model").json() == gone | {"detail": "endpoint not found"}
    assert caller.look("x-u1").json() == gone | {"detail": "job not found"}


def test_health_says_whether_an_endpoint_exists(caller: Caller) -> None:
    known = httpx.get(f"{caller.emulator.base_url}/{SLUG}/health")
    unknown = httpx.get(f"{caller.emulator.base_url}/no-such-model/health")
    assert (known.status_code, known.json()["detail"]) == (401, "no token provided")
    assert (unknown.status_code, unknown.json()["detail"]) == (404, "endpoint not found")


@pytest.mark.parametrize("size", ["854*480", "big", "", "854x"])
@pytest.mark.parametrize(("call", "prefix"), [("run", ""), ("runsync", "sync-")])
def test_a_malformed_size_is_400_and_no_job(caller: Caller, size: str, call: str, prefix: str) -> None:
    before = caller.emulator.bill()
    answer = caller.run(call=call, size=size)
    assert answer.status_code == 400
    assert re.fullmatch(prefix + "[0-9a-f-]{36}-u1", answer.json()["id"])
    assert answer.json() | {"id": "any"} == {
        "id": "any",
        "status": "FAILED",
        "error": "Invalid parameter: size format must be widthxheight",
    }
    assert caller.emulator.bill() == before


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"input": 1}'])
def test_a_body_without_input_is_400(caller: Caller, body: bytes) -> None:
    assert caller.http.post(f"/{SLUG}/run", content=body).status_code == 400


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"size": "100x100"}, "size"),
        ({"duration": 60}, "duration"),
        ({"fps": 25}, "fps"),
        ({"prompt": " "}, "prompt"),
        ({"slug": "wan-2-6-i2v", "size": "720p", "duration": 5}, "image"),
        ({"slug": "wan-2-6-i2v", "size": "1280*720", "duration": 5, "image": "http://127.0.0.1/a.png"}, "720p"),
    ],
)
def test_what_the_vendor_refuses_late_fails_and_costs_nothing(
    caller: Caller, fields: dict[str, Any], complaint: str
) -> None:
    body = caller.ended(**fields)
    assert body["status"] == "FAILED"
    assert body["error"].startswith("Error submitting task: 400, {")
    assert complaint in json.loads(body["error"].partition(", ")[2])["message"]
    assert caller.charge(body["id"]) == 0


def test_the_record_is_forgotten_after_30_minutes_and_the_link_after_7_days(caller: Caller) -> None:
    body = caller.ended()
    link = body["output"]["video_url"]
    caller.emulator.advance(29 * 60)
    assert caller.look(body["id"]).json() == body
    caller.emulator.advance(2 * 60)
    assert caller.look(body["id"]).json()["detail"] == "job not found"
    caller.emulator.advance(6 * 24 * 3600)
    assert caller.http.head(link).status_code == 200
    caller.emulator.advance(24 * 3600)
    assert caller.http.head(link).status_code == 404


def test_a_cancelled_job_is_charged_once_it_runs(caller: Caller) -> None:
    queued, running = caller.accepted(), caller.accepted()
    assert caller.http.post(f"/{SLUG}/cancel/{queued}").json() == {"id": queued, "status": "CANCELLED"}
    caller.emulator.advance(LATENCY / 2)
    assert caller.http.post(f"/{SLUG}/cancel/{running}").json() == {"id": running, "status": "CANCELLED"}
    caller.emulator.advance(60)
    assert caller.look(running).json()["status"] == "CANCELLED"
    assert (caller.charge(queued), caller.charge(running)) == (0, 0.05)


# The clips


def test_jobs_bill_clock_and_bytes_survive_a_kill(tmp_path: Path) -> None:
    state = tmp_path / "state.jsonl"
    emulator = RunningEmulator.start(latency=LATENCY, state=state)
    caller = Caller(emulator)
    caller.clip(tmp_path / "before.mp4", prompt="first")
    emulator.advance(600)
    failed = caller.ended(prompt=" ")["id"]
    waiting = caller.accepted(prompt="second")
    bill, jobs = emulator.bill(), [row["job_id"] for row in emulator.bill()["charges"]]
    emulator.kill()
    with state.open("a") as file:
        file.write('{"job": {"id": "half a li')
    shutil.rmtree(f"{state}.clips")

    with RunningEmulator.start(latency=LATENCY, state=state, port=emulator.port) as again:
        caller = Caller(again)
        assert again.bill() == bill
        assert caller.look(waiting).json()["status"] == "IN_QUEUE"
        assert caller.look(failed).json()["status"] == "FAILED"
        link = f"{again.origin}/media/{jobs[0]}/output.mp4"
        assert caller.http.get(link).content == (tmp_path / "before.mp4").read_bytes()
        caller.accepted(prompt="third")
        assert [row["prompt"] for row in again.bill()["charges"]] == ["first", " ", "second", "third"]


def test_served_files_end_at_the_folder(tmp_path: Path) -> None:
    served = tmp_path / "served"
    (served / "below").mkdir(parents=True)
    (served / "below" / "a.txt").write_text("public")
    (tmp_path / "secret.txt").write_text("secret")
    (served / "link.txt").symlink_to(tmp_path / "secret.txt")
    with RunningEmulator.start(serve=served) as emulator:
        assert httpx.get(f"{emulator.public_base_url}/below/a.txt").text == "public"
        for path in ("../secret.txt", "%2e%2e/secret.txt", "..%2fsecret.txt", "link.txt", "below/../../secret.txt"):
            answer = subprocess.run(
                ["curl", "-s", "--path-as-is", f"{emulator.public_base_url}/{path}"], capture_output=True, check=True
            )
            assert b"secret" not in answer.stdout


# The bill


def test_calls_are_counted_by_kind() -> None:
    with RunningEmulator.start(latency=0.001) as emulator:
        caller = Caller(emulator)
        job = caller.run(call="runsync").json()
        for _ in range(2):
            caller.look(job["id"])
        caller.http.get(job["output"]["video_url"])
        assert emulator.calls() == {"run": 0, "runsync": 1, "status": 2, "cancel": 0, "media": 1, "health": 0}


def test_the_bill_is_of_the_catalog(caller: Caller) -> None:
    job = caller.accepted(prompt="priced", size="1920x1080", duration=10)
    row = next(row for row in caller.emulator.bill()["charges"] if row["job_id"] == job)
    assert row | {"at": "any"} == {
        "job_id": job,
        "slug": SLUG,
        "prompt": "priced",
        "size": "1920x1080",
        "duration": 10,
        "usd": 1.22,
        "at": "any",
        "status": "IN_QUEUE",
    }
