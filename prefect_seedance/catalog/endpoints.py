"""The known endpoints as rows of data, and what is asked of one. Another endpoint is a new row, not new code.

Prices and inputs are those of each row's `source` at the date in `checked`. Runpod does withdraw endpoints, so
`prefect-seedance doctor` asks for free whether one still answers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from prefect_seedance.catalog.known import KNOWN, Catalog
from prefect_seedance.catalog.model import Model, Tier, nearest_ratio
from prefect_seedance.models import AUTO, Request

__all__ = ["KNOWN", "Catalog", "Model", "Tier", "input_of", "nearest_ratio", "own_rows", "with_rows"]


def with_rows(rows: Iterable[dict[str, Any]], known: Catalog = KNOWN) -> Catalog:
    """The catalog with rows of your own added, or put in the place of known ones. Raises pydantic's ValidationError.

    What a row does not say is as in the known one that it is `like`.
    """
    return {**known, **{model.slug: model for model in (_row(row, known) for row in rows)}}


def _row(own: dict[str, Any], known: Catalog) -> Model:
    inherited = known[own["like"]].model_dump(exclude_unset=True) if own.get("like") in known else {}
    return Model.model_validate(inherited | {name: value for name, value in own.items() if name != "like"})


def own_rows(catalog: Catalog) -> str | None:
    """A hash of the rows of *catalog* that are somebody's own, whatever file they were in; None where there is none."""
    own = {slug: row for slug, row in catalog.items() if row != KNOWN.get(slug)}
    rows = {slug: row.model_dump(mode="json", exclude_defaults=True) for slug, row in own.items()}
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest() if rows else None


def input_of(
    request: Request, model: Model, image: str | None, last_image: str | None, references: Sequence[str] = ()
) -> dict[str, Any]:
    """The `input` object of the POST. *image*, *last_image* and *references* are links that the provider can fetch.

    What the endpoint would switch on by itself is switched off here by the row's `send`. That is no part of the key.
    """
    fields: dict[str, Any] = {"prompt": request.prompt}
    if request.duration != AUTO:
        fields["duration"] = request.duration
    elif model.auto is not None and model.auto.send is not None:
        fields["duration"] = model.auto.send
    if model.image != "none":
        fields[model.image_key] = image or ""  # the vendor wants it there, and empty for text to video
    if model.last_image_key and last_image:
        fields[model.last_image_key] = last_image
    if model.references and references:
        fields[model.references.key] = list(references)
    if model.fps:
        fields["fps"] = request.fps
    fields |= _size_fields(request.size, model)
    if model.ratio_with_image and (image or last_image):
        fields[model.ratio_key] = model.ratio_with_image
    sent = {name: one.send for name, one in model.inputs.items() if one.send is not None}
    return fields | sent | request.inputs


def _size_fields(size: str, model: Model) -> dict[str, str]:
    tier = model.tier_of(size)
    name = tier.name if tier else ""
    match model.size_as:
        case "WxH":
            return {model.size_key: size}
        case "W*H":
            return {model.size_key: size.replace("x", "*")}
        case "tier":
            return {model.size_key: name}
        case "tier and ratio":
            return {model.size_key: name, model.ratio_key: nearest_ratio(size)}
        case "ratio":
            return {model.ratio_key: nearest_ratio(size)}
        case "left out":
            return {}
