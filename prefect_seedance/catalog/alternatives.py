"""Which rows there are in the place of another: what each makes a clip of, or speaks, and for how much."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from prefect_seedance.catalog.known import Catalog
from prefect_seedance.catalog.model import Model, planned_seconds
from prefect_seedance.catalog.options import first_offered
from prefect_seedance.catalog.pricing import estimate
from prefect_seedance.models import AUTO, Request
from prefect_seedance.text import dollars

BEGINS = {"none": "from text", "optional": "from text or a picture", "required": "from a picture"}


FEW = 5
SPOKEN = 1000
"""Characters of the text by whose price rows that speak are compared."""


def others(model: Model, catalog: Catalog) -> list[Model]:
    """The rows that could be asked in the place of *model*, the cheapest second first."""
    if model.kind == "speech":
        return [row for row in speakers(catalog) if row.slug != model.slug]
    rows = [row for row in catalog.values() if row.slug != model.slug and _could_replace(row, model)]
    return sorted(filter(_price, rows), key=lambda row: _price(row) / Decimal(str(_seconds(row))))


def speakers(catalog: Catalog) -> list[Model]:
    """The rows that speak a text and need nothing else, the cheapest first."""
    rows = [row for row in catalog.values() if row.kind == "speech" and not row.withdrawn]
    return sorted((row for row in rows if not any(one.required for one in row.inputs.values())), key=_price)


def _could_replace(row: Model, model: Model) -> bool:
    """Whether *row* makes clips of the same things, with nothing that *model* would not be given."""
    if not row.kind == model.kind == "video" or row.withdrawn or any(one.required for one in row.inputs.values()):
        return False
    if bool(row.references and row.references.at_least) > bool(model.references):
        return False
    return model.image == "optional" or row.image in (model.image, "optional")


def in_words(rows: Iterable[Model]) -> str:
    """What each of *rows* makes a clip of, how long one is, and what it costs."""
    return ", ".join(_one(row) for row in rows)


def why_withdrawn(slug: str, catalog: Catalog) -> str:
    """Why nothing new is asked of a marked row, and what there is in its place."""
    rows = in_words(others(catalog[slug], catalog)[:FEW])
    return f"nothing new is asked of {slug}, since {catalog[slug].withdrawn}; choose another model, such as {rows}"


def begins(row: Model) -> str:
    """What an endpoint makes a clip of."""
    return "from reference pictures" if row.references and row.references.at_least else BEGINS[row.image]


def _one(row: Model) -> str:
    if row.kind == "speech":
        return f"{row.slug} ({SPOKEN:,} characters for {dollars(_price(row))})"
    length = f"{_seconds(row):g} s" if row.durations else "a clip"
    return f"{row.slug} ({begins(row)}, {length} for {dollars(_price(row))})"


def _usual(row: Model) -> Request:
    if row.kind == "speech":
        return Request(model=row.slug, prompt="x" * SPOKEN, size="", duration=AUTO)
    fps, seconds = first_offered("fps", row), first_offered("duration", row)
    return Request(model=row.slug, prompt="", size=row.default_size, duration=seconds, fps=fps)


def _seconds(row: Model) -> float:
    return planned_seconds(_usual(row), row)


def _price(row: Model) -> Decimal:
    """What its usual clip costs; 0 where the row has no price for it."""
    try:
        return estimate(_usual(row), row)
    except ValueError:
        return Decimal(0)
