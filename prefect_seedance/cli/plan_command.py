"""plan: what a board costs. Imports nothing that only a command needs which submits."""

from __future__ import annotations

import asyncio

from prefect_seedance.catalog.endpoints import Catalog
from prefect_seedance.cli import terminal
from prefect_seedance.cli.exit_codes import DONE, REFUSED
from prefect_seedance.cli.options import Json, Place, RetryFailed
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.rendering.plan import Planned, make_plan
from prefect_seedance.runpod.account import Account
from prefect_seedance.sources.catalog import catalog_of
from prefect_seedance.storage.store import Store, refuse_other_kind
from prefect_seedance.storyboard.board import Board
from prefect_seedance.storyboard.reading import read_board


def plan(board: str, place: Place, *, retry_failed: RetryFailed = 0, json: Json = False) -> int:
    """Say what a render would do and cost. Spends nothing and needs no server."""

    # It shows the plan as well: what a coroutine returns, asyncio puts into words when it ends, for nobody.
    async def look() -> int:
        store, who = place.open(), place.who()
        catalog = await catalog_of(store)
        read = await read_board(board, catalog=catalog, store=store, allow_private=who.kind == "pretend")
        planned = await plan_of(read, store, who, catalog, retry_failed)
        terminal.show_plan(planned, as_json=json)
        return REFUSED if planned.plan.problems else DONE

    return asyncio.run(look())


async def plan_of(board: Board, store: Store, who: Account, catalog: Catalog, retry_failed: int) -> Planned:
    """The plan of *board* over *store*, which is closed. Raises `BadStore` for a store of the other kind."""
    try:
        await refuse_other_kind(store, who.kind)
        return await make_plan(board, Ledger(store), account=who, catalog=catalog, retry_failed=retry_failed)
    finally:
        await store.aclose()
