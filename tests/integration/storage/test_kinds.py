"""A store is for real clips or for pretend ones, and for one kind for ever."""

from __future__ import annotations

import asyncio
import json

import pytest

from prefect_seedance.errors import BadStore
from prefect_seedance.storage.store import Kind, Store, refuse_other_kind


async def test_a_store_belongs_to_one_kind_for_ever(either_store: Store) -> None:
    assert await either_store.kind() is None
    await either_store.belongs_to("pretend")
    await either_store.belongs_to("pretend")
    with pytest.raises(BadStore, match="belongs to the pretend API of an emulator"):
        await either_store.belongs_to("real")
    assert await either_store.kind() == "pretend"
    assert await either_store.read("store.json") == b'{"schema": "prefect-seedance/store/1", "kind": "pretend"}'


async def test_a_store_that_does_not_say_its_kind_is_refused(either_store: Store) -> None:
    for content in (b"", b"[]", b"{}", b'{"schema": "prefect-seedance/store/9", "kind": "real"}'):
        await either_store.write("store.json", content)
        with pytest.raises(BadStore, match="does not say"):
            await either_store.belongs_to("real")


@pytest.mark.parametrize(
    ("base_url", "kind"), [("https://api.runpod.ai/v2", "real"), ("http://127.0.0.1:8080/v2", "pretend")]
)
async def test_a_store_that_lost_what_says_its_kind_is_known_by_its_ledger(
    either_store: Store, base_url: str, kind: Kind
) -> None:
    await either_store.write("ledger/sd1-a/0001.json", b"half a rec")
    with pytest.raises(BadStore, match="restore that file"):
        await either_store.kind()
    await either_store.write("ledger/sd1-b/0001.json", json.dumps({"base_url": base_url}).encode())
    other: Kind = "real" if kind == "pretend" else "pretend"
    with pytest.raises(BadStore, match="nothing was submitted"):
        await refuse_other_kind(either_store, other)
    with pytest.raises(BadStore, match="never mixed"):
        await either_store.belongs_to(other)
    await refuse_other_kind(either_store, kind)
    assert await either_store.kind() == kind


async def test_many_first_users_agree_on_the_kind(either_store: Store) -> None:
    kinds: list[Kind] = ["real", "pretend", "real", "pretend"]
    outcomes = await asyncio.gather(*(either_store.belongs_to(kind) for kind in kinds), return_exceptions=True)
    told = await either_store.kind()
    for kind, outcome in zip(kinds, outcomes, strict=True):
        assert isinstance(outcome, BadStore) is (kind != told)
