"""From a request to its key. The key is a contract: a changed key is a second payment."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from typing import Any

from prefect_seedance.models import ABSENT_WHEN_EMPTY, LastFrame, Picture, Request

TAG = "sd1"
"""Names the way of making a key, in the key and in what is hashed. A new way needs a new tag and pays again."""

NOT_IDENTITY: dict[type, dict[str, str]] = {
    Request: {},
    LastFrame: {},
    Picture: {
        "source": "where the bytes came from does not change them",
        "format": "follows from the bytes",
        "width": "follows from the bytes",
        "height": "follows from the bytes",
        "bytes": "follows from the bytes",
    },
}
"""The fields that do not take part in the key, each with its reason."""


def key_of(request: Request) -> str:
    """The key of *request*: `sd1-` and 32 hex digits, the same on any machine and in any run."""
    text = json.dumps(_identity(request), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(f"{TAG}\n{text}".encode()).hexdigest()
    return f"{TAG}-{digest[:32]}"


def _identity(value: Any) -> Any:
    if isinstance(value, Request | Picture | LastFrame):
        left_out = NOT_IDENTITY[type(value)]
        fields = {name: getattr(value, name) for name in type(value).model_fields if name not in left_out}
        return {n: _identity(field) for n, field in fields.items() if field or n not in ABSENT_WHEN_EMPTY}
    if isinstance(value, dict):
        return {name: _identity(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_identity(one) for one in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)  # 5.0 and 5 are one number, whoever wrote it
    return unicodedata.normalize("NFC", value).strip() if isinstance(value, str) else value
