"""The result of a flow: a few facts that Prefect can keep, and the way to the rest."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from prefect.results import ResultRecord, resolve_serializer  # type: ignore[attr-defined]
from prefect.serializers import Serializer

from prefect_seedance.errors import Missing
from prefect_seedance.orchestration.production import KEPT_AS, Production, address_of
from prefect_seedance.production.manifest import Manifest, ShotResult
from prefect_seedance.storage import open_store
from prefect_seedance.storage.store import Store

FOLDER = "productions/the-lighthouse/20261126T061500Z-0a1b2c"


def manifest(count: int = 1) -> Manifest:
    shots = [ShotResult(id=f"s{n}", status="stored", key=f"k{n}", take=1, cost_usd="0.12") for n in range(count)]
    unclear = ShotResult(id="noon", status="unclear", key="k", take=1, error="Nobody knows.")
    money: dict[str, Any] = {"estimated_usd": "0.24", "spent_usd": "0.12", "reused_usd": "0"}
    shown: dict[str, Any] = {"film": f"{FOLDER}/film.mp4", "shots": (*shots, unclear)}
    return Manifest(title="The lighthouse", status="partial", plan_hash="h", **money, **shown)


def kept(production: Production) -> Production:
    """As another process gets it from Prefect's result storage."""
    serializer: Serializer[Production] = resolve_serializer(KEPT_AS)
    content = serializer.dumps(production)
    assert len(content) < 1_000
    found: ResultRecord[Production] = ResultRecord.deserialize(content, backup_serializer=serializer)
    return found.result


async def written(folder: Path, count: int = 1) -> tuple[Store, Manifest]:
    store, made = open_store(str(folder / "my films")), manifest(count)
    await store.write(f"{FOLDER}/manifest.json", made.model_dump_json(by_alias=True).encode())
    return store, made


def test_what_costs_less_than_a_cent_is_no_zero_in_the_message_of_a_run(tmp_path: Path) -> None:
    spoken = manifest().model_copy(update={"spent_usd": Decimal("0.0038")})
    made = Production.of(spoken, FOLDER, open_store(str(tmp_path)))
    assert made.message == "1 of 2 shots stored, 1 unclear, $0.0038 spent"


async def test_another_process_gets_the_facts_and_loads_the_manifest(tmp_path: Path) -> None:
    store, made = await written(tmp_path, 500)
    production = kept(Production.of(made, FOLDER, store))
    assert production.model_dump() == Production.of(made, FOLDER, store).model_dump()
    assert (production.counts, production.film) == (
        {"stored": 500, "unclear": 1},
        f"file://{tmp_path}/my films/{FOLDER}/film.mp4",
    )
    assert production.message == "500 of 501 shots stored, 1 unclear, $0.12 spent"
    assert await production.aload() == made
    assert kept(production).load() == made  # inside a running loop
    assert kept(production).shots == made.shots


def test_a_flow_that_does_not_await_loads_it_too(tmp_path: Path) -> None:

    store, made = asyncio.run(written(tmp_path))
    assert kept(Production.of(made, FOLDER, store)).load() == made


async def test_a_production_that_could_not_be_written_says_what_to_do(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    here = Production.of(manifest(), None, store)
    assert here.load() == manifest()
    with pytest.raises(Missing, match="render again for nothing"):
        await kept(here).aload()
    with pytest.raises(Missing):
        await kept(Production.of(manifest(), FOLDER, store)).aload()


def test_a_production_in_a_bucket_is_addressed_there() -> None:
    store = open_store("s3://bucket/prefix", key="a", secret="b")
    assert address_of(store, "film.mp4") == "s3://bucket/prefix/film.mp4"
