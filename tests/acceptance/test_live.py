"""Against the real API: run by `pytest --live` with RUNPOD_API_KEY, for at most $0.15; skipped otherwise."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest

from prefect_seedance.errors import BadInput, JobGone
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Step
from prefect_seedance.models import Request
from prefect_seedance.runpod.account import BASE_URL, Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage import open_store
from tests.support.generating import generate

KEY = os.environ.get("RUNPOD_API_KEY", "")
SLUG = "seedance-1-0-pro"

pytestmark = pytest.mark.live


@pytest.fixture(autouse=True)
def _by_the_proxies_of_this_machine(proxies: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in proxies.items():
        monkeypatch.setenv(name, value)


async def test_the_free_checks_mean_what_we_take_them_for() -> None:
    async with RunpodClient(Account(KEY)) as client:
        await client.check(SLUG)
        with pytest.raises(JobGone):
            await client.status(SLUG, "00000000-0000-0000-0000-000000000000-u1")
    async with RunpodClient(Account("not-a-key", BASE_URL)) as client:
        with pytest.raises(BadInput):
            await client.check(SLUG)


async def test_the_cheapest_clip_comes_home_for_its_listed_price(tmp_path: Path) -> None:
    request = Request(model=SLUG, prompt="A lighthouse at dawn.", size="864x480", duration=5, fps=24)
    async with RunpodClient(Account(KEY)) as client:
        run = RenderSession(client, Ledger(open_store(tmp_path / "store")))
        history = await generate(run, request)
        again = await generate(run, request)
    assert history.state is Step.STORED
    assert again.number == history.number
    assert history.last is not None
    assert history.last.charged_usd <= Decimal("0.15")
