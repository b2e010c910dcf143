"""What setup.py makes of the variables of compose.yaml."""

from __future__ import annotations

import runpy

import pytest

from tests.support.deployment_files import FOLDER, compose

KEYS = {"AWS_ACCESS_KEY_ID": "films-admin", "AWS_SECRET_ACCESS_KEY": "made up"}
OWN = "s3://ours/films"


@pytest.mark.parametrize(
    ("given", "store", "endpoint"),
    [
        ({}, "s3://seedance/films", "http://s3:9000"),
        ({"SEEDANCE_STORE": OWN}, OWN, None),
        ({"SEEDANCE_STORE": OWN, "SEEDANCE_S3_ENDPOINT": "http://s3.lan"}, OWN, "http://s3.lan"),
    ],
)
def test_a_bucket_of_your_own_is_never_looked_for_on_the_server_of_this_machine(
    given: dict[str, str], store: str, endpoint: str | None
) -> None:
    told = compose(**given)["services"]["setup"]["environment"]
    environment = {name: value for name, value in told.items() if value} | KEYS
    made = runpy.run_path(str(FOLDER / "setup.py"))["store_of"](environment)
    assert (made.url, made.endpoint_url) == (store, endpoint)
