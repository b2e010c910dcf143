"""A store is opened by its address, which is checked and told without keys."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from prefect_seedance.errors import BadStore
from prefect_seedance.storage import open_store


def test_a_folder_is_opened_without_loading_s3() -> None:
    program = (
        "import sys; from prefect_seedance.storage import open_store; open_store('.'); print('s3fs' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "False\n"


@pytest.mark.parametrize(
    "address",
    ["", "gs://b/x", "http://host/x", "memory://x", "file:///x", "s3://", "s3:///x", "s3://b/../c", "s3://b//c"],
)
def test_what_is_not_a_store_is_refused(address: str) -> None:
    with pytest.raises(BadStore):
        open_store(address)


def test_a_file_is_not_a_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadStore, match="is a file"):
        open_store(tmp_path / "file")


def test_keys_in_an_address_are_refused_and_not_repeated() -> None:
    with pytest.raises(BadStore) as refused:
        open_store("s3://me:secret@bucket/x")
    assert "secret" not in str(refused.value)


def test_an_address_is_told_without_keys(tmp_path: Path) -> None:
    assert open_store("s3://b/x/", key="k", secret="hidden", endpoint_url="http://127.0.0.1:9").url == "s3://b/x"
    assert open_store("s3://b").url == "s3://b"
    assert open_store(tmp_path).url == str(tmp_path.resolve())


@pytest.mark.parametrize("store", ["s3://b/x", "folder"])
@pytest.mark.parametrize(
    "served",
    [
        *("not-a-url", "ftp://host/x", "https://", "https:///x", "https://host:port/x", "https://ho st/x", "//host/x"),
        *("https://me:hidden@host/x", "https://hidden@host/x", "https://host/x?key=hidden", "https://host/x#hidden"),
    ],
)
def test_an_address_from_which_no_clip_can_be_fetched_is_refused_and_not_repeated(
    store: str, served: str, tmp_path: Path
) -> None:
    with pytest.raises(BadStore, match="nothing was submitted; correct the public base URL") as refused:
        open_store(store if "://" in store else tmp_path / store, public_base_url=served)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("served", ["https://host", "http://127.0.0.1:9/files/", "https://[::1]:9/x", "https://é.fr/x"])
def test_a_store_may_be_served_from_any_host(served: str, tmp_path: Path) -> None:
    assert open_store(tmp_path, public_base_url=served).public_base_url == served
