"""Your own rows of the catalog: a YAML list, such as the file that PREFECT_SEEDANCE_CATALOG names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from prefect_seedance.catalog.endpoints import KNOWN, Catalog, with_rows
from prefect_seedance.catalog.inputs import problems_of
from prefect_seedance.catalog.known import LOADER
from prefect_seedance.errors import BadInput
from prefect_seedance.models import Request
from prefect_seedance.text import printable

VARIABLE = "PREFECT_SEEDANCE_CATALOG"


def refuse_unknown(model: str, catalog: Catalog) -> None:
    """Raise `BadInput` for a *model* that has no row in *catalog*."""
    if model not in catalog:
        known = ", ".join(sorted(catalog))
        raise BadInput(f"The catalog has no endpoint {printable(model)}; nothing was submitted; it has {known}.")


def refuse_wrong(request: Request, catalog: Catalog) -> None:
    """Raise `BadInput` for a *request* of a model without a row, or that its row does not take."""
    refuse_unknown(request.model, catalog)
    if problems := list(problems_of(request, catalog[request.model])):
        raise BadInput(*(f"{problem}; nothing was submitted." for problem in problems))


def load_catalog(known: Catalog = KNOWN) -> Catalog:
    """The *known* endpoints, and over them the rows of the file that PREFECT_SEEDANCE_CATALOG names.

    Raises `BadInput` with every mistake.
    """
    place = os.environ.get(VARIABLE)
    if not place:
        return known
    try:
        rows = Path(place).read_bytes()
    except OSError as error:
        raise BadInput(f"{VARIABLE}: {place} can't be read: {error}") from error
    return with_own_rows(rows, f"{VARIABLE}: {place}", known)


def with_own_rows(content: bytes, place: str, known: Catalog = KNOWN) -> Catalog:
    """The *known* endpoints, and over them the rows that *content* lists, which was read at *place*.

    Raises `BadInput` with every mistake.
    """
    try:
        rows = yaml.load(content.decode("utf-8"), Loader=LOADER)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise BadInput(f"{place} has to be a YAML list of endpoints.")
        if strangers := [str(row["like"]) for row in rows if row.get("like", next(iter(known))) not in known]:
            raise BadInput(f"{place}: no endpoint is called {printable(strangers[0])}, which a row is to be `like`.")
        if problems := [f"{place}: {problem}" for row in rows for problem in _problems_of(row, known)]:
            raise BadInput(*problems)
        return with_rows(rows, known)
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{place} can't be read: {error}") from error


def _problems_of(row: dict[str, Any], known: Catalog) -> list[str]:
    """What is wrong with a row of one's own, each with the row's name."""
    try:
        with_rows([row], known)
    except ValidationError as error:
        name = printable(str(row.get("slug") or "a row without a slug"))
        return [f"{name}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
    return []
