"""Blocks as Prefect keeps them: a store that names saved AWS credentials."""

from __future__ import annotations

from typing import Any

from prefect_aws import AwsCredentials, MinIOCredentials
from pydantic import SecretStr

from prefect_seedance.orchestration.blocks import VideoStore
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
