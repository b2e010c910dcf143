"""A claim that the store did not take spends nothing of a budget."""

from __future__ import annotations

from decimal import Decimal

import pytest

from prefect_seedance.budget.run_budget import RunBudget
from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.catalog.pricing import upper
from prefect_seedance.errors import BadStore
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.generation.submit import submit
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Step
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator
from tests.support.renderer import QUICK, small
from tests.support.s3_server import Line


@pytest.mark.parametrize(("status", "code"), [(400, "ExpiredToken"), (403, "AccessDenied"), (404, "NoSuchBucket")])
async def test_a_claim_that_the_bucket_refuses_takes_nothing_of_the_budget(
    emulator: RunningEmulator,
    client: RunpodClient,
    far_store: Store,
    line: Line,
    prompt: str,
    status: int,
    code: str,
) -> None:
    first, second = small(f"{prompt} first"), small(f"{prompt} second")
    price = upper(first, KNOWN[first.model])
    budget = RunBudget(price + Decimal("0.001"))
    run = RenderSession(client, Ledger(far_store), waiting=QUICK, budget=budget)

    def refuse_claims(method: str, path: str) -> None:
        line.answer_instead = (status, code) if method == "PUT" and "/ledger" in path else None

    line.on_request = refuse_claims
    with pytest.raises(BadStore):
        await submit(run, first)
    assert budget.usage_usd == 0
    line.on_request, line.answer_instead = lambda method, path: None, None
    assert (await submit(run, second)).state is Step.ACCEPTED
    assert sum(charge["prompt"].startswith(prompt) for charge in emulator.charges) == 1
