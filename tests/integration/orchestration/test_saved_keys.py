"""A store that names credentials saved with prefect-aws: keys, a session, a profile, a role, MinIO."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect_aws import AwsCredentials, MinIOCredentials
from pydantic import SecretStr

from prefect_seedance.errors import BadStore
from prefect_seedance.orchestration.blocks import VideoStore
from prefect_seedance.orchestration.saved_keys import signing_of
from prefect_seedance.storage import open_store
from tests.support.s3_server import Line, RunningS3

ROLE = "arn:aws:iam::123456789012:role/films"
Given = Callable[[str], Any]


def keys(endpoint_url: str) -> Any:
    return AwsCredentials(
        aws_access_key_id="plain",
        aws_secret_access_key=SecretStr("secret"),
        region_name="us-east-1",
        aws_client_parameters={"endpoint_url": endpoint_url},
    )


def session(endpoint_url: str) -> Any:
    return keys(endpoint_url).model_copy(update={"aws_access_key_id": "temporary", "aws_session_token": "session"})


def profile(endpoint_url: str) -> Any:
    return AwsCredentials(profile_name="films", aws_client_parameters={"endpoint_url": endpoint_url})


def minio(endpoint_url: str) -> Any:
    return MinIOCredentials(
        minio_root_user="root",
        minio_root_password=SecretStr("password"),
        aws_client_parameters={"endpoint_url": endpoint_url},
    )


def role(endpoint_url: str) -> Any:
    return keys(endpoint_url).model_copy(update={"assume_role_arn": ROLE})


@pytest.fixture
def environment(s3_server: RunningS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile of AWS, and where roles are given out."""
    profiles = tmp_path / "credentials"
    profiles.write_text("[films]\naws_access_key_id = profiled\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profiles))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", s3_server.endpoint_url)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("given", "key", "token"),
    [
        (keys, "plain", None),
        (session, "temporary", "session"),
        (profile, "profiled", None),
        (minio, "root", None),
    ],
)
async def test_a_store_signs_with_what_was_saved(
    given: Given, key: str, token: str | None, s3_server: RunningS3, line: Line
) -> None:
    block = VideoStore(url=f"s3://{s3_server.new_bucket()}/x", aws_credentials=given(line.endpoint_url))
    store = block.open()
    try:
        await store.create("a", b"mine")
        assert await store.read("a") == b"mine"
        assert f"{key}%2F" in (await store.link("a", 60) or "")
    finally:
        await store.aclose()
    assert set(line.signed_with) == {(key, token)}


@pytest.mark.usefixtures("environment")
async def test_a_role_is_assumed_and_assumed_again_before_its_keys_end(
    s3_server: RunningS3, line: Line, tmp_path: Path
) -> None:
    """Keys of a role live for an hour, runs for longer: what is under way goes on with those that it began with."""
    large = tmp_path / "film"
    large.write_bytes(bytes(20 * 2**20))
    for renewed_after, several in ((3600.0, False), (0.0, True)):
        line.signed_with.clear()
        store = open_store(
            f"s3://{s3_server.new_bucket()}/x",
            signing=signing_of(role(line.endpoint_url), renewed_after=renewed_after),
            endpoint_url=line.endpoint_url,
        )
        try:
            await store.put(large, "film")
            await store.fetch("film", tmp_path / "again")
        finally:
            await store.aclose()
        assert (tmp_path / "again").stat().st_size == large.stat().st_size
        assert all(key.startswith("ASIA") and token for key, token in line.signed_with)
        assert (len(set(line.signed_with)) > 1) is several


@pytest.mark.usefixtures("environment")
async def test_keys_that_cannot_be_had_are_said_in_one_sentence_and_nothing_is_asked(
    s3_server: RunningS3, line: Line
) -> None:
    unknown = AwsCredentials(profile_name="nobody")
    store = VideoStore(url="s3://films/x", aws_credentials=unknown, endpoint_url=line.endpoint_url).open()
    with pytest.raises(BadStore, match=r"profile \(nobody\) could not be found.*correct the address or the AWS keys"):
        await store.read("a")
    both = VideoStore(url="s3://films/x", key="k", secret=SecretStr("s"), aws_credentials=keys(line.endpoint_url))
    with pytest.raises(BadStore, match="nobody knows which are meant"):
        both.open()
    assert line.signed_with == []


WITHOUT = """
import sys
sys.modules["prefect_aws"] = None
from prefect_seedance.blocks import VideoStore
from prefect_seedance.errors import BadStore
VideoStore(url="s3://films/x", key="k", secret="s").open()
try:
    VideoStore(url="s3://films/x", aws_credentials={"aws_access_key_id": "k"}).open()
except BadStore as error:
    print(error)
"""


def test_the_package_works_without_prefect_aws_and_says_what_needs_it() -> None:
    said = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True).stdout
    assert "pip install 'prefect-seedance[aws]'" in said
