"""Bring home the clips that other runs left: every five minutes, so that no job record expires unseen."""

from __future__ import annotations

from typing import Any

from prefect import flow

from prefect_seedance import shown
from prefect_seedance.blocks import RunpodCredentials, VideoStore
from prefect_seedance.client import open_client
from prefect_seedance.collecting import collect
from prefect_seedance.generation import Run
from prefect_seedance.ledger import Ledger
from prefect_seedance.plan import refuse_other_kind
from prefect_seedance.spending import Spending


@flow(name="collect-finished", flow_run_name="collect")
async def collect_finished(credentials: RunpodCredentials, store: VideoStore) -> dict[str, Any]:
    """Look at what is open in the ledger, from any run, and bring home what is done. Spends nothing.

    Args:
        credentials: The Runpod account that submitted the jobs.
        store: Where clips and ledger live.
    """
    account, opened = credentials.account(), store.open()
    try:
        await refuse_other_kind(opened, account.kind)
        async with open_client(account) as client:
            run = Run(client, Ledger(opened), on_step=shown.event)
            collected = await collect(run, Spending(opened))
    finally:
        await opened.aclose()
    await shown.collected(collected.as_json())
    return collected.as_json()
