"""What a plan takes: work and memory in proportion to its shots, up to the largest board."""

from __future__ import annotations

import sys
import tracemalloc
from collections import Counter
from pathlib import Path
from types import FrameType

import pytest

from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.rendering.plan import Planned, make_plan
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage import open_store
from prefect_seedance.storyboard.board import MOST_SHOTS, Board
from prefect_seedance.storyboard.reading import Defaults, ShotSpec, Storyboard, read_board

ACCOUNT = Account("test-key", "http://127.0.0.1:1/v2")


async def board_of(count: int, *, backwards: bool = False) -> Board:
    """So many different shots; *backwards*, each continues the one after it."""
    shots = tuple(
        ShotSpec(id=f"s{n}", prompt=f"Scene {n}.", continue_from=f"s{n + 1}" if backwards and n + 1 < count else None)
        for n in range(count)
    )
    written = Storyboard(title="Large", defaults=Defaults(size="640x640", duration=2), shots=shots, max_chain=count)
    return await read_board(written, catalog=KNOWN, store=None)


async def planned(board: Board, folder: Path) -> Planned:
    return await make_plan(board, Ledger(open_store(str(folder), public_base_url="http://x")), account=ACCOUNT)


async def calls_of(board: Board, folder: Path) -> Counter[str]:
    """How often which function of Python was called for one plan: work that no busy machine changes."""
    called: Counter[str] = Counter()

    def count(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            called[frame.f_code.co_name] += 1

    sys.setprofile(count)
    try:
        await planned(board, folder)
    finally:
        sys.setprofile(None)
    return called


@pytest.mark.parametrize("backwards", [False, True])
async def test_the_work_of_a_plan_grows_as_its_shots_do(tmp_path: Path, *, backwards: bool) -> None:
    small, large = [await board_of(count, backwards=backwards) for count in (250, 1_000)]
    assert (await calls_of(large, tmp_path)).total() < 4.5 * (await calls_of(small, tmp_path)).total()


async def test_a_plan_does_not_go_to_another_thread_for_each_shot(tmp_path: Path) -> None:
    called = await calls_of(await board_of(1_000), tmp_path)
    assert called["run_in_executor"] < 20


async def test_ten_thousand_shots_are_planned_in_one_board(tmp_path: Path) -> None:
    plan = (await planned(await board_of(MOST_SHOTS), tmp_path)).plan
    assert (len(plan.shots), plan.problems) == (10_000, ())


async def test_a_shot_of_a_large_board_takes_no_more_memory_than_one_of_a_small_board(tmp_path: Path) -> None:
    per_shot = []
    for count in (300, 1_500):
        tracemalloc.start()
        await planned(await board_of(count), tmp_path)
        per_shot.append(tracemalloc.get_traced_memory()[1] / count)
        tracemalloc.stop()
    assert per_shot[1] < 1.2 * per_shot[0]


async def test_equal_shots_are_planned_as_one_payment_of_the_first(tmp_path: Path) -> None:
    shots = tuple(ShotSpec(id=name, prompt="Dawn.") for name in ("a", "b", "c"))
    written = Storyboard(title="Twins", defaults=Defaults(size="640x640", duration=2), shots=shots)
    found = await planned(await read_board(written, catalog=KNOWN, store=None), tmp_path)
    assert [(shot.action, shot.problem) for shot in found.plan.shots] == [
        ("generate", None),
        ("generate", "the same request as a: one clip, paid once"),
        ("generate", "the same request as a: one clip, paid once"),
    ]
    assert len(found.to_pay) == 1
    assert found.plan.estimated_usd == next(iter(found.to_pay.values()))


@pytest.mark.parametrize(("duration", "told"), [(2, 1), (99, 0)], ids=["whole", "blocked"])
async def test_a_change_is_said_to_pay_again_only_where_that_has_a_price(
    tmp_path: Path, duration: int, told: int
) -> None:
    shots = (ShotSpec(id="a", prompt="Dawn."), ShotSpec(id="b", prompt="Dusk.", continue_from="a", duration=duration))
    written = Storyboard(title="Chain", defaults=Defaults(size="640x640", duration=2), shots=shots)
    said = (await planned(await read_board(written, catalog=KNOWN, store=None), tmp_path)).warnings
    assert len([line for line in said if "also pays again for b" in line]) == told
    assert not any("$0.00" in line for line in said)
