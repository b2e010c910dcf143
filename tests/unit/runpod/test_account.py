"""An account: what can't work is refused before its key goes anywhere, and the key is never shown."""

from __future__ import annotations

import pytest

from prefect_seedance.errors import BadInput
from prefect_seedance.runpod.account import Account


@pytest.mark.parametrize("key", ["", " ", "rpa_a b", "rpa_SECRET\n", "rpa_SECRET\0", "rpa_SECRÉT"], ids=repr)
def test_a_key_that_no_header_can_hold_is_refused_and_not_quoted(key: str) -> None:
    with pytest.raises(BadInput) as refused:
        Account(key).check()
    assert str(refused.value).startswith("There is no usable Runpod API key")
    assert "rpa_" not in str(refused.value)


@pytest.mark.parametrize(
    ("key", "url", "told"),
    [
        ("", "https://api.runpod.ai/v2", "no usable Runpod API key"),
        ("two words", "https://api.runpod.ai/v2", "no usable Runpod API key"),
        ("k", "api.runpod.ai/v2", "is not an address"),
        ("k", "http://api.example.com/v2", "unencrypted"),
    ],
)
def test_an_account_that_cannot_work_is_refused_before_anything(key: str, url: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        Account(key, url).check()


def test_an_account_never_shows_its_key() -> None:
    assert "hunter2" not in repr(Account("hunter2"))


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://api.runpod.ai/v2", "real"),
        ("http://127.0.0.1:8080/v2", "pretend"),
        ("http://localhost:1/v2", "pretend"),
        ("http://[::1]:1/v2", "pretend"),
        ("https://127.0.0.1.example.com/v2", "real"),
    ],
)
def test_an_api_on_this_machine_is_a_pretend_one(url: str, kind: str) -> None:
    assert Account("k", url).kind == kind
