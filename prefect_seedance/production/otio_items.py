"""Items of an OpenTimelineIO timeline as plain dictionaries, with all the fields that its library wants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal


def track(name: str, kind: Literal["Video", "Audio"], children: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"OTIO_SCHEMA": "Track.1", "name": name, "kind": kind, "children": children, **plain()}


def gap(length: dict[str, Any]) -> dict[str, Any]:
    """Nothing, for the length of a range."""
    return {"OTIO_SCHEMA": "Gap.1", "name": "", **plain(), "source_range": length}


def plain() -> dict[str, Any]:
    """The fields that OpenTimelineIO wants in every item, without content here."""
    return {"metadata": {}, "source_range": None, "effects": [], "markers": [], "enabled": True}


def clip_item(
    name: str, length: dict[str, Any], metadata: dict[str, Any], markers: list[dict[str, Any]], media: dict[str, Any]
) -> dict[str, Any]:
    own = {"name": name, "source_range": length, "metadata": metadata, "markers": markers}
    reference = {"media_references": {"DEFAULT_MEDIA": media}, "active_media_reference_key": "DEFAULT_MEDIA"}
    return {"OTIO_SCHEMA": "Clip.2", **plain(), **own, **reference}


def reference(schema: str, name: str, available: dict[str, Any] | None) -> dict[str, Any]:
    return {"OTIO_SCHEMA": schema, "name": name, "available_range": available, "metadata": {}}


def media(url: str, length: dict[str, Any]) -> dict[str, Any]:
    return {**reference("ExternalReference.1", url.rpartition("/")[2], length), "target_url": url}


def time_range(frames: int, rate: float) -> dict[str, Any]:
    start, duration = ({"OTIO_SCHEMA": "RationalTime.1", "rate": rate, "value": float(at)} for at in (0, frames))
    return {"OTIO_SCHEMA": "TimeRange.1", "start_time": start, "duration": duration}
