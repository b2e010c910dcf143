"""The pretend Runpod keeps the real one's promises, and breaks each of them on request."""

from __future__ import annotations

import base64
import io
import json
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import httpx
import pytest
from emulating import RunningEmulator
from PIL import Image

from prefect_seedance.errors import ClipDamaged
from prefect_seedance.media import examine

SLUG = "seedance-1-0-pro"
LATENCY = 100_000
"""So long that nothing ends before a test lets the clock jump."""


@pytest.fixture(scope="module")
def running() -> Iterator[RunningEmulator]:
    with RunningEmulator.start(latency=LATENCY) as emulator:
        yield emulator


@pytest.fixture
def emulator(running: RunningEmulator) -> Iterator[RunningEmulator]:
    yield running
    running.clear_faults()


class Caller:
    """The API, called as plainly as possible."""

    def __init__(self, emulator: RunningEmulator) -> None:
        self.emulator = emulator
        self.http = httpx.Client(
            base_url=emulator.base_url, headers={"Authorization": "Bearer good"}, trust_env=False, timeout=20
        )

    def run(self, prompt: str = "A lighthouse.", call: str = "run", slug: str = SLUG, **fields: Any) -> httpx.Response:
        asked = {"prompt": prompt, "size": "854x480", "duration": 2, "fps": 24} | fields
        return self.http.post(f"/{slug}/{call}", json={"input": asked})

    def accepted(self, **fields: Any) -> str:
        answer = self.run(**fields)
        assert (answer.status_code, answer.json()["status"]) == (200, "IN_QUEUE")
        return str(answer.json()["id"])

    def look(self, job: str, slug: str = SLUG) -> httpx.Response:
        return self.http.get(f"/{slug}/status/{job}")

    def ended(self, **fields: Any) -> dict[str, Any]:
        """The last answer for a new job."""
        job = self.accepted(**fields)
        self.emulator.advance(LATENCY)
        answer: dict[str, Any] = self.look(job, fields.get("slug", SLUG)).json()
        return answer

    def clip(self, path: Path, **fields: Any) -> Path:
        path.write_bytes(self.http.get(self.ended(**fields)["output"]["video_url"]).content)
        return path

    def charge(self, job: str) -> float:
        return next(float(row["usd"]) for row in self.emulator.bill()["charges"] if row["job_id"] == job)


@pytest.fixture
def caller(emulator: RunningEmulator) -> Iterator[Caller]:
    caller = Caller(emulator)
    yield caller
    caller.http.close()


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


def test_a_taken_port_is_one_sentence_and_code_2(emulator: RunningEmulator) -> None:
    command = [sys.executable, "-m", "prefect_seedance.emulator", "--port", str(emulator.port)]
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


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer"}, {"Authorization": "Bearer wrong"}])
def test_a_call_without_a_good_key_is_401(emulator: RunningEmulator, headers: dict[str, str]) -> None:
    before = emulator.bill()
    with httpx.Client(base_url=emulator.base_url, headers=headers) as stranger:
        for answer in (
            stranger.post(f"/{SLUG}/run", json={"input": {"prompt": "x"}}),
            stranger.get(f"/{SLUG}/status/x-u1"),
            stranger.post(f"/{SLUG}/cancel/x-u1"),
        ):
            assert (answer.status_code, answer.json()["status"]) == (401, 401)
    assert emulator.bill() == before


def test_an_unknown_endpoint_and_an_unknown_job_are_told_apart(caller: Caller) -> None:
    gone = {"status": 404, "title": "Not Found"}
    assert caller.look("x-u1", slug="no-such-model").json() == gone | {"detail": "endpoint not found"}
    assert caller.run(slug="no-such-model").json() == gone | {"detail": "endpoint not found"}
    assert caller.look("x-u1").json() == gone | {"detail": "job not found"}


def test_health_says_whether_an_endpoint_exists(emulator: RunningEmulator) -> None:
    known = httpx.get(f"{emulator.base_url}/{SLUG}/health")
    unknown = httpx.get(f"{emulator.base_url}/no-such-model/health")
    assert (known.status_code, known.json()["detail"]) == (401, "no token provided")
    assert (unknown.status_code, unknown.json()["detail"]) == (404, "endpoint not found")


