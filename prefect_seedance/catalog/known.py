"""The rows that come with the package, read once: YAML files in `rows/`, one per vendor."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import yaml

from prefect_seedance.catalog.model import Model

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
VENDORS = ("bytedance", "alibaba", "pruna", "vidu", "kling", "others", "speech")


def _rows_of(vendor: str) -> list[Model]:
    text = files("prefect_seedance.catalog").joinpath("rows", f"{vendor}.yaml").read_text(encoding="utf-8")
    return [Model.model_validate(row) for row in yaml.load(text, Loader=LOADER)]


Catalog = dict[str, Model]
"""The endpoints by slug."""

KNOWN: Catalog = {row.slug: row for vendor in VENDORS for row in _rows_of(vendor)}
