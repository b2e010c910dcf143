"""Rows of one's own in the store: every worker has them, and the manifest names them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from prefect_seedance.catalog.endpoints import KNOWN, own_rows, with_rows
from prefect_seedance.catalog.loading import VARIABLE
from prefect_seedance.errors import BadInput
from prefect_seedance.sources.catalog import catalog_of
from prefect_seedance.storage.store import Store
from tests.support.commanding import Desk
from tests.support.emulating import RunningEmulator
from tests.support.rows import SEEDANCE_2

BOARD = """
    title: Next
    defaults: {model: seedance-2-5, size: 480p, duration: 4, inputs: {generate_audio: false}}
    shots: [{id: a, prompt: Gulls.}]
"""


async def test_rows_in_the_store_are_known_to_whoever_opens_it(either_store: Store) -> None:
    assert await catalog_of(either_store) == KNOWN
    await either_store.write("catalog.yaml", yaml.safe_dump([SEEDANCE_2]).encode())
    assert set(await catalog_of(either_store)) == {*KNOWN, "seedance-2-5"}


async def test_rows_of_this_machine_stand_before_those_of_the_store(
    folder_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await folder_store.write("catalog.yaml", yaml.safe_dump([SEEDANCE_2]).encode())
    (tmp_path / "rows.yaml").write_text(yaml.safe_dump([SEEDANCE_2 | {"title": "Mine"}]))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "rows.yaml"))
    assert (await catalog_of(folder_store))["seedance-2-5"].title == "Mine"


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (b"title: no list", "has to be a YAML list of endpoints"),
        (b"- [not, a, row]", "has to be a YAML list of endpoints"),
        (b"- {slug: half}", "catalog.yaml: half: title: Field required"),
        (b"\xff\xfe", "can't be read"),
        (b"- [", "can't be read"),
        (b"#" * 2**21, "larger than 1,048,576 bytes"),
    ],
    ids=["no list", "no row", "half a row", "no text", "no YAML", "too large"],
)
async def test_rows_that_cannot_be_used_say_where_they_are(rows: bytes, told: str, folder_store: Store) -> None:
    await folder_store.write("catalog.yaml", rows)
    with pytest.raises(BadInput, match=told) as problem:
        await catalog_of(folder_store)
    assert folder_store.url in str(problem.value)


async def test_the_hash_is_of_the_rows_and_not_of_how_they_are_written(folder_store: Store) -> None:
    hashes = set()
    for written in (yaml.safe_dump([SEEDANCE_2]), "# again\n" + yaml.safe_dump([SEEDANCE_2], default_flow_style=True)):
        await folder_store.write("catalog.yaml", written.encode())
        hashes.add(own_rows(await catalog_of(folder_store)))
    assert len(hashes) == 1
    await folder_store.write("catalog.yaml", yaml.safe_dump([SEEDANCE_2 | {"note": "dearer"}]).encode())
    assert own_rows(await catalog_of(folder_store)) not in {*hashes, None}
    assert own_rows(KNOWN) is None


def test_a_board_is_planned_rendered_and_billed_by_the_rows_of_the_store_and_its_manifest_says_so(
    tmp_path: Path,
) -> None:
    store = tmp_path / "films"
    store.mkdir()
    (store / "catalog.yaml").write_text(yaml.safe_dump([SEEDANCE_2]))
    with RunningEmulator.start(latency=0.3, serve=store) as emulator:
        desk = Desk(tmp_path, {"RUNPOD_API_KEY": "k", "RUNPOD_BASE_URL": emulator.base_url})
        desk.store = str(store)
        board = desk.board(BOARD)
        assert desk.run("doctor", "--model", "seedance-2-5").code == 0
        assert desk.run("plan", board, "--json").document["estimated_usd"] == 0.32
        manifest = desk.run("render", board, "--json").document
        assert [charge["usd"] for charge in emulator.charges] == [0.32]
        (store / "catalog.yaml").unlink()
        said = desk.run("plan", board)
        assert (said.code, "seedance-2-5" in said.err) == (2, True)
    assert manifest["catalog"] == own_rows(with_rows([SEEDANCE_2]))
