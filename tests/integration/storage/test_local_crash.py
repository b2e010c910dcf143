from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from prefect_seedance.errors import StoreUnavailable
from prefect_seedance.storage import open_store
from prefect_seedance.storage.store import Store
from tests.support.s3_server import Line, RunningS3

MEGABYTE = 2**20


# The kernel kills the process, or refuses more bytes, exactly when the first megabyte of a file has been written.
WRITER = """
import asyncio, resource, signal, sys
from pathlib import Path
from prefect_seedance.errors import StoreUnavailable
from prefect_seedance.storage import open_store

store_url, act, end, local = sys.argv[1:]
store = open_store(store_url)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
signal.signal(signal.SIGXFSZ, signal.SIG_DFL if end == "killed" else signal.SIG_IGN)
content = Path(local).read_bytes()
acts = {"create": lambda: store.create("folder/file", content), "write": lambda: store.write("folder/file", content),
        "put": lambda: store.put(Path(local), "folder/file")}
try:
    asyncio.run(acts[act]())
except StoreUnavailable:
    sys.exit(3)
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", ["killed", "full"])
@pytest.mark.parametrize("act", ["create", "write", "put"])
async def test_half_a_file_is_never_seen_on_disk(tmp_path: Path, act: str, end: str) -> None:
    memory = Path("/dev/shm")
    if act == "put" and (not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev):
        pytest.skip("needs a second filesystem, for on one alone a file is moved at once")
    local = (memory if act == "put" else tmp_path) / f"{tmp_path.name}-{os.getpid()}.local"
    local.write_bytes(b"x" * 2 * MEGABYTE)
    store = open_store(tmp_path / "store")
    if act != "create":
        await store.write("folder/file", b"before")
    ended = subprocess.run([sys.executable, "-c", WRITER, store.url, act, end, str(local)], check=False)
    local.unlink()
    assert ended.returncode == (-signal.SIGXFSZ if end == "killed" else 3)
    assert await store.names("folder") == ([] if act == "create" else ["file"])
    assert await store.exists("folder/file") is (act != "create")
    if act != "create":
        assert await store.read("folder/file") == b"before"
    if end == "full":
        assert not list((tmp_path / "store").rglob("*.part"))
    await store.write("folder/file", b"after")
    assert await store.read("folder/file") == b"after"


PUBLISHER = """
import asyncio, sys
from pathlib import Path
from prefect_seedance.storage import open_store

store = open_store(sys.argv[1], key="k", secret="s", endpoint_url=sys.argv[2])
asyncio.run(store.put(Path(sys.argv[3]), "clips/a.mp4"))
"""


def open_uploads(s3_server: RunningS3, store: Store) -> int:
    bucket = store.url.split("/")[2]
    return httpx.get(f"{s3_server.endpoint_url}/{bucket}?uploads").text.count("<UploadId>")


@pytest.mark.slow
async def test_a_writer_killed_in_the_middle_leaves_the_old_file_and_the_next_one_clears_up(
    line: Line, far_store: Store, s3_server: RunningS3, tmp_path: Path
) -> None:
    local = tmp_path / "clip"
    local.write_bytes(os.urandom(20 * MEGABYTE))
    await far_store.write("clips/a.mp4", b"before")
    writers: list[subprocess.Popen[bytes]] = []
    started = threading.Event()

    def kill_at_the_second_part(method: str, path: str) -> None:
        if re.search(r"partNumber=2\b", path):
            started.wait()
            writers[0].kill()
            writers[0].wait()

    line.on_request = kill_at_the_second_part
    writer = subprocess.Popen([sys.executable, "-c", PUBLISHER, far_store.url, line.endpoint_url, str(local)])
    writers.append(writer)
    started.set()
    assert await asyncio.to_thread(writer.wait) == -signal.SIGKILL
    assert await far_store.read("clips/a.mp4") == b"before"
    assert open_uploads(s3_server, far_store) == 1

    line.on_request = lambda method, path: None
    await far_store.put(local, "clips/a.mp4")
    assert await far_store.read("clips/a.mp4") == local.read_bytes()
    assert open_uploads(s3_server, far_store) == 0


@pytest.mark.parametrize("end", ["error", "cancelled"])
async def test_an_upload_that_fails_is_ended_and_leaves_the_old_file(
    line: Line, far_store: Store, s3_server: RunningS3, tmp_path: Path, end: str
) -> None:
    local = tmp_path / "clip"
    local.write_bytes(os.urandom(20 * MEGABYTE))
    await far_store.write("clips/a.mp4", b"before")
    in_the_middle, ended, aborted = asyncio.Event(), threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def break_at_the_second_part(method: str, path: str) -> None:
        line.answer_instead = None
        if method == "PUT" and re.search(r"partNumber=2\b", path):
            line.answer_instead = (503, "SlowDown")
            loop.call_soon_threadsafe(in_the_middle.set)
            if end == "cancelled":
                ended.wait()
        if method == "DELETE":
            aborted.set()

    line.on_request = break_at_the_second_part
    putting = asyncio.create_task(far_store.put(local, "clips/a.mp4"))
    putting.add_done_callback(lambda _: in_the_middle.set())
    await in_the_middle.wait()
    if end == "cancelled":
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting
    else:
        with pytest.raises(StoreUnavailable):
            await putting
    ended.set()
    assert await asyncio.to_thread(aborted.wait, 60)
    await far_store.aclose()
    assert await far_store.read("clips/a.mp4") == b"before"
    assert open_uploads(s3_server, far_store) == 0


MEASURED = """
import asyncio, sys
from pathlib import Path
from prefect_seedance.storage import open_store

def peak():
    return int(next(row.split()[1] for row in open("/proc/self/status") if row.startswith("VmHWM"))) / 1024

async def main():
    store = open_store(sys.argv[1])
    local = Path(sys.argv[2])
    await store.write("warm", b"")
    idle = peak()
    await store.put(local, "big")
    await store.fetch("big", local.with_name("back"))
    print(peak() - idle)
    await store.aclose()

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory from /proc")
async def test_memory_does_not_grow_with_the_file(store_url: str, tmp_path: Path) -> None:
    local = tmp_path / "big"
    with local.open("wb") as file:
        file.truncate(100 * MEGABYTE)
    megabytes = float(subprocess.check_output([sys.executable, "-c", MEASURED, store_url, str(local)]))
    assert (tmp_path / "back").stat().st_size == 100 * MEGABYTE
    assert megabytes < 64