@pytest.mark.parametrize("size", ["854*480", "big", "", "854x"])
def test_a_malformed_size_is_400_and_no_job(caller: Caller, size: str) -> None:
    before = caller.emulator.bill()
    answer = caller.run(size=size)
    assert answer.status_code == 400
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


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"size": "854x480", "duration": 5}, (864, 480, 24, 120, 5)),
        ({"size": "1920x1080", "duration": 2}, (1920, 1088, 24, 48, 2)),
        ({"size": "1280x720", "duration": 3}, (1248, 704, 24, 72, 3)),
        ({"size": "544x736", "duration": 2}, (544, 736, 24, 48, 2)),
        (
            {"slug": "p-video", "resolution": "720p", "aspect_ratio": "9:16", "fps": 48, "duration": 1},
            (720, 1280, 48, 48, 1),
        ),
        ({"slug": "wan-2-6-t2v", "size": "1280*720", "duration": 5}, (1248, 704, 24, 120, 5)),
    ],
)
def test_a_clip_decodes_with_size_length_and_rate(
    caller: Caller, tmp_path: Path, fields: dict[str, Any], shown: tuple[int, ...]
) -> None:
    clip = caller.clip(tmp_path / "clip.mp4", **fields)
    footage = examine(clip)
    assert (footage.width, footage.height, footage.fps, footage.frames, footage.seconds) == shown
    content = clip.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    with av.open(str(clip)) as opened:
        assert [stream.codec_context.name for stream in opened.streams] == ["h264"]


def test_every_frame_differs_from_the_one_before(caller: Caller, tmp_path: Path) -> None:
    with av.open(str(caller.clip(tmp_path / "clip.mp4"))) as clip:
        frames = [frame.to_image().crop((0, 400, 864, 480)).tobytes() for frame in clip.decode(video=0)]
    assert len(set(frames)) == 48


def test_a_clip_can_be_had_in_pieces(caller: Caller) -> None:
    link = caller.ended()["output"]["video_url"]
    whole, head = caller.http.get(link), caller.http.head(link)
    tag, size = whole.headers["etag"], len(whole.content)
    assert (head.headers["etag"], int(head.headers["content-length"]), head.content) == (tag, size, b"")
    rest = caller.http.get(link, headers={"Range": "bytes=1000-", "If-Range": tag})
    assert (rest.status_code, rest.headers["content-range"]) == (206, f"bytes 1000-{size - 1}/{size}")
    assert rest.content == whole.content[1000:]
    again = caller.http.get(link, headers={"Range": "bytes=1000-", "If-Range": '"another"'})
    assert (again.status_code, again.content) == (200, whole.content)
    assert caller.http.get(link, headers={"Range": f"bytes={size}-"}).status_code == 416


def picture(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (400, 400), colour).save(file, "PNG")
    return file.getvalue()


def test_the_picture_is_seen_in_the_clip(tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(picture((250, 20, 20)))
    with RunningEmulator.start(latency=LATENCY, serve=tmp_path) as emulator:
        caller = Caller(emulator)
        inline = "data:image/png;base64," + base64.b64encode(picture((20, 20, 250))).decode()
        for link, strongest in ((f"{emulator.public_base_url}/red.png", 0), (inline, 2)):
            with av.open(str(caller.clip(tmp_path / "clip.mp4", image=link))) as clip:
                pixel = next(clip.decode(video=0)).to_image().getpixel((30, 120))
            assert pixel.index(max(pixel)) == strongest
            assert max(pixel) > 150


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        ("http://127.0.0.1:1/a.png", "did not answer"),
        ("https://example.com/a.png", "not on this machine"),
        ("http://127.0.0.1.example.com/a.png", "not on this machine"),
        ("http://10.0.0.1/a.png", "not on this machine"),
        ("file:///etc/hostname", "not on this machine"),
        ("data:image/png;base64,AAAA", "can't be decoded"),
        ("data:image/png;base64,*", "not base64"),
    ],
)
def test_a_picture_that_cannot_be_had_fails_the_job_for_nothing(caller: Caller, link: str, reason: str) -> None:
    body = caller.ended(image=link)
    assert (body["status"], caller.charge(body["id"])) == ("FAILED", 0)
    assert body["error"].startswith("Error submitting task: 400, {")
    assert reason in body["error"]


