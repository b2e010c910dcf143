"""Storyboards become Seedance clips on Runpod, and no failure pays twice.

The names below are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect_seedance.flows.collect_finished import collect_finished
    from prefect_seedance.flows.image_sequence_animation import image_sequence_animation
    from prefect_seedance.flows.process_inbox import process_inbox
    from prefect_seedance.flows.storyboard_to_shots import storyboard_to_shots
    from prefect_seedance.models import Request
    from prefect_seedance.orchestration.blocks import RunpodCredentials, SpendingLimits, VideoStore
    from prefect_seedance.orchestration.production import Production
    from prefect_seedance.orchestration.tasks import (
        assemble_film,
        persist_clip,
        publish_image,
        submit_clip,
        take_last_frame,
        wait_for_clip,
        write_production,
    )
    from prefect_seedance.production.manifest import Manifest
    from prefect_seedance.rendering.plan import Plan
    from prefect_seedance.storyboard.schema import Defaults, ShotSpec, Storyboard

_HOMES = {
    "flows.collect_finished": ("collect_finished",),
    "flows.image_sequence_animation": ("image_sequence_animation",),
    "flows.process_inbox": ("process_inbox",),
    "flows.storyboard_to_shots": ("storyboard_to_shots",),
    "models": ("Request",),
    "orchestration.blocks": ("RunpodCredentials", "SpendingLimits", "VideoStore"),
    "orchestration.production": ("Production",),
    "orchestration.tasks": (
        "assemble_film",
        "persist_clip",
        "publish_image",
        "submit_clip",
        "take_last_frame",
        "wait_for_clip",
        "write_production",
    ),
    "production.manifest": ("Manifest",),
    "rendering.plan": ("Plan",),
    "storyboard.schema": ("Defaults", "ShotSpec", "Storyboard"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Defaults",
    "Manifest",
    "Plan",
    "Production",
    "Request",
    "RunpodCredentials",
    "ShotSpec",
    "SpendingLimits",
    "Storyboard",
    "VideoStore",
    "assemble_film",
    "collect_finished",
    "image_sequence_animation",
    "persist_clip",
    "process_inbox",
    "publish_image",
    "storyboard_to_shots",
    "submit_clip",
    "take_last_frame",
    "wait_for_clip",
    "write_production",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Prefect's own temporary server takes up to 40 s for a first start on two cores, and is given 20.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
