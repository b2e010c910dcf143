from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from prefect_seedance.keys import NOT_IDENTITY, key_of
from prefect_seedance.models import Frozen, LastFrame, Picture, Request
from prefect_seedance.rendering.plan import plan_hash_of
from prefect_seedance.runpod.account import account_fingerprint

MakeRequest = Callable[..., Request]

PICTURE = Picture(sha256="ab" * 32, format="PNG", width=640, height=480, bytes=1000, source="keeper.png")

GOLDEN = {
    "sd1-925d5d99195b18862a092b7c86d691a7": {"prompt": "x", "size": "1920x1080", "duration": 5},
    "sd1-0c474d11801bf50977cc02784f284537": {"prompt": "Scene 0", "size": "854x480", "duration": 5},
}
"""These never change: a changed key is a second payment."""


@pytest.mark.parametrize(("key", "fields"), GOLDEN.items())
def test_a_key_is_for_ever(key: str, fields: dict[str, object], make_request: MakeRequest) -> None:
    assert key_of(make_request(**fields)) == key


@pytest.mark.parametrize(
    "changed",
    [
        {"prompt": "A lighthouse!"},
        {"model": "wan-2-5"},
        {"size": "960x960"},
        {"duration": 3},
        {"fps": 25},
        {"take": 2},
        {"image": PICTURE},
        {"image": LastFrame(of="sd1-1")},
        {"last_image": PICTURE},
    ],
    ids=str,
)
def test_every_field_of_a_request_is_part_of_its_key(changed: dict[str, object], make_request: MakeRequest) -> None:
    assert key_of(make_request(**changed)) != key_of(make_request())


def test_a_picture_counts_by_content_and_not_by_where_it_lies(make_request: MakeRequest) -> None:
    elsewhere = PICTURE.model_copy(update={"source": "s3://bucket/other.png"})
    assert key_of(make_request(image=elsewhere)) == key_of(make_request(image=PICTURE))


def test_cropping_a_picture_is_another_request(make_request: MakeRequest) -> None:
    cropped = PICTURE.model_copy(update={"crop": True})
    assert key_of(make_request(image=cropped)) != key_of(make_request(image=PICTURE))


def test_a_prompt_means_the_same_however_it_was_typed(make_request: MakeRequest) -> None:
    composed, decomposed = "caf\u00e9 ", "cafe\u0301"
    assert key_of(make_request(prompt=composed)) == key_of(make_request(prompt=decomposed))


@pytest.mark.parametrize("model", [Request, Picture, LastFrame])
def test_every_field_is_part_of_the_key_or_left_out_with_a_reason(model: type[Frozen]) -> None:
    left_out = NOT_IDENTITY[model]
    assert left_out.keys() <= model.model_fields.keys()
    assert all(left_out.values())


def test_an_account_is_told_apart_without_revealing_its_key() -> None:
    mark = account_fingerprint("secret-key", "https://api.runpod.ai/v2")
    assert "secret" not in mark
    assert mark != account_fingerprint("other-key", "https://api.runpod.ai/v2")
    assert mark != account_fingerprint("secret-key", "http://127.0.0.1:1/v2")


def test_a_plan_hash_follows_what_is_paid_and_not_its_order() -> None:
    here = {"store": "s3://films", "account": "f0"}
    assert plan_hash_of({"a": "0.12", "b": "0.24"}, **here) == plan_hash_of({"b": "0.24", "a": "0.12"}, **here)
    assert plan_hash_of({"a": "0.12"}, **here) != plan_hash_of({"a": "0.13"}, **here)


def test_a_plan_hash_is_a_whole_sha_256_of_what_is_paid_into_which_store_by_whom() -> None:
    paid = {"a": "0.12"}
    hashes = {
        plan_hash_of(paid, store=store, account=account) for store in ("s3://a", "s3://b") for account in ("f0", "f1")
    }
    assert len(hashes) == 4
    assert all(re.fullmatch("[0-9a-f]{64}", one) for one in hashes)
