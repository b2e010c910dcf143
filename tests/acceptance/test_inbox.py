"""The inbox: what people drop into a store is rendered once, within the limits, and never stands in another's way."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from prefect_seedance import RunpodCredentials, SpendingLimits, VideoStore, process_inbox
from prefect_seedance.inbox.folder import Inbox
from prefect_seedance.ledger.writer import this_writer
from prefect_seedance.storage.store import Store
from tests.support.commanding import Desk
from tests.support.emulating import RunningEmulator
from tests.support.pictures import plain_picture
from tests.support.prefect_server import RunningPrefect

pytestmark = pytest.mark.usefixtures("prefect_server")

ONE = """
    title: {title}
    defaults: {{size: 640x640, duration: 2}}
    shots:
      - {{id: arrival, prompt: {title} at dawn.}}
"""
WITH_PICTURE = """
    title: Harbour
    defaults: {size: 640x640, duration: 2}
    shots:
      - {id: boats, prompt: The boats rock., image: references/boats.png}
      - {id: gulls, prompt: Gulls rise., continue_from: boats}
"""
WITH_ROWS = """
    title: Spring sale
    defaults: {size: 640x640, duration: 2}
    rows: products.csv
    shots:
      - {id: turn, prompt: "A {product} turns slowly."}
"""
BROKEN = """
    title: Broken
    shots:
      - {id: one, prompt: A boat., duration: 99}
      - {id: one, prompt: A gull., continue_from: nobody}
