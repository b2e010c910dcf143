"""Your own rows of the catalog: a YAML list in the file that PREFECT_SEEDANCE_CATALOG names."""

from __future__ import annotations

import os
from pathlib import Path

import yaml
from pydantic import ValidationError

from prefect_seedance.catalog.endpoints import KNOWN, Catalog, with_rows
from prefect_seedance.catalog.inputs import problems_of
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
    """Raise `BadInput` for a *request* of a model without a row, or with inputs that its row does not take."""
    refuse_unknown(request.model, catalog)
    if problems := list(problems_of(request, catalog[request.model])):
        raise BadInput(*(f"{problem}; nothing was submitted." for problem in problems))


def load_catalog() -> Catalog:
    """The known endpoints with your rows added, or put in their place. Raises `BadInput` with every mistake."""
    place = os.environ.get(VARIABLE)
    if not place:
        return KNOWN
    try:
        rows = yaml.safe_load(Path(place).read_text(encoding="utf-8"))
        if not isinstance(rows, list):
            raise BadInput(f"{VARIABLE}: {place} has to be a YAML list of endpoints.")
        return with_rows(rows)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{VARIABLE}: {place} can't be read: {error}") from error
    except ValidationError as error:
        raise BadInput(*(f"{place}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())) from error
