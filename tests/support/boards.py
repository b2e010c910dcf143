"""Boards whose clips lie in a store: what a render has in hand when it leaves a production."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from prefect_seedance.emulator import testcard
from prefect_seedance.keys import key_of
from prefect_seedance.models import Request
from prefect_seedance.production.manifest import Manifest, ShotResult, ShotStatus
from prefect_seedance.production.write import Content, write_production
from prefect_seedance.storage.store import Store
from prefect_seedance.video import clips

NOON = datetime(2026, 11, 23, 14, 15, 30, tzinfo=UTC)


def key_for(name: str) -> str:
    return key_of(Request(model="seedance-1-0-pro", prompt=name, size="128x72", duration=1, fps=24))


async def keep_clip(
    store: Store, name: str, *, size: tuple[int, int] = (128, 72), seconds: int = 1, sound: bool = False
) -> ShotResult:
    """Store a real little clip, as a run would, and say so."""
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        testcard.render(testcard.Card(name, 1, "seedance-1-0-pro", *size, seconds, 24, sound=sound), clip)
        footage, sha256 = clips.examine(clip), hashlib.sha256(clip.read_bytes()).hexdigest()
        length = clip.stat().st_size
        path = f"clips/{key_for(name)}-{sha256[:12]}.mp4"
        await store.put(clip, path, "video/mp4")
    return ShotResult(
        id=name,
        status="stored",
        key=key_for(name),
        take=1,
        record=3,
        attempt=1,
        job_id=f"job-{name}",
        clip=path,
        sha256=sha256,
        bytes=length,
        estimated_usd=Decimal("0.12"),
        cost_usd=Decimal("0.12"),
        paid_this_run=True,
        **footage.as_fields(),
    )


def without_clip(name: str, status: ShotStatus = "refused", error: str = "The prompt was refused.") -> ShotResult:
    facts = {"key": key_for(name), "take": 1, "record": 3, "estimated_usd": Decimal("0.12")}
    return ShotResult(id=name, status=status, error=error, **facts)


async def leave(
    store: Store, shots: Sequence[ShotResult], title: str = "The lighthouse", **more: Any
) -> tuple[Manifest, str]:
    """A production of *shots*."""
    facts: dict[str, Any] = {
        "prompts": {shot.id: f"What happens in {shot.id}." for shot in shots},
        "plan_hash": "9f2c41d07be3",
        "estimated_usd": Decimal("0.24"),
        "spent_usd": Decimal("0.12"),
        "reused_usd": Decimal("0.12"),
        "made": NOON,
    }
    return await write_production(store, Content(title=title, shots=shots, **{**facts, **more}))
