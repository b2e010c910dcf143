"""Free checks of everything a run needs: key, endpoint, decoder, what the store promises, the Prefect API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx

from prefect_seedance.catalog.alternatives import why_withdrawn
from prefect_seedance.catalog.endpoints import Catalog
from prefect_seedance.catalog.loading import refuse_unknown
from prefect_seedance.cli import prefect_api
from prefect_seedance.cli.exit_codes import DONE, exit_code_of
from prefect_seedance.errors import BadInput, SeedanceError
from prefect_seedance.rendering.endpoints import check_endpoints
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.sources.catalog import catalog_of
from prefect_seedance.storage.store import Store, refuse_other_kind
from prefect_seedance.video import decoder


@dataclass(frozen=True)
class Check:
    """One thing looked at, what was seen, and what a command would end with that meets it."""

    name: str
    exit_code: int
    summary: str


async def examine(who: Callable[[], Account], store: Callable[[], Store] | None, model: str) -> list[Check]:
    """Look at everything, whatever fails on the way. Costs nothing; of a store that was not there it leaves the folder.

    *who* and *store* are asked within the checks, so that what they raise is a finding.
    """

    async def api() -> str:
        account = who()
        account.check()
        catalog = await _catalog(store)
        refuse_unknown(model, catalog)
        async with RunpodClient(account) as client:
            await check_endpoints([model], client, catalog)
        if catalog[model].withdrawn:
            raise BadInput(f"{why_withdrawn(model, catalog)}.")
        return f"{account.base_url} takes the key and knows {model}"

    async def place() -> str:
        assert store is not None
        opened = store()
        try:
            await refuse_other_kind(opened, who().kind)
            await opened.prove()
            link = await opened.link("clips/example.mp4", 60)
        finally:
            await opened.aclose()
        reach = (
            "its pictures can be fetched by the provider"
            if link
            else "not reachable from outside: no chains, no pictures"
        )
        return f"{opened.url} lets one writer win; {reach}"

    async def decoding() -> str:
        await decoder.prove()
        return "clips are decoded"

    checks = [await _check("API", api), await _check("Decoder", decoding)]
    if store is not None:
        checks.append(await _check("Store", place))
    checks.append(await _check("Prefect", _prefect))
    return checks


async def _catalog(store: Callable[[], Store] | None) -> Catalog:
    if store is None:
        return await catalog_of(None)
    opened = store()
    try:
        return await catalog_of(opened)
    finally:
        await opened.aclose()


async def _check(name: str, look: Callable[[], Awaitable[str]]) -> Check:
    try:
        return Check(name, DONE, await look())
    except SeedanceError as error:
        return Check(name, exit_code_of(error), str(error))


async def _prefect() -> str:
    url = prefect_api.url()
    if not url:
        return "no PREFECT_API_URL is set; runs need none, and --prefect starts a server for one"
    try:
        async with httpx.AsyncClient(timeout=10) as client:
            answer = await client.get(f"{url.rstrip('/')}/health")
            answer.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise BadInput(
            f"The Prefect API at {url} does not answer ({error}); start it or unset PREFECT_API_URL."
        ) from error
    return f"{url} answers"
