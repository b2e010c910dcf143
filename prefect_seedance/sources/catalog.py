"""Your own rows of the catalog where every worker sees them: `catalog.yaml` in the store."""

from __future__ import annotations

from prefect_seedance.catalog.endpoints import Catalog
from prefect_seedance.catalog.loading import load_catalog, with_own_rows
from prefect_seedance.errors import BadInput, Missing
from prefect_seedance.storage.store import Store

PLACE = "catalog.yaml"
LARGEST = 2**20
"""Bytes; a row has about one thousand."""


async def catalog_of(store: Store | None) -> Catalog:
    """The known endpoints, over them the rows of `catalog.yaml` in *store*, over those the ones of this machine's file.

    Raises `BadInput` with every mistake.
    """
    if store is None:
        return load_catalog()
    try:
        rows = await store.read(PLACE, LARGEST + 1)
    except Missing:
        return load_catalog()
    if len(rows) > LARGEST:
        raise BadInput(f"{store.url}/{PLACE} is larger than {LARGEST:,} bytes; nothing was submitted; shorten it.")
    return load_catalog(with_own_rows(rows, f"{store.url}/{PLACE}"))
