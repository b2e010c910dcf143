"""The newest production of a title, as the `latest.json` of its folder names it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, NamedTuple

from prefect_seedance.errors import Missing
from prefect_seedance.production.at_hand import in_a_bucket
from prefect_seedance.production.manifest import Manifest
from prefect_seedance.production.names import slug, slug_beside
from prefect_seedance.storage.store import Store
from prefect_seedance.text import folded

LINK_SECONDS = 7 * 24 * 3600
"""The longest that a presigned link may live."""
BRIEF_SECONDS = 15 * 60
"""How long a page counts as new whose links end with temporary credentials: nobody knows when these do."""


class Newest(NamedTuple):
    """The folder of a title's productions, what `latest.json` says there, and the manifest that it names."""

    home: str
    latest: dict[str, Any]
    manifest: Manifest | None

    def lasts(self, store: Store, now: datetime) -> bool:
        """Whether the links of its page live on; one whose links do not is made anew."""
        if not in_a_bucket(store) or store.public_base_url is not None:
            return True
        most = BRIEF_SECONDS if self.latest.get("brief_links") else LINK_SECONDS / 2
        try:
            return (now - datetime.fromisoformat(self.latest["made"])).total_seconds() <= most
        except (KeyError, TypeError, ValueError):
            return False

    @property
    def lacks_nothing(self) -> bool:
        """Whether all of it could be made: film, posters, captions."""
        return self.latest.get("shows") is not None


async def newest_of(store: Store, title: str) -> Newest:
    """The newest production of *title*, in a folder of its own where another title had the name first."""
    found = await _newest_in(store, f"productions/{slug(title)}")
    if found.manifest is None or folded(found.manifest.title) == folded(title):
        return found
    return await _newest_in(store, f"productions/{slug_beside(title)}")


async def _newest_in(store: Store, home: str) -> Newest:
    latest = await _latest(store, home)
    try:
        return Newest(home, latest, Manifest.model_validate_json(await store.read(latest["manifest"])))
    except (Missing, KeyError, TypeError, ValueError):
        return Newest(home, latest, None)


async def _latest(store: Store, home: str) -> dict[str, Any]:
    try:
        latest = json.loads(await store.read(f"{home}/latest.json"))
    except (Missing, ValueError):
        return {}
    return latest if isinstance(latest, dict) else {}


async def has_newer(store: Store, home: str, made: datetime) -> bool:
    """Whether a production begun after *made* is named already; a time still to come is a wrong clock's."""
    try:
        return made < datetime.fromisoformat((await _latest(store, home))["made"]) <= datetime.now(UTC)
    except (KeyError, TypeError, ValueError):
        return False