def test_nothing_is_rendered_before_somebody_downloads_it(tmp_path: Path) -> None:
    """A rehearsal of a thousand shots must not cost a thousand renderings."""
    with RunningEmulator.start(latency=0.001, state=tmp_path / "state") as emulator:
        jobs = [Caller(emulator).run(call="runsync").json() for _ in range(3)]
        assert list((tmp_path / "state.clips").iterdir()) == []
        httpx.get(jobs[1]["output"]["video_url"])
        assert [path.name for path in (tmp_path / "state.clips").iterdir()] == [f"{jobs[1]['id']}.mp4"]


def test_many_may_ask_for_one_clip_at_once(caller: Caller) -> None:
    link = caller.ended()["output"]["video_url"]
    with ThreadPoolExecutor(8) as pool:
        assert len({answer.content for answer in pool.map(httpx.get, [link] * 8)}) == 1


def test_an_answer_takes_no_longer_than_its_work(caller: Caller) -> None:
    """Without TCP_NODELAY each answer waits 40 ms for an acknowledgement."""
    times = []
    for _ in range(50):
        began = time.perf_counter()
        caller.look("x-u1")
        times.append(time.perf_counter() - began)
    assert statistics.median(times) < 0.03


# What outlives the process


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


# Faults of a POST: what the client sees, and whether it is on the bill


@pytest.mark.parametrize("call", ["run", "runsync"])
@pytest.mark.parametrize(
    ("fault", "error", "charged"),
    [
        ({"fault": "drop"}, httpx.RemoteProtocolError, 0),
        ({"fault": "drop_after"}, httpx.RemoteProtocolError, 1),
        ({"fault": "silent", "seconds": 0.1}, httpx.RemoteProtocolError, 1),
        ({"fault": "silent", "seconds": 0.1, "accept": False}, httpx.RemoteProtocolError, 0),
        ({"fault": "half"}, httpx.RemoteProtocolError, 1),
    ],
)
def test_a_broken_connection_is_seen_as_one(
    call: str, fault: dict[str, Any], error: type[Exception], charged: int, instant: RunningEmulator
) -> None:
    before = len(instant.charges)
    instant.fault(call, **fault)
    with pytest.raises(error):
        Caller(instant).run(call=call)
    assert len(instant.charges) - before == charged


@pytest.fixture(scope="module")
def instant() -> Iterator[RunningEmulator]:
    """Completes every job at once."""
    with RunningEmulator.start(latency=0.001) as emulator:
        yield emulator


def test_silence_lasts_until_the_client_gives_up(caller: Caller) -> None:
    before = len(caller.emulator.charges)
    caller.emulator.fault("run", "silent")
    caller.http.timeout = httpx.Timeout(0.3)
    with pytest.raises(httpx.ReadTimeout):
        caller.run()
    assert len(caller.emulator.charges) - before == 1


@pytest.mark.parametrize(
    ("fault", "code", "kind", "charged"),
    [
        ({"fault": "status", "code": 500}, 500, "application/json", 0),
        ({"fault": "status", "code": 502, "html": True}, 502, "text/html; charset=utf-8", 0),
        ({"fault": "status", "code": 524, "html": True}, 524, "text/html; charset=utf-8", 0),
        ({"fault": "status", "code": 503, "accept": True}, 503, "application/json", 1),
        ({"fault": "status", "code": 400}, 400, "application/json", 0),
        ({"fault": "status", "code": 401}, 401, "application/json", 0),
        ({"fault": "status", "code": 403}, 403, "application/json", 0),
        ({"fault": "status", "code": 404}, 404, "application/json", 0),
        ({"fault": "html"}, 200, "text/html; charset=utf-8", 0),
        ({"fault": "no_id"}, 200, "application/json", 1),
        ({"fault": "redirect"}, 307, None, 1),
        ({"fault": "slow", "seconds": 0}, 200, "application/json", 1),
    ],
)
def test_a_post_gets_the_wrong_answer(
    caller: Caller, fault: dict[str, Any], code: int, kind: str | None, charged: int
) -> None:
    before = len(caller.emulator.charges)
    caller.emulator.fault("run", **fault)
    answer = caller.run()
    assert (answer.status_code, answer.headers.get("content-type")) == (code, kind)
    assert ('"id"' in answer.text) == (fault["fault"] == "slow" or code == 400)
    assert len(caller.emulator.charges) - before == charged
    assert caller.run().status_code == 200  # once only


