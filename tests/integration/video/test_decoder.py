"""Clips are decoded in processes of their own, which no run depends on."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path

import av
import pytest
from PIL import Image

from prefect_seedance.emulator.testcard import Card, render
from prefect_seedance.errors import ClipDamaged, DownloadFailed
from prefect_seedance.models import Footage
from prefect_seedance.video import clips, decoder, decoding
from tests.support.processes import until


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    render(Card("A lighthouse.", 1, "seedance-1-0-pro", 160, 160, 1, 24), tmp_path / "clip.mp4")
    return tmp_path / "clip.mp4"


def examine(clip: Path) -> Footage:
    return asyncio.run(decoder.examine(clip))


def decoders(of: int) -> list[int]:
    """The decoders that the process *of* has started and that still run."""
    children = [int(pid) for file in Path(f"/proc/{of}/task").glob("*/children") for pid in shown(file).split()]
    return [pid for pid in children if b"prefect_seedance.video.decoding" in shown(Path(f"/proc/{pid}/cmdline"))]


def shown(file: Path) -> bytes:
    """What the system shows of a thread or a process: nothing of one that has ended."""
    try:
        return file.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def ended(pid: int) -> bool:
    return shown(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split()[:1] in ([], [b"Z"], [b"X"])


def test_it_says_what_decoding_here_says(clip: Path, tmp_path: Path) -> None:
    assert examine(clip) == Footage(**clips.examine(clip).as_fields())
    (tmp_path / "half.mp4").write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    said = []
    for decode in (examine, clips.examine):
        with pytest.raises(ClipDamaged) as caught:
            decode(tmp_path / "half.mp4")
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_the_pass_that_verifies_a_clip_also_makes_its_pictures(clip: Path, tmp_path: Path) -> None:
    here, there = ({"poster": tmp_path / f"{at}.jpg", "last_frame": tmp_path / f"{at}.png"} for at in ("here", "there"))
    assert asyncio.run(decoder.examine(clip, **there)) == Footage(**clips.examine(clip, **here).as_fields())
    for kind, picture in there.items():
        assert picture.read_bytes() == here[kind].read_bytes()


def test_decoders_leave_the_processor_to_what_pays_and_waits(clip: Path) -> None:
    examine(clip)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert {os.getpriority(os.PRIO_PROCESS, pid) for pid in decoders(os.getpid())} == {min(own + decoding.NICENESS, 19)}


def one_frame(path: Path, width: int, height: int, *, noise: bool = False) -> Path:
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=24, options={"preset": "ultrafast", "qp": "1"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        frame = av.VideoFrame(width, height, "yuv420p")
        for plane in frame.planes:
            plane.update(os.urandom(plane.buffer_size) if noise else bytes(plane.buffer_size))
        film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    return path


@contextmanager
def no_more_memory() -> Iterator[None]:
    """Leave the decoders what they have: no test should fill some GiB."""
    before = {pid: resource.prlimit(pid, resource.RLIMIT_AS) for pid in decoders(os.getpid())}
    for pid, (_, hard) in before.items():
        taken = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(pid, resource.RLIMIT_AS, (taken, hard))
    try:
        yield
    finally:
        for pid, limit in before.items():
            resource.prlimit(pid, resource.RLIMIT_AS, limit)


def test_a_clip_that_needs_more_memory_than_a_decoder_may_have_is_damaged_and_the_next_is_read(
    clip: Path, tmp_path: Path
) -> None:
    large = one_frame(tmp_path / "large.mp4", 1920, 1080, noise=True)
    examine(clip)
    had = decoders(os.getpid())
    with no_more_memory(), pytest.raises(ClipDamaged, match="needs more memory than 4 GiB"):
        examine(large)
    assert examine(large).frames == 1
    assert examine(clip).frames == 24
    assert decoders(os.getpid()) == had


def test_a_decoder_has_a_bound_of_memory_and_goes_first_where_memory_ends(clip: Path) -> None:
    examine(clip)
    started = decoders(os.getpid())
    assert started
    for pid in started:
        assert resource.prlimit(pid, resource.RLIMIT_AS)[0] == decoding.MOST_MEMORY
        assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "1000\n"


def test_frames_larger_than_any_screen_are_damage(tmp_path: Path) -> None:
    """Few bytes can unpack to gigabytes."""
    with pytest.raises(ClipDamaged):
        examine(one_frame(tmp_path / "clip.mp4", 8192, 4336))


def test_the_clip_that_proves_the_decoder_is_shipped_and_whole() -> None:
    asyncio.run(decoder.prove())


def strangers_files(folder: Path, clip: Path) -> dict[str, bytes]:
    pictures = {}
    for kind in ("PNG", "GIF", "JPEG", "WEBP"):
        file = BytesIO()
        Image.new("RGB", (640, 640), (40, 90, 120)).save(file, kind)
        pictures[kind] = file.getvalue()
    with av.open(str(folder / "clip.mkv"), "w", format="matroska") as target, av.open(str(clip)) as source:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return pictures | {
        "list": f"ffconcat version 1.0\nfile {clip.name}\n".encode(),
        "absolute list": f"ffconcat version 1.0\nfile {clip}\n".encode(),
        "playlist": f"#EXTM3U\n#EXTINF:1,\n{clip}\n#EXT-X-ENDLIST\n".encode(),
        "matroska": (folder / "clip.mkv").read_bytes(),
        "unknown codec": clip.read_bytes().replace(b"avc1", b"zzzz"),
        "page": b"<html>503 Service Unavailable</html>" * 50,
    }


def test_only_an_mp4_is_a_clip(clip: Path, tmp_path: Path) -> None:
    for name, content in strangers_files(tmp_path, clip).items():
        (tmp_path / "given.mp4").write_bytes(content)
        with pytest.raises(ClipDamaged):
            pytest.fail(f"{name} was taken for a clip: {examine(tmp_path / 'given.mp4')}")


def test_what_the_disk_fails_to_give_back_is_no_damaged_clip(tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="No such file"):
        examine(tmp_path / "missing.mp4")


def test_a_path_of_any_letters_is_found(clip: Path) -> None:
    strange = clip.with_name('a "b"\n☃ \udcff.mp4')
    clip.rename(strange)
    assert examine(strange).frames == 24


@pytest.mark.parametrize(("how", "raised"), [(signal.SIGKILL, DownloadFailed), (signal.SIGSEGV, ClipDamaged)])
def test_a_decoder_that_ends_in_the_middle_ends_nothing_else(
    clip: Path, how: signal.Signals, raised: type[Exception]
) -> None:
    examine(clip)
    running = decoders(os.getpid())
    for pid in running:
        os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(examine, clip)
        until(lambda: len(decoder._idle) < len(running))  # taken: asked or not yet, it ends either way
        for pid in running:
            os.kill(pid, how)
            os.kill(pid, signal.SIGCONT)
        with pytest.raises(raised):
            asked.result(timeout=60)
    until(lambda: all(map(ended, running)))
    assert examine(clip).frames == 24


def test_a_clip_that_never_ends_ends_its_decoder(tmp_path: Path) -> None:
    render(Card("A lighthouse.", 1, "seedance-1-0-pro", 864, 480, 5, 24), tmp_path / "clip.mp4")
    command = [sys.executable, "-m", decoding.__name__, "0.001"]
    asked_for = json.dumps({"clip": str(tmp_path / "clip.mp4")})
    asked = subprocess.run(command, input=asked_for, text=True, timeout=60, check=False)
    assert asked.returncode in decoder.FAULTS


def test_a_decoder_that_ends_while_it_waits_is_replaced(clip: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(examine, [clip] * 16))
    for pid in decoders(os.getpid()):
        os.kill(pid, signal.SIGKILL)
        until(partial(ended, pid))
    assert examine(clip).frames == 24


def test_no_more_decoders_than_processors(clip: Path) -> None:
    with ThreadPoolExecutor(16) as threads:
        assert {footage.frames for footage in threads.map(examine, [clip] * 64)} == {24}
    assert 1 <= len(decoders(os.getpid())) <= (os.cpu_count() or 1)


def test_a_decoder_has_no_keys_takes_no_ctrl_c_and_does_not_outlive_its_process(clip: Path) -> None:
    text = (
        "import asyncio, sys, time; from pathlib import Path; from prefect_seedance.video import decoder; "
        "asyncio.run(decoder.examine(Path(sys.argv[1]))); print('ready', flush=True); time.sleep(600)"
    )
    keys = {"RUNPOD_API_KEY": "rpa_SECRET", "AWS_SECRET_ACCESS_KEY": "SECRET"}
    process = subprocess.Popen(
        [sys.executable, "-c", text, str(clip)], stdout=subprocess.PIPE, text=True, env=os.environ | keys
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    (pid,) = decoders(process.pid)
    assert b"SECRET" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert os.getsid(pid) != os.getsid(process.pid)
    process.kill()
    process.wait()
    until(lambda: ended(pid))