"""


def one(title: str) -> str:
    return ONE.format(title=title)


async def drop(store: Store, name: str, content: str | bytes) -> None:
    """Put a file into the inbox, as any program that can write to the store would."""
    await store.write(f"inbox/{name}", textwrap.dedent(content).encode() if isinstance(content, str) else content)


def told(report: dict[str, Any]) -> dict[str, str]:
    return {board["file"]: board["status"] for board in report["boards"]}


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[RunningEmulator]:
    (tmp_path / "store").mkdir()
    with RunningEmulator.start(latency=0.3, serve=tmp_path / "store") as running:
        yield running


@pytest.fixture
def credentials(serving: RunningEmulator) -> RunpodCredentials:
    return RunpodCredentials(api_key=SecretStr("k-SECRET"), base_url=serving.base_url)


@pytest.fixture
def video_store(store_url: str, serving: RunningEmulator) -> VideoStore:
    return VideoStore(url=store_url, public_base_url=None if "://" in store_url else serving.public_base_url)


@pytest.fixture
def on_disk(tmp_path: Path, serving: RunningEmulator) -> VideoStore:
    return VideoStore(url=str(tmp_path / "store"), public_base_url=serving.public_base_url)


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


async def test_links_of_strangers_lead_nowhere_and_nothing_behind_them_is_touched(
    credentials: RunpodCredentials, on_disk: VideoStore, serving: RunningEmulator, tmp_path: Path
) -> None:
    private = tmp_path / "private"
    private.mkdir()
    (private / "board.yaml").write_text(textwrap.dedent(one("Secret")))
    (private / "face.png").write_bytes(plain_picture(90))
    inbox = Path(on_disk.url) / "inbox"
    (inbox / "sneaky").mkdir(parents=True)
    (inbox / "board.yaml").symlink_to(private / "board.yaml")
    (inbox / "folder").symlink_to(private)
    (inbox / "sneaky" / "references").symlink_to(private)
    harbour = textwrap.dedent(WITH_PICTURE).replace("boats.png", "face.png")
    (inbox / "sneaky" / "board.yaml").write_text(harbour)
    (inbox / "up.yaml").write_text(harbour.replace("references/face.png", "../../private/face.png"))

    report = await process_inbox(credentials, on_disk)
    assert told(report) == dict.fromkeys(("board.yaml", "sneaky/board.yaml", "up.yaml"), "rejected")
    assert report["exit_code"] == 2
    assert sorted(file.name for file in private.iterdir()) == ["board.yaml", "face.png"]
    kept = [file for file in (Path(on_disk.url) / "inbox-rejected").rglob("*") if file.is_file()]
    assert not any(b"Secret" in file.read_bytes() or file.read_bytes() == plain_picture(90) for file in kept)
    assert serving.calls()["run"] == 0


async def test_a_named_pipe_rejects_its_own_delivery_and_hangs_nothing(
    credentials: RunpodCredentials, on_disk: VideoStore, serving: RunningEmulator
) -> None:
    store = on_disk.open()
    for name in ("beside", "board"):
        await drop(store, f"{name}/first.yaml", one(name))
    inbox = Path(on_disk.url) / "inbox"
    os.mkfifo(inbox / "beside" / "notes.txt")
    os.mkfifo(inbox / "board" / "second.yaml")
    os.mkfifo(inbox / "third.yaml")
    await drop(store, "good.yaml", one("Good"))
    report = await process_inbox(credentials, on_disk)
    assert told(report) == {
        "beside/first.yaml": "rejected",
        "board/first.yaml": "rejected",
        "board/second.yaml": "rejected",
        "good.yaml": "complete",
        "third.yaml": "rejected",
    }
    problems = (await store.read("inbox-rejected/beside/problems.txt")).decode()
    assert (
        "beside/notes.txt: it is no file but a named pipe or a device; nothing was spent; drop plain files." in problems
    )
    assert await store.names("inbox") == []
    assert len(serving.charges) == 1


async def test_a_storyboard_reads_nothing_of_the_store_but_its_own_delivery(
    credentials: RunpodCredentials, video_store: VideoStore, either_store: Store, serving: RunningEmulator
) -> None:
    await drop(either_store, "other/face.png", plain_picture(90))
    await either_store.write("private/face.png", plain_picture(90))
    board = textwrap.dedent(WITH_PICTURE)
    bucket = either_store.url if "://" in either_store.url else "s3://films"
    for name, place in {
        "lone.yaml": "other/face.png",
        "whole/board.yaml": f"{bucket}/private/face.png",
        "inbox-of-another/board.yaml": f"{bucket}/inbox/other/face.png",
        "up/board.yaml": "../other/face.png",
    }.items():
        await drop(either_store, name, board.replace("references/boats.png", place))
    await drop(either_store, "own/references/boats.png", plain_picture(90))
    own = f"{bucket}/inbox/own/references/boats.png" if "://" in either_store.url else "references/boats.png"
    await drop(either_store, "own/board.yaml", board.replace("references/boats.png", own))

    report = await process_inbox(credentials, video_store)
    errors = {board["file"]: board["error"] or "" for board in report["boards"] if board["status"] == "rejected"}
    assert sorted(errors) == ["inbox-of-another/board.yaml", "lone.yaml", "up/board.yaml", "whole/board.yaml"]
    assert told(report)["own/board.yaml"] == "complete"
    for name in ("inbox-of-another/board.yaml", "lone.yaml", "whole/board.yaml"):
        assert "it is not part of this delivery; drop" in errors[name]
    assert len(await either_store.names("stills")) == 2  # the picture of the good one and its last frame
    assert len(serving.charges) == 2


async def test_a_delivery_that_cannot_be_put_away_ends_no_other(
    credentials: RunpodCredentials, on_disk: VideoStore, serving: RunningEmulator
) -> None:
    store = on_disk.open()
    await drop(store, "good.yaml", one("Good"))
    await drop(store, "broken.yaml", BROKEN)
    Path(on_disk.url, "inbox-done").touch()
    report = await process_inbox(credentials, on_disk)
    assert told(report) == {"broken.yaml": "rejected", "good.yaml": "complete"}
    assert "could not be put away and stays in the inbox" in report["boards"][1]["error"]
    assert await store.names("inbox") == ["good.yaml"]
    Path(on_disk.url, "inbox-done").unlink()
    assert told(await process_inbox(credentials, on_disk)) == {"good.yaml": "complete"}
    assert len(serving.charges) == 1


async def test_half_an_upload_is_left_alone_until_it_lies_still(
    credentials: RunpodCredentials, on_disk: VideoStore, serving: RunningEmulator
) -> None:
    store = on_disk.open()
    await drop(store, "harbour/board.yaml", WITH_PICTURE)
    assert (await process_inbox(credentials, on_disk, quiet_minutes=5))["boards"] == []
    await drop(store, "harbour/references/boats.png", plain_picture(90))
    board = Path(on_disk.url, "inbox/harbour/board.yaml")
    long_ago = time.time() - 3600
    os.utime(board, (long_ago, long_ago))
    assert (await process_inbox(credentials, on_disk, quiet_minutes=5))["boards"] == []
    os.utime(board.parent / "references" / "boats.png", (long_ago, long_ago))
    assert told(await process_inbox(credentials, on_disk, quiet_minutes=5)) == {"harbour/board.yaml": "complete"}
    assert len(serving.charges) == 2


async def test_what_another_run_works_at_is_left_to_it_until_that_run_is_over(
    credentials: RunpodCredentials, on_disk: VideoStore, prefect_server: RunningPrefect, serving: RunningEmulator
) -> None:
    store = on_disk.open()
    await drop(store, "board.yaml", one("Taken"))
    flow_id = prefect_server.post("flows/", name="somebody-else")["id"]
    run = prefect_server.post("flow_runs/", flow_id=flow_id, state={"type": "RUNNING"})
    [delivery] = await Inbox(store, "inbox").deliveries()

    async def never(_: str) -> bool:
        return False

    assert await Inbox(store, "inbox").lease(delivery, this_writer(run["id"]), never)
    assert told(await process_inbox(credentials, on_disk)) == {"board.yaml": "skipped"}
    prefect_server.post(f"flow_runs/{run['id']}/set_state", state={"type": "CRASHED"}, force=True)
    assert told(await process_inbox(credentials, on_disk)) == {"board.yaml": "complete"}
    assert await store.names("inbox-taken") == []
    assert len(serving.charges) == 1


async def test_an_api_that_is_down_sets_nothing_aside(
    credentials: RunpodCredentials, on_disk: VideoStore, serving: RunningEmulator
) -> None:
    store = on_disk.open()
    await drop(store, "board.yaml", one("Patience"))
    port = serving.port
    serving.kill()
    report = await process_inbox(credentials, on_disk)
    assert (told(report), report["exit_code"]) == ({"board.yaml": "nothing"}, 1)
    assert "can't be reached" in report["boards"][0]["error"]
    assert await store.names("inbox") == ["board.yaml"]
    with RunningEmulator.start(latency=0.3, port=port) as back:
        assert told(await process_inbox(credentials, on_disk)) == {"board.yaml": "complete"}
        assert len(back.charges) == 1


async def test_neither_key_nor_board_is_kept_by_the_prefect_server(
    credentials: RunpodCredentials, on_disk: VideoStore, prefect_server: RunningPrefect
) -> None:
    await drop(on_disk.open(), "board.yaml", one("Quiet"))
    state = await process_inbox(credentials, on_disk, return_state=True)
    run_id = str(state.state_details.flow_run_id)
    runs = prefect_server.post("flow_runs/filter", flow_runs={"id": {"any_": [run_id]}})
    children = prefect_server.post("flow_runs/filter", flow_runs={"parent_flow_run_id": {"any_": [run_id]}})
    assert [child["name"] for child in children] == ["render Quiet"]
    assert children[0]["parameters"] == {"file": "board.yaml", "title": "Quiet"}
    assert "k-SECRET" not in json.dumps(runs + children) + prefect_server.logs(run_id)


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
    process = desk.start("inbox", "--json")
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
