"""The clips of the pretend Runpod are what was asked for, and made once."""

from __future__ import annotations

import base64
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import httpx
import pytest

from prefect_seedance.video.clips import examine
from tests.support.calling import LATENCY, Caller
from tests.support.emulating import RunningEmulator
from tests.support.pictures import plain_picture

# The process


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
        sound = ["aac"] if fields.get("slug") == "p-video" else []  # whose sound is on unless it is switched off
        assert [stream.codec_context.name for stream in opened.streams] == ["h264", *sound]


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


def test_the_picture_is_seen_in_the_clip(tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(plain_picture((250, 20, 20)))
    with RunningEmulator.start(latency=LATENCY, serve=tmp_path) as emulator:
        caller = Caller(emulator)
        inline = "data:image/png;base64," + base64.b64encode(plain_picture((20, 20, 250))).decode()
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


SAYS_OF_A_CONNECTION = """
import os, signal, socket, sys, threading
from contextlib import suppress
from prefect_seedance.emulator.server import serve

def say():
    caller = int(sys.stdin.readline())
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError), socket.socket(fileno=os.dup(int(number))) as found:
            if found.getpeername()[1:] == (caller,):
                print(found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=say, daemon=True).start()
serve()
"""


def test_an_answer_waits_for_no_acknowledgement() -> None:
    """Without TCP_NODELAY most answers wait 40 ms for one."""
    command, pipe = [sys.executable, "-c", SAYS_OF_A_CONNECTION], subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
    assert process.stdout is not None
    base_url = httpx.URL(process.stdout.readline().strip())
    with socket.create_connection((base_url.host, base_url.port or 0)) as caller:
        caller.sendall(b"GET /calls HTTP/1.1\r\nHost: emulator\r\n\r\n")
        assert caller.recv(1)
        said, _ = process.communicate(f"{caller.getsockname()[1]}\n", timeout=60)
    assert said == "1\n"


# What outlives the process
