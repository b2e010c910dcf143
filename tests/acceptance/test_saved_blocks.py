"""Blocks as Prefect keeps them: a store that names saved AWS credentials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prefect_aws import AwsCredentials, MinIOCredentials
from pydantic import SecretStr

from prefect_seedance import storyboard_to_shots
from prefect_seedance.cli.saved_blocks import load_store
from prefect_seedance.errors import BadStore
from prefect_seedance.orchestration.blocks import RunpodCredentials, VideoStore
from tests.support.commanding import Desk
from tests.support.emulating import RunningEmulator
from tests.support.flow_boards import make_board
from tests.support.prefect_server import RunningPrefect


def test_a_saved_store_names_saved_credentials_of_either_kind_and_holds_no_key(prefect_server: RunningPrefect) -> None:
    aws = AwsCredentials(aws_access_key_id="k", aws_secret_access_key=SecretStr("a-secret"), region_name="eu-west-1")
    minio = MinIOCredentials(minio_root_user="root", minio_root_password=SecretStr("a-secret"))
    for kind, credentials in ((AwsCredentials, aws), (MinIOCredentials, minio)):
        credentials.save("films", overwrite=True)
        store = VideoStore(url="s3://films/x", aws_credentials=kind.load("films"))
        store.save("films", overwrite=True)
        loaded: Any = VideoStore.load("films")
        assert type(loaded.aws_credentials) is kind
        assert loaded.aws_credentials == kind.load("films")
        loaded.open()
        [document] = [
            one
            for one in prefect_server.post("block_documents/filter", include_secrets=True)
            if (one["name"], one["block_type"]["slug"]) == ("films", "video-store")
        ]
        assert document["data"].get("key") is None
        assert set(document["block_document_references"]) == {"aws_credentials"}


async def test_a_saved_relative_folder_that_each_worker_would_pay_into_anew_is_refused_before_anything_is_paid(
    prefect_server: RunningPrefect, emulator: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = RunpodCredentials(api_key=SecretStr("k"), base_url=emulator.base_url)
    monkeypatch.chdir(tmp_path)
    for url in ("films", "./films", ""):
        await VideoStore(url=url).asave("relative", overwrite=True)
        saved: Any = await VideoStore.aload("relative")
        with pytest.raises(BadStore, match=r"relative folder .*; nothing was submitted; save it with the full path"):
            await storyboard_to_shots(make_board("Gulls rise."), credentials, saved)
    for url in ("~/films", str(tmp_path / "films"), "s3://films/x"):
        await VideoStore(url=url, key="k", secret=SecretStr("s")).asave("relative", overwrite=True)
        saved = await VideoStore.aload("relative")
        await saved.open().aclose()
    assert list(tmp_path.iterdir()) == []
    assert emulator.charges == []


async def test_a_relative_folder_that_was_not_saved_is_below_where_the_program_runs(
    prefect_server: RunningPrefect, emulator: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = RunpodCredentials(api_key=SecretStr("k"), base_url=emulator.base_url)
    monkeypatch.chdir(tmp_path)
    production = await storyboard_to_shots(make_board("Gulls rise."), credentials, VideoStore(url="films"))
    assert production.status == "complete"
    assert (tmp_path / "films" / "clips").is_dir()
    assert len(emulator.charges) == 1


BOARD = """
    title: Gulls
    shots: [{id: rise, prompt: Gulls rise., size: 640x640, duration: 2}]
"""


@pytest.fixture
def desk(tmp_path: Path, prefect_server: RunningPrefect, emulator: RunningEmulator) -> Desk:
    """Where store and account are saved under a name, and the environment has no key."""
    VideoStore(url=str(tmp_path / "store")).save("gulls", overwrite=True)
    RunpodCredentials(api_key=SecretStr("k"), base_url=emulator.base_url).save("gulls", overwrite=True)
    desk = Desk(tmp_path, prefect_server.environment)
    desk.store = "block:gulls"
    return desk


def test_every_command_takes_a_saved_store_and_account(desk: Desk, emulator: RunningEmulator) -> None:
    account = ("--account", "block:gulls")
    board = desk.board(BOARD)
    assert desk.run("plan", board, *account, "--json").document["problems"] == []
    assert desk.run("render", board, *account, "--json").code == 0
    for command in ("doctor", "collect", "models", "report", "settle", "tidy"):
        said = desk.run(command, *(account if command not in ("models", "report") else ()))
        assert said.code == 0, (command, said.err)
    assert load_store("block:gulls", "http://files.example").open().public_base_url == "http://files.example"
    assert len(emulator.charges) == 1


def test_a_prefect_api_that_is_down_is_one_sentence_and_costs_nothing(desk: Desk, emulator: RunningEmulator) -> None:
    desk.environment |= {"PREFECT_API_URL": "http://127.0.0.1:9/api", "PREFECT_CLIENT_MAX_RETRIES": "0"}
    report = desk.run("report")
    assert (report.code, "did not hand out the block gulls" in report.err) == (2, True), report.err
    desk.store = str(desk.folder / "store")
    account = {"RUNPOD_API_KEY": "k", "RUNPOD_BASE_URL": emulator.base_url}
    render = desk.run("render", desk.board(BOARD), "--json", **account)
    assert (render.code, "Prefect did not run this to its end" in render.err) == (1, True), render.err
    assert render.document["schema"] == "prefect-seedance/plan/1"
    assert emulator.charges == []