def test_too_many_requests_says_when_to_come_back(caller: Caller) -> None:
    caller.emulator.fault("run", "status", code=429, retry_after=1.5)
    answer = caller.run()
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1.5")
    assert answer.json()["title"] == "Too Many Requests"


def test_who_follows_a_redirected_post_pays_twice(caller: Caller) -> None:
    before = len(caller.emulator.charges)
    caller.emulator.fault("run", "redirect")
    caller.http.follow_redirects = True
    caller.accepted()
    assert len(caller.emulator.charges) - before == 2


def test_a_gateway_can_accept_after_it_gave_up(caller: Caller) -> None:
    before = caller.emulator.bill()
    caller.emulator.fault("run", "accept_late", seconds=300)
    assert caller.run().status_code == 504
    assert caller.emulator.bill() == before
    caller.emulator.advance(300)
    assert len(caller.emulator.bill()["charges"]) - len(before["charges"]) == 1


# Faults of a job


@pytest.mark.parametrize("on", ["run", "status"])
@pytest.mark.parametrize(
    ("fault", "word", "error", "usd"),
    [
        ({"fault": "moderated"}, "FAILED", "InputTextSensitiveContentDetected", 0),
        ({"fault": "failed", "error": "worker lost"}, "FAILED", "worker lost", 0),
        ({"fault": "failed", "cost": 0.03}, "FAILED", "crashed", 0.03),
        ({"fault": "timed_out"}, "TIMED_OUT", "", 0),
        ({"fault": "cancelled"}, "CANCELLED", "", 0.05),
    ],
)
def test_a_job_ends_badly(caller: Caller, on: str, fault: dict[str, Any], word: str, error: str, usd: float) -> None:
    caller.emulator.fault(on, **fault)
    body = caller.ended()
    assert body["status"] == word
    assert error in body.get("error", "")
    assert body.get("output", {}).get("cost") == fault.get("cost")
    assert "video_url" not in body.get("output", {})
    assert caller.charge(body["id"]) == usd
    assert caller.look(body["id"]).json() == body  # for good


def test_the_moderation_error_is_json_in_a_string(caller: Caller) -> None:
    caller.emulator.fault("run", "moderated")
    nested = json.loads(caller.ended()["error"].partition(", ")[2])
    assert nested["error"]["code"] == "InputTextSensitiveContentDetected"


def test_a_job_can_run_for_ever(caller: Caller) -> None:
    caller.emulator.fault("run", "never")
    body = caller.ended()
    caller.emulator.advance(30 * 24 * 3600)
    assert caller.look(body["id"]).json()["status"] == "IN_PROGRESS"
    assert caller.charge(body["id"]) == 0.05


@pytest.mark.parametrize("on", ["run", "status"])
def test_a_record_can_vanish(caller: Caller, on: str) -> None:
    caller.emulator.fault(on, "purged")
    job = caller.accepted()
    assert [caller.look(job).json()["detail"] for _ in range(2)] == ["job not found"] * 2
    assert caller.charge(job) == 0.05


def test_a_fresh_job_can_be_hidden_for_a_while(caller: Caller) -> None:
    caller.emulator.fault("status", "hidden", times=2)
    caller.look("no-such-job")  # is not counted
    job = caller.accepted()
    assert [caller.look(job).status_code for _ in range(3)] == [404, 404, 200]


def test_an_unknown_word_can_come_up(caller: Caller) -> None:
    caller.emulator.fault("status", "unknown_word", times=2)
    job = caller.accepted()
    words = [caller.look(job).json()["status"] for _ in range(3)]
    assert words == ["WARMING_UP", "WARMING_UP", "IN_QUEUE"]


@pytest.mark.parametrize("shape", ["result", "url", "bare", "none"])
@pytest.mark.parametrize("call", ["run", "runsync"])
def test_the_output_has_many_shapes(instant: RunningEmulator, call: str, shape: str) -> None:
    caller = Caller(instant)
    instant.fault("status" if call == "run" else call, "shape", as_=shape)
    body = caller.run(call=call).json()
    while body["status"] != "COMPLETED":
        body = caller.look(body["id"]).json()
    link = f"{instant.origin}/media/{body['id']}/output.mp4"
    shapes = {"result": {"result": link, "cost": 0.05}, "url": {"url": link, "cost": 0.05}, "bare": link}
    assert body["output"] == shapes.get(shape, {"cost": 0.05})


