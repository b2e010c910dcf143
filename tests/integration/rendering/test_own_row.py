"""A row of one's own is rendered for real: what it is asked for, in what order, and what it may and does cost."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import av
import pytest
from PIL import Image

from prefect_seedance.catalog.endpoints import Catalog
from prefect_seedance.catalog.loading import VARIABLE, load_catalog
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.models import AUTO
from prefect_seedance.rendering.plan import make_plan
from prefect_seedance.rendering.steps import DirectSteps
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage import open_store
from prefect_seedance.storyboard.reading import read_board
from tests.support.emulating import RunningEmulator
from tests.support.generating import run_of
from tests.support.renderer import QUICK
from tests.support.rows import SEEDANCE_2_YAML

BOARD = """\
title: The lighthouse
defaults: {model: seedance-2-5, size: 480p, duration: 4, inputs: {generate_audio: false}}
cast:
  keeper: [keeper.png, side.png]
  lighthouse: tower.png
shots:
  - {id: both, prompt: A keeper before his lighthouse., cast: [lighthouse, keeper]}
  - {id: portrait, prompt: A keeper., cast: [keeper], aspect_ratio: 9:16, inputs: {generate_audio: true}}
  - {id: chosen, prompt: As long as it takes., duration: auto, image: keeper.png}
"""


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    rows = tmp_path / "rows.yaml"
    rows.write_text("- " + SEEDANCE_2_YAML.replace("\n", "\n  ").strip() + "\n")
    monkeypatch.setenv(VARIABLE, str(rows))
    return load_catalog()


@pytest.fixture
def served(catalog: Catalog, tmp_path: Path) -> Iterator[RunningEmulator]:
    """An emulator that knows the row as well, and serves the store to itself."""
    (tmp_path / "store").mkdir()
    with RunningEmulator.start(latency=0.3, serve=tmp_path / "store") as running:
        yield running


async def test_a_row_of_the_next_seedance_is_rendered_with_cast_ratio_and_a_chosen_length(
    catalog: Catalog, served: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, shade in (("keeper", "navy"), ("side", "teal"), ("tower", "gray")):
        Image.new("RGB", (640, 480), shade).save(f"{name}.png")
    Path("board.yaml").write_text(BOARD)
    board = await read_board("board.yaml", catalog=catalog, store=None)
    assert board.problems == ()
    store = open_store(tmp_path / "store", public_base_url=served.public_base_url)
    account = Account("test-key", served.base_url)
    plan = (await make_plan(board, Ledger(store), account=account, catalog=catalog)).plan
    assert [(shot.size, shot.estimated_usd) for shot in plan.shots] == [
        ("864x496", Decimal("0.32")),
        ("496x864", Decimal("0.36")),
        ("864x496", Decimal("2.40")),
    ]
    async with RunpodClient(account) as client:
        session = RenderSession(client, Ledger(store), catalog=catalog, waiting=QUICK)
        results = (await run_of(session, board, DirectSteps(session))).results()
        again = (await make_plan(board, Ledger(store), account=account, catalog=catalog)).plan
    assert [(shot.status, shot.width, shot.height, shot.seconds) for shot in results] == [
        ("stored", 864, 496, 4),
        ("stored", 496, 864, 4),
        ("stored", 864, 496, 5),
    ]
    assert not any(shot.duration_mismatch for shot in results)
    assert board.shots[2].request is not None
    assert board.shots[2].request.duration == AUTO
    assert [shot.cost_usd for shot in results] == [Decimal("0.32"), Decimal("0.36"), Decimal("0.40")]
    assert [shot.action for shot in again.shots] == ["reuse"] * 3
    with av.open(str(tmp_path / "store" / str(results[0].clip))) as clip:  # first the tower, then the keeper
        shades = [frame.to_image().getpixel((100, 250)) for frame in clip.decode(video=0)]
    assert max(shades[0]) - min(shades[0]) < 20 < shades[-1][2] - shades[-1][0]
    assert sorted(charge["usd"] for charge in served.charges) == [0.32, 0.36, 0.4]


async def test_a_cast_that_the_provider_cannot_fetch_is_said_before_anything_is_submitted(
    catalog: Catalog, served: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (640, 480), "navy").save("keeper.png")
    Path("board.yaml").write_text(
        "title: F\ndefaults: {model: kling-video-o1-r2v}\ncast: {keeper: keeper.png}\n"
        "shots: [{id: a, prompt: x, cast: keeper}]\n"
    )
    board = await read_board("board.yaml", catalog=catalog, store=None)
    account = Account("test-key", served.base_url)
    plan = (await make_plan(board, Ledger(open_store(tmp_path / "store")), account=account, catalog=catalog)).plan
    assert [shot.action for shot in plan.shots] == ["blocked"]
    assert "--public-base-url" in plan.problems[0].message
    assert served.charges == []
