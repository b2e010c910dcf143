"""Do the endpoints answer that a run would pay? Asked for nothing; where one does not, the rows are named that do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from prefect_seedance.catalog.alternatives import in_words, others
from prefect_seedance.catalog.endpoints import Catalog, Model
from prefect_seedance.errors import ApiUnreachable, BadInput, NoEndpoint
from prefect_seedance.runpod.client import RunpodClient


async def check_endpoints(slugs: Iterable[str], client: RunpodClient, catalog: Catalog) -> None:
    """Return if the API takes the key and knows all *slugs*; `BadInput` or `ApiUnreachable` with the remedy if not."""
    for slug in sorted(slugs):
        try:
            await client.check(slug)
        except NoEndpoint as error:
            raise NoEndpoint(f"{error} {await _which_answer(slug, client, catalog)}") from error


async def _which_answer(slug: str, client: RunpodClient, catalog: Catalog) -> str:
    async def known(row: Model) -> bool:
        try:
            await client.check(row.slug)
        except (BadInput, ApiUnreachable):
            return False
        return True

    rows = others(catalog[slug], catalog)
    answers = await asyncio.gather(*map(known, rows))
    answering = [row for row, yes in zip(rows, answers, strict=True) if yes]
    return f"These answer: {in_words(answering)}." if answering else "No other row of the catalog answers there."
