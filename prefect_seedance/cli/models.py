"""models: the rows of the catalog, what each takes, and what it costs."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from cyclopts import Parameter
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from prefect_seedance.catalog.alternatives import begins
from prefect_seedance.catalog.endpoints import Catalog
from prefect_seedance.catalog.inputs import described
from prefect_seedance.catalog.loading import load_catalog, refuse_unknown
from prefect_seedance.catalog.model import Input, Model, Price, Tier
from prefect_seedance.catalog.sizes import ratios_of
from prefect_seedance.cli import terminal
from prefect_seedance.cli.exit_codes import DONE
from prefect_seedance.cli.options import Json, Place
from prefect_seedance.sources.catalog import catalog_of
from prefect_seedance.text import dollars

COLUMNS = ("model", "makes", "length", "price", "checked")


def models(
    slug: Annotated[str | None, Parameter(help="One of them, with all that it takes.")] = None,
    *,
    store: Annotated[str | None, Parameter(help="A store whose catalog.yaml counts too.")] = None,
    json: Json = False,
) -> int:
    """List the endpoints of the catalog with their prices, or say of one what it takes. Asks nobody."""
    catalog = asyncio.run(_catalog(store))
    if slug is not None:
        refuse_unknown(slug, catalog)
    chosen = list(catalog.values()) if slug is None else [catalog[slug]]
    if json:
        rows: list[dict[str, Any]] = [row.model_dump(mode="json") for row in chosen]
        terminal.document(rows)
    elif slug is None:
        _show_all(chosen)
    else:
        _show_one(chosen[0])
    return DONE


async def _catalog(place: str | None) -> Catalog:
    if place is None:
        return load_catalog()
    store = Place(place).open()
    try:
        return await catalog_of(store)
    finally:
        await store.aclose()


def _show_all(rows: list[Model]) -> None:
    table = Table(box=SIMPLE_HEAD, padding=(0, 0, 0, 1))
    for name in COLUMNS:
        table.add_column(name, overflow="fold", no_wrap=name == "model")  # a name in two pieces can't be copied
    for row in rows:
        table.add_row(*in_columns(row))
    Console().print(table)


def in_columns(row: Model) -> tuple[str, ...]:
    """What the list says of one row, by `COLUMNS`."""
    prices = "; ".join(f"{tier.name} {_price(tier)}" for tier in row.tiers)
    checked = f"{row.checked}, withdrawn" if row.withdrawn else str(row.checked)
    return row.slug, _makes(row), _lengths(row), prices, checked


def _show_one(row: Model) -> None:
    Console().print("\n".join(lines_of(row)), markup=False, highlight=False, soft_wrap=True)


def lines_of(row: Model) -> list[str]:
    """All that is known of one row."""
    lines = [f"{row.title}: {_makes(row)}"]
    lines += [f"nothing new is asked of it, since {row.withdrawn}"] if row.withdrawn else []
    lines += [f"length: {_lengths(row)}"]
    lines += [f"fps: {', '.join(map(str, row.fps))}"] if row.fps else []
    lines += [f"reference pictures: {row.references.at_least} to {row.references.at_most}"] if row.references else []
    for tier in row.tiers:
        sizes = f"; {', '.join(tier.sizes)} ({', '.join(ratios_of(tier))})" if tier.sizes else ""
        lines.append(f"{tier.name}: {_price(tier)}{sizes}")
        lines += [f"  with {_values(other.inputs)}: {_price(other)}" for other in tier.when]
    lines += [f"submitted by /runsync, which waits {row.runsync:g} s for its end"] if row.runsync else []
    lines += [f"input {name}: {_input(one)}" for name, one in row.inputs.items()]
    return [*lines, f"checked {row.checked}: {row.source or 'your own row'}"] + ([row.note] if row.note else [])


def _makes(row: Model) -> str:
    return "speech from text" if row.kind == "speech" else f"video {begins(row)}"


def _lengths(row: Model) -> str:
    if row.auto is not None and row.auto.characters_per_second is not None:
        return "as long as the text"
    ordered = sorted(row.durations)
    whole = len(ordered) > 2 and ordered == list(range(ordered[0], ordered[-1] + 1))
    lengths = f"{ordered[0]}-{ordered[-1]} s" if whole else ", ".join(f"{seconds} s" for seconds in ordered)
    chosen = f"auto, up to {row.auto.at_most} s" if row.auto else ""
    return ", ".join(part for part in (lengths, chosen) if part)


def _price(price: Price | Tier) -> str:
    if price.flat is not None:
        return f"{dollars(price.flat)} a clip"
    if price.per_1000_characters is not None:
        return f"{dollars(price.per_1000_characters)} for 1000 characters"
    listed = [f"{seconds} s {dollars(usd)}" for seconds, usd in price.per_clip.items()]
    rate = [f"{dollars(price.per_second)}/s"] if price.per_second is not None else []
    return ", ".join(rate + listed)


def _input(one: Input) -> str:
    usual = "" if one.default is None else f"; the endpoint's own is {_word(one.default)}"
    sent = "" if one.send is None else f"; sent as {_word(one.send)} unless you ask"
    about = f", {one.about}" if one.about else ""
    return f"{described(one)}{about}{usual}{sent}{'; needed' if one.required else ''}"


def _values(inputs: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_word(value)}" for name, value in inputs.items())


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
