"""A row that is marked makes nothing new, says why, and takes nothing from anybody that was paid before."""

from __future__ import annotations

from decimal import Decimal

from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.models import Picture, Request
from prefect_seedance.rendering.plan import make_plan
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage.store import Store
from tests.support.generating import board_of, rendered
from tests.support.renderer import QUICK, small

FACE = Picture(sha256="ab" * 32, format="PNG", width=640, height=480, bytes=1000, source="keeper.png")


def asked_of_sora(prompt: str) -> Request:
    return Request(model="sora-2-i2v", prompt=prompt, size="1280x720", duration=4, image=FACE)


async def test_what_a_marked_row_made_is_reused_and_nothing_new_is_asked_of_it(
    account: Account, store: Store, client: RunpodClient, prompt: str
) -> None:
    paid = small(prompt)
    await rendered(RenderSession(client, Ledger(store), waiting=QUICK), paid)
    marked = {
        **KNOWN,
        paid.model: KNOWN[paid.model].model_copy(update={"withdrawn": "it went"}),
    }
    board = board_of(paid, small(f"{prompt} new"), asked_of_sora(prompt))
    plan = (await make_plan(board, Ledger(store), account=account, catalog=marked)).plan
    assert [shot.action for shot in plan.shots] == ["reuse", "blocked", "blocked"]
    assert plan.estimated_usd == Decimal(0)
    first, second = (problem.message for problem in plan.problems)
    assert first.startswith("nothing new is asked of seedance-1-0-pro, since it went; choose another model, such as p-")
    assert "since OpenAI shut Sora 2 down on 2026-09-24; choose another model, such as p-video (" in second