@pytest.mark.parametrize("on", ["status", "cancel", "media"])
def test_every_call_can_break(caller: Caller, on: str) -> None:
    body = caller.ended()
    calls = {
        "status": lambda: caller.look(body["id"]),
        "cancel": lambda: caller.http.post(f"/{SLUG}/cancel/{body['id']}"),
        "media": lambda: caller.http.get(body["output"]["video_url"]),
    }
    for fault in ("drop", "drop_after", "half"):
        caller.emulator.fault(on, fault)
        with pytest.raises(httpx.RemoteProtocolError):
            calls[on]()
    for code in (401, 403, 404, 429, 500, 502):
        caller.emulator.fault(on, "status", code=code)
        assert calls[on]().status_code == code
    caller.emulator.fault(on, "html")
    assert "<html>" in calls[on]().text
    assert calls[on]().status_code == 200


# Faults of a download


def test_a_download_breaks_off_in_the_middle(caller: Caller) -> None:
    link = caller.ended()["output"]["video_url"]
    whole = caller.http.get(link).content
    caller.emulator.fault("media", "truncated")
    got: list[bytes] = []
    with caller.http.stream("GET", link) as answer:
        assert int(answer.headers["content-length"]) == len(whole)
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
            got.extend(answer.iter_raw())
    assert b"".join(got) == whole[: len(whole) // 2]
    assert caller.http.get(link).content == whole


@pytest.mark.parametrize("fault", ["short", "corrupt"])
def test_a_download_that_looks_whole_can_be_damaged(caller: Caller, tmp_path: Path, fault: str) -> None:
    link = caller.ended()["output"]["video_url"]
    whole = caller.http.get(link).content
    caller.emulator.fault("media", fault)
    answer = caller.http.get(link)
    assert answer.status_code == 200
    assert (len(answer.content) < len(whole)) == (fault == "short")
    (tmp_path / "clip.mp4").write_bytes(answer.content)
    with pytest.raises(ClipDamaged):
        examine(tmp_path / "clip.mp4")


def test_a_link_can_be_gone(caller: Caller) -> None:
    link = caller.ended()["output"]["video_url"]
    caller.emulator.fault("media", "gone")
    assert [caller.http.get(link).status_code for _ in range(2)] == [404, 200]


def test_a_download_can_be_slow(caller: Caller) -> None:
    link = caller.ended()["output"]["video_url"]
    caller.http.get(link)
    caller.emulator.fault("media", "slow", seconds=60)
    caller.http.timeout = httpx.Timeout(0.3)
    with pytest.raises(httpx.ReadTimeout):
        caller.http.get(link)


# The rules


def test_a_rule_counts_the_calls_it_matches(caller: Caller) -> None:
    caller.emulator.fault("run", "status", code=503, prompt="storm", after=1, times=2)
    codes = [caller.run(prompt=prompt).status_code for prompt in ("calm", *["a storm at sea"] * 4, "calm")]
    assert codes == [200, 200, 503, 503, 200, 200]


def test_of_two_rules_each_strikes_in_its_turn(caller: Caller) -> None:
    for code in (502, 503):
        caller.emulator.fault("run", "status", code=code)
    assert [caller.run().status_code for _ in range(3)] == [502, 503, 200]


def test_rules_come_from_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "faults.json").write_text('[{"on": "run", "fault": "status", "code": 418}]')
    with RunningEmulator.start(faults=tmp_path / "faults.json") as emulator:
        assert [Caller(emulator).run().status_code for _ in range(2)] == [418, 200]


@pytest.mark.parametrize(
    "rule", [{"on": "run", "fault": "nonsense"}, {"on": "media", "fault": "moderated"}, {"on": "run", "fault": "short"}]
)
def test_a_rule_that_makes_no_sense_is_refused(emulator: RunningEmulator, rule: dict[str, str]) -> None:
    with pytest.raises(AssertionError, match=rule["fault"]):
        emulator.fault(**rule)


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
