"""The pages on which a campaign is looked at: 200 posters each, loaded as they come into sight, and an index.

They work from disk and from a bucket. Whatever comes from a table or an error is escaped, and nothing in them is run.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from prefect_seedance.campaign.document import POSTERS_A_PAGE, Campaign, Shard
from prefect_seedance.campaign.results import Row, ShardResult
from prefect_seedance.production.at_hand import in_a_bucket
from prefect_seedance.production.newest import LINK_SECONDS
from prefect_seedance.production.pictures import poster_path
from prefect_seedance.storage.store import Store
from prefect_seedance.text import dollars

HTML = "text/html; charset=utf-8"
UP = "../../.."
"""From a page to the store."""


def index_path(campaign: Campaign) -> str:
    return f"{campaign.folder}/review/index.html"


def page_path(campaign: Campaign, page: int) -> str:
    return f"{campaign.folder}/review/{page_name(page)}"


def page_name(page: int) -> str:
    return f"{page:04d}.html"


async def write_pages(store: Store, campaign: Campaign, shard: Shard, rows: Sequence[Row]) -> None:
    """Write the pages of one shard. Their numbers are fixed, so each links to its neighbours from the beginning."""
    for place, page in enumerate(shard.pages):
        shown = rows[place * POSTERS_A_PAGE : (place + 1) * POSTERS_A_PAGE]
        clips = [{**row, **await _addresses(store, row)} for row in shown]
        text = _template("page.html").render(campaign=campaign, page=page, clips=clips, **_neighbours(campaign, page))
        await store.write(page_path(campaign, page), text.encode(), HTML)


async def write_index(
    store: Store,
    campaign: Campaign,
    results: Mapping[int, ShardResult],
    problems: Sequence[Mapping[str, Any]],
    usd: Decimal,
) -> None:
    """Write the index over the shards that have *results*, with the first of the clips that are not stored."""
    totals: dict[str, int] = {}
    for result in results.values():
        for status, count in result.statuses.items():
            totals[status] = totals.get(status, 0) + count
    text = _template("index.html").render(
        campaign=campaign, results=results, totals=totals, problems=problems, usd=usd, page_name=page_name
    )
    await store.write(index_path(campaign), text.encode(), HTML)


def _neighbours(campaign: Campaign, page: int) -> dict[str, str | None]:
    return {
        "before": page_name(page - 1) if page > 1 else None,
        "after": page_name(page + 1) if page < campaign.pages else None,
    }


async def _addresses(store: Store, row: Row) -> dict[str, str | None]:
    uri, sha256 = row["uri"], row["sha256"]
    if not isinstance(uri, str) or not isinstance(sha256, str):
        return {"clip": None, "poster": None}
    clip = uri.removeprefix(f"{store.url}/")
    poster = poster_path(sha256) if row["size"] else None  # what is spoken has none
    return {"clip": await _address(store, clip), "poster": poster and await _address(store, poster)}


async def _address(store: Store, path: str) -> str:
    """A link for a bucket, relative on disk: as the pages of productions have them."""
    link = await store.link(path, LINK_SECONDS) if in_a_bucket(store) else None
    return link or f"{UP}/{path}"


@functools.cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["dollars"] = dollars
    return environment.get_template(name)
