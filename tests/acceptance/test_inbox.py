"""The inbox: what people drop into a store is rendered once, within the limits, and never stands in another's way."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from prefect_seedance import RunpodCredentials, SpendingLimits, VideoStore, process_inbox
from prefect_seedance.storage.store import Store
from tests.support.commanding import Desk
from tests.support.dropping import (
    BROKEN,
    WITH_PICTURE,
    WITH_ROWS,
    credentials,
    drop,
    on_disk,
    one,
    serving,
    told,
    video_store,
)
from tests.support.emulating import RunningEmulator
from tests.support.forked import prefect_python
from tests.support.pictures import plain_picture
from tests.support.prefect_server import RunningPrefect

pytestmark = pytest.mark.usefixtures("prefect_server")

__all__ = ["credentials", "on_disk", "serving", "video_store"]


async def test_every_kind_of_delivery_is_rendered_once_and_a_broken_one_stops_no_other(
    credentials: RunpodCredentials, video_store: VideoStore, either_store: Store, serving: RunningEmulator
) -> None:
    await drop(either_store, "lighthouse.yaml", one("Lighthouse"))
    await drop(either_store, "board.json", json.dumps({"title": "J", "shots": [{"id": "a", "prompt": "Fog."}]}))
    await drop(either_store, "list.csv", "id,prompt,size,duration\nwaves,Waves break.,640x640,2\n")
    await drop(either_store, "sale.yaml", WITH_ROWS)
    await drop(either_store, "products.csv", "product\nRed mug\nBlue mug\n")
    await drop(either_store, "harbour/references/boats.png", plain_picture(90))
    await drop(either_store, "harbour/board.yaml", WITH_PICTURE)
    await drop(either_store, "broken.yaml", BROKEN)
    await drop(either_store, "unreadable.yaml", "title: [")
    await drop(either_store, "thumbs.png", plain_picture(90))

    first = await process_inbox(credentials, video_store)
    assert first["schema"] == "prefect-seedance/inbox/1"
    assert [(board["file"], board["title"], board["status"]) for board in first["boards"]] == [
        ("board.json", "J", "complete"),
        ("broken.yaml", None, "rejected"),
        ("harbour/board.yaml", "Harbour", "complete"),
        ("lighthouse.yaml", "Lighthouse", "complete"),
        ("list.csv", "list", "complete"),
        ("sale.yaml", "Spring sale (Red mug)", "complete"),
        ("sale.yaml", "Spring sale (Blue mug)", "complete"),
        ("unreadable.yaml", None, "rejected"),
    ]
    assert first["spent_usd"] == pytest.approx(serving.bill()["total_usd"])
    assert first["exit_code"] == 3
    for board in first["boards"]:
        if board["production"]:
            assert await either_store.exists(f"{board['production']}/film.mp4")
            assert board["manifest"] == f"{board['production']}/manifest.json"
    kept = json.loads(await either_store.read("inbox-done/sale.yaml/report.json"))
    assert [board["production"] for board in kept["boards"]] == [b["production"] for b in first["boards"][5:7]]
    assert await either_store.read("inbox-done/harbour/references/boats.png") == plain_picture(90)

    problems = (await either_store.read("inbox-rejected/broken.yaml/problems.txt")).decode()
    assert "nothing was spent" in problems
    for fragment in ("broken.yaml:4", "broken.yaml:5", "duration", "`one` is used twice", "nobody"):
        assert fragment in problems
    assert (await either_store.read("inbox-rejected/broken.yaml/broken.yaml")).decode() == textwrap.dedent(BROKEN)

    assert await either_store.names("inbox") == ["thumbs.png"]
    assert await either_store.names("inbox-taken") == []
    again = await process_inbox(credentials, video_store)
    assert (again["boards"], again["exit_code"]) == ([], 0)
    assert len(serving.charges) == 7


async def test_overlapping_schedules_share_the_work_and_pay_once(
    credentials: RunpodCredentials, video_store: VideoStore, either_store: Store, serving: RunningEmulator
) -> None:
    for n in range(3):
        await drop(either_store, f"board{n}.yaml", one(f"Scene {n}"))
    reports = await asyncio.gather(*(process_inbox(credentials, video_store) for _ in range(3)))
    for n in range(3):
        statuses = [told(report).get(f"board{n}.yaml") for report in reports]
        assert statuses.count("complete") == 1
        assert set(statuses) <= {"complete", "skipped", None}
    assert sum(report["spent_usd"] for report in reports) == pytest.approx(serving.bill()["total_usd"])
    productions = [name for name in await either_store.names("productions") if name.startswith("scene")]
    assert [len(await either_store.names(f"productions/{name}")) for name in productions] == [2, 2, 2]
    assert await either_store.names("inbox") == []
    assert len(serving.charges) == 3


async def test_the_budget_is_for_all_storyboards_together_and_what_does_not_fit_stays(
    credentials: RunpodCredentials, on_disk: VideoStore, serving: RunningEmulator
) -> None:
    store = on_disk.open()
    for name in ("a", "b", "c"):
        await drop(store, f"{name}.yaml", one(name))
    each = (await process_inbox(credentials, on_disk, budget=0.01))["boards"][0]
    assert each["status"] == "over_budget"
    assert "It stays in the inbox" in each["error"]
    assert serving.calls()["run"] == 0

    report = await process_inbox(credentials, on_disk, budget=0.11)
    assert told(report) == {"a.yaml": "complete", "b.yaml": "complete", "c.yaml": "over_budget"}
    assert report["exit_code"] == 3
    assert await store.names("inbox") == ["c.yaml"]
    last = await process_inbox(credentials, on_disk, budget=0.11)
    assert (told(last), last["exit_code"]) == ({"c.yaml": "complete"}, 0)
    assert len(serving.charges) == 3


async def test_daily_limits_hold_for_the_inbox_too(
    credentials: RunpodCredentials, on_disk: VideoStore, serving: RunningEmulator
) -> None:
    store = on_disk.open()
    for name in ("a", "b", "c"):
        await drop(store, f"{name}.yaml", one(name))
    report = await process_inbox(credentials, on_disk, limits=SpendingLimits(per_day=0.11))
    assert sorted(told(report).values()) == ["complete", "complete", "over_budget"]
    assert serving.bill()["total_usd"] <= 0.11
    assert len(serving.charges) == 2


async def test_rows_that_fit_are_produced_once_while_the_others_wait(
    credentials: RunpodCredentials, on_disk: VideoStore, serving: RunningEmulator
) -> None:
    store = on_disk.open()
    await drop(store, "sale/products.csv", "product\nRed mug\nBlue mug\nGreen mug\n")
    await drop(store, "sale/board.yaml", WITH_ROWS)
    first = await process_inbox(credentials, on_disk, budget=0.11)
    assert [board["status"] for board in first["boards"]] == ["complete", "complete", "over_budget"]
    second = await process_inbox(credentials, on_disk, budget=0.11)
    assert [board["status"] for board in second["boards"]] == ["complete"] * 3
    assert [b["production"] for b in second["boards"]][:2] == [b["production"] for b in first["boards"]][:2]
    assert not (Path(on_disk.url) / "inbox" / "sale").exists()
    assert second["spent_usd"] == pytest.approx(serving.charges[0]["usd"])
    assert len(serving.charges) == 3


async def test_a_plan_above_the_limit_waits_for_an_approval_of_its_hash(
    credentials: RunpodCredentials, on_disk: VideoStore, serving: RunningEmulator
) -> None:
    store = on_disk.open()
    await drop(store, "dear.yaml", one("Dear"))
    limits = SpendingLimits(approve_above=0.01)
    asked = await process_inbox(credentials, on_disk, limits=limits)
    assert (told(asked), asked["exit_code"]) == ({"dear.yaml": "over_budget"}, 4)
    assert serving.calls()["run"] == 0
    plan_hash = asked["boards"][0]["error"].split("--approve ")[1].split(".")[0]
    wrong = await process_inbox(credentials, on_disk, limits=limits, approve="0" * 12)
    assert told(wrong) == {"dear.yaml": "over_budget"}
    approved = await process_inbox(credentials, on_disk, limits=limits, approve=plan_hash)
    assert told(approved) == {"dear.yaml": "complete"}
    assert len(serving.charges) == 1


async def test_the_same_name_can_be_dropped_again(
    credentials: RunpodCredentials, on_disk: VideoStore, serving: RunningEmulator
) -> None:
    store = on_disk.open()
    await drop(store, "board.yaml", BROKEN)
    assert told(await process_inbox(credentials, on_disk)) == {"board.yaml": "rejected"}
    await drop(store, "board.yaml", one("Mended"))
    assert told(await process_inbox(credentials, on_disk)) == {"board.yaml": "complete"}
    await drop(store, "board.yaml", one("Another"))
    assert told(await process_inbox(credentials, on_disk)) == {"board.yaml": "complete"}
    assert len(serving.charges) == 2


async def test_what_its_boards_claim_is_claimed_by_the_flow_run_of_the_inbox(
    credentials: RunpodCredentials, on_disk: VideoStore, serving: RunningEmulator
) -> None:
    await drop(on_disk.open(), "board.yaml", one("Claimed"))
    state = await process_inbox(credentials, on_disk, return_state=True)
    [claim] = [json.loads(path.read_text()) for path in Path(on_disk.url).glob("ledger/*/0001.json")]
    assert claim["writer"]["flow_run_id"] == str(state.state_details.flow_run_id)
    assert len(serving.charges) == 1


def test_a_killed_run_is_taken_over_and_pays_nothing_twice(
    tmp_path: Path, serving: RunningEmulator, prefect_server: RunningPrefect
) -> None:
    desk = Desk(tmp_path, {"RUNPOD_API_KEY": "k", "RUNPOD_BASE_URL": serving.base_url, **prefect_server.environment})
    inbox = Path(desk.store) / "inbox"
    inbox.mkdir(parents=True)
    (inbox / "board.yaml").write_text(textwrap.dedent(one("Killed")))
    serving.fault("status", "silent", after=1, times=1000)  # the first asks whether the endpoint is there
    process = desk.start("inbox", "--json", python=prefect_python())
    wait_for(lambda: list(Path(desk.store).glob("ledger/*/0002.json")), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list(Path(desk.store).glob("inbox-taken/*"))
    serving.clear_faults()

    said = desk.run("inbox", "--json")
    assert said.code == 0, said.err
    assert told(said.document) == {"board.yaml": "complete"}
    assert said.document["spent_usd"] == 0
    assert (Path(desk.store) / "inbox-done" / "board.yaml" / "report.json").exists()
    assert not list(inbox.iterdir())
    empty = desk.run("inbox", "--json")
    assert (empty.code, empty.document["boards"]) == (0, [])
    assert len(serving.charges) == 1


def wait_for(seen: Any, process: subprocess.Popen[str], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not seen():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
