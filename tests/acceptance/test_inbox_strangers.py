"""What strangers drop into an inbox leads nowhere, holds nothing up, and is never taken half."""

from __future__ import annotations

import json
import os
import textwrap
import time
from pathlib import Path

import pytest

from prefect_seedance import RunpodCredentials, VideoStore, process_inbox
from prefect_seedance.inbox.folder import Inbox
from prefect_seedance.ledger.writer import this_writer
from prefect_seedance.storage.store import Store
from tests.support.dropping import BROKEN, WITH_PICTURE, credentials, drop, on_disk, one, serving, told, video_store
from tests.support.emulating import RunningEmulator
from tests.support.pictures import plain_picture
from tests.support.prefect_server import RunningPrefect

pytestmark = pytest.mark.usefixtures("prefect_server")

__all__ = ["credentials", "on_disk", "serving", "video_store"]


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
