"""What must not be lost is kept whoever cancels, whoever stops listening and however long the store is down."""

from __future__ import annotations

import asyncio
import datetime
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prefect_seedance.errors import StoreUnavailable
from prefect_seedance.keys import key_of
from prefect_seedance.ledger import durable
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Step, next_step
from prefect_seedance.ledger.rescue import rescue_file
from prefect_seedance.ledger.rules import History
from prefect_seedance.rendering.steps import last_of
from prefect_seedance.storage.store import Store
from tests.support.ledgers import completed
from tests.support.places import ROOT
from tests.support.renderer import HookedStore, accepted, small

MANY = 40
"""More than there are sender threads."""


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


@pytest.mark.slow
async def test_more_clips_than_threads_come_home_after_a_store_was_down(folder_store: Store) -> None:
    histories = [await completed(folder_store, f"clip {number}") for number in range(MANY)]
    refused: set[str] = set()
    down_until = time.monotonic() + 8

    async def trouble(moment: str, path: str) -> None:
        if moment == "before put" and path not in refused:
            refused.add(path)
            raise StoreUnavailable("503")
        if moment == "before create" and path.endswith("/0004.json") and time.monotonic() < down_until:
            raise StoreUnavailable("503")

    ledger = Ledger(HookedStore(folder_store, trouble))

    async def publish(history: History) -> History:
        file = folder_store.scratch() / f"{history.key}.mp4"
        file.write_bytes(b"a clip")
        path = f"clips/{history.key}-0123456789ab.mp4"
        stored = next_step(last_of(history), Step.STORED, clip=path, sha256="a" * 64, bytes=6)
        return await durable.publish_and_append(ledger, file, path, stored, history)

    async with asyncio.timeout(100):
        ends = await asyncio.gather(*map(publish, histories))
    assert {history.state for history in ends} == {Step.STORED}


async def test_a_cancelled_run_keeps_a_final_answer_that_the_store_has_not_taken_yet(folder_store: Store) -> None:
    request, silent = small("a clip"), asyncio.Event()
    job = accepted("a clip").model_copy(update={"key": key_of(request), "request": request})
    claim = job.model_copy(update={"step": Step.CLAIMED, "job_id": None, "accepted_at": None})
    history = await Ledger(folder_store).append(History(claim.key), claim)
    unlocked = time.monotonic() + 2

    async def slow(moment: str, path: str) -> None:
        if moment == "before create" and path.endswith("/0002.json"):
            silent.set()
            while time.monotonic() < unlocked:
                await asyncio.sleep(0.05)

    ledger = Ledger(HookedStore(folder_store, slow))
    record = next_step(claim, Step.ACCEPTED, job_id="job", accepted_at=_now())
    keeping = asyncio.create_task(durable.append_until_in(ledger, record, history))
    await silent.wait()
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping
    assert (await Ledger(folder_store).load(claim.key)).state is Step.ACCEPTED


def test_a_terminal_that_is_gone_ends_no_keeping_of_a_job_id(tmp_path: Path) -> None:
    """As with `render … 2>&1 | head`."""
    environment = os.environ | {"XDG_STATE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    program = (
        "from prefect_seedance.ledger.rescue import rescue\n"
        "from tests.support.renderer import accepted\n"
        "rescue(accepted('a'), OSError('503'), 's3://bucket')\n"
        "open('went on', 'w').close()\n"
    )
    read, write = os.pipe()
    os.close(read)
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, stderr=write, check=False)
    os.close(write)
    assert (tmp_path / "went on").exists()
    assert "job" in (tmp_path / "prefect-seedance" / "rescue.jsonl").read_text()


ENDING = """
import asyncio, threading
from pathlib import Path
from prefect_seedance.errors import StoreUnavailable
from prefect_seedance.ledger import durable
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.storage import open_store
from tests.support.renderer import HookedStore, accepted

ended = threading.Event()

async def down(moment, path):
    if not ended.is_set():
        raise StoreUnavailable("503")

async def main():
    ledger = Ledger(HookedStore(open_store(Path("store").absolute()), down))
    asyncio.ensure_future(durable.append_until_in(ledger, accepted("job")))
    while not any(thread.name.startswith("send") for thread in threading.enumerate()):
        await asyncio.sleep(0.1)
    raise KeyboardInterrupt

loop = asyncio.new_event_loop()
try:
    loop.run_until_complete(main())
except KeyboardInterrupt:
    ended.set()
"""


@pytest.mark.slow
def test_a_process_whose_interpreter_ends_does_not_try_for_ever_what_it_can_no_longer_do(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", ENDING], cwd=tmp_path, env=environment, timeout=90, check=False)
    assert "job" in (tmp_path / "prefect-seedance" / "rescue.jsonl").read_text()


def test_a_machine_without_a_home_has_a_place_for_what_is_rescued(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_STATE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    assert rescue_file().name == "rescue.jsonl"


def test_what_must_not_be_lost_waits_for_file_descriptors(tmp_path: Path) -> None:
    program = (
        "import asyncio, os, resource, threading, time\n"
        "from prefect_seedance.ledger.durable import SENDERS, run_to_completion\n"
        "async def work():\n"
        "    return 'kept'\n"
        "async def main():\n"
        "    SENDERS.submit(int).result()\n"
        "    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "    held = []\n"
        "    try:\n"
        "        while True:\n"
        "            held.append(os.open('/dev/null', os.O_RDONLY))\n"
        "    except OSError:\n"
        "        pass\n"
        "    threading.Timer(1, lambda: [os.close(one) for one in held]).start()\n"
        "    return await run_to_completion(work)\n"
        "print(asyncio.run(main()))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.stdout == "kept\n", ended.stderr


def test_where_the_rescue_file_can_not_be_written_no_copy_is_promised(tmp_path: Path) -> None:
    (tmp_path / "prefect-seedance").write_text("in the way")
    environment = os.environ | {"XDG_STATE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    program = (
        "from prefect_seedance.ledger.rescue import rescue\n"
        "from tests.support.renderer import accepted\n"
        "rescue(accepted('a'), OSError('503'), 's3://bucket')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert "can't be written either" in ended.stderr
    assert "copy is in" not in ended.stderr
