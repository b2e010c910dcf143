"""render and animate: clips from a storyboard, or from a folder of pictures."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from pydantic import JsonValue

from prefect_seedance.catalog.endpoints import Catalog
from prefect_seedance.cli import terminal
from prefect_seedance.cli.exit_codes import OF_STATUS, REFUSED
from prefect_seedance.cli.options import UNLIMITED, Json, Money, Place, WithPrefect, uses_prefect
from prefect_seedance.cli.plan_command import plan_of
from prefect_seedance.cli.prefect_settings import prepare_prefect
from prefect_seedance.errors import BadInput
from prefect_seedance.rendering.endpoints import check_endpoints
from prefect_seedance.rendering.plan import Planned
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.sources.catalog import catalog_of
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.reading import Board, Defaults, read_board
from prefect_seedance.text import printable

if TYPE_CHECKING:
    from prefect_seedance.cli.run_direct import Read
    from prefect_seedance.production.manifest import Manifest


def render(
    board: str, place: Place, money: Money = UNLIMITED, *, prefect: WithPrefect = False, json: Json = False
) -> int:
    """Turn a storyboard into clips, a film, a timeline and a review page. The same work is never paid twice."""

    async def read(store: Store, catalog: Catalog, *, pretend: bool) -> Board:
        return await read_board(board, catalog=catalog, store=store, allow_private=pretend)

    where = board if "://" in board else str(Path(board).absolute())
    return _render(read, place, money, "storyboard_to_shots", {"storyboard": where}, prefect=prefect, as_json=json)


def animate(
    images: str,
    place: Place,
    money: Money = UNLIMITED,
    *,
    prompt: Annotated[str, Parameter(help="What happens in every picture; name.txt beside a picture replaces it.")],
    title: str | None = None,
    style: str = "",
    model: str = "seedance-1-0-pro",
    size: str | None = None,
    aspect_ratio: Annotated[str | None, Parameter(help="Of the clips, such as 9:16.")] = None,
    duration: Annotated[int | None, Parameter(help="Seconds per clip.")] = None,
    inputs: Annotated[
        list[str] | None,
        Parameter(name="--input", help="NAME=VALUE of what the model takes; say it again for more.", negative=""),
    ] = None,
    crop: Annotated[bool, Parameter(help="Crop pictures to the ratio of the clips.", negative="")] = False,
    between: Annotated[bool, Parameter(help="From each picture to the next.", negative="")] = False,
    prefect: WithPrefect = False,
    json: Json = False,
) -> int:
    """Turn a folder, a glob, an s3:// prefix or a CSV of pictures into one clip each, joined in order."""
    from prefect_seedance.storyboard.sequence import read_sequence

    defaults = Defaults(
        model=model, size=size, aspect_ratio=aspect_ratio, duration=duration, inputs=_inputs(inputs or []), crop=crop
    )
    where = images if "://" in images else str(Path(images).absolute())

    async def read(store: Store, catalog: Catalog, *, pretend: bool) -> Board:
        return await read_sequence(
            where,
            prompt=prompt,
            defaults=defaults,
            catalog=catalog,
            store=store,
            between=between,
            allow_private=pretend,
            title=title,
            style=style,
        )

    parameters = {"images": where, "prompt": prompt, "defaults": defaults, "between": between}
    parameters |= {"title": title, "style": style}
    return _render(read, place, money, "image_sequence_animation", parameters, prefect=prefect, as_json=json)


def _inputs(words: list[str]) -> dict[str, JsonValue]:
    if wrong := [word for word in words if "=" not in word]:
        raise BadInput(
            f"--input {printable(wrong[0])} has no value; write it like --input seed=7; nothing was submitted."
        )
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def _render(
    read: Read, place: Place, money: Money, flow: str, parameters: dict[str, object], *, prefect: bool, as_json: bool
) -> int:
    if uses_prefect(place, wanted=prefect):
        manifest = _render_as_flow(read, place, money, flow, parameters, as_json)
    else:
        manifest = _render_directly(read, place, money, as_json)
    if manifest is None:
        return REFUSED
    terminal.show_manifest(manifest, place.store, as_json=as_json)
    return OF_STATUS[manifest.status]


def _render_directly(read: Read, place: Place, money: Money, as_json: bool) -> Manifest | None:
    """The manifest of a run without Prefect; None when the board has problems, which are then on the terminal."""
    from prefect_seedance.cli.run_direct import TerminalHost, render

    host = TerminalHost()
    try:
        return render(read, place, money.options(), host)
    except Exception:
        if host.planned is not None:
            if as_json:
                terminal.document(host.planned.plan)
            if host.planned.plan.problems:
                return None
        raise


def _render_as_flow(
    read: Read, place: Place, money: Money, flow: str, parameters: dict[str, object], as_json: bool
) -> Manifest | None:
    """Plan first, without Prefect, so that a mistake is reported within a second; then run the flow.

    Returns its manifest; None when the board has problems, which are then on the terminal.
    """
    who, store = place.who(), place.open()

    async def look() -> tuple[Planned, Catalog]:
        catalog = await catalog_of(store)
        board = await read(store, catalog, pretend=who.kind == "pretend")
        return await plan_of(board, store, who, catalog, money.retry_failed), catalog

    planned, catalog = asyncio.run(look())
    if planned.plan.problems:
        terminal.show_plan(planned, as_json=as_json)
        return None
    try:
        who.check()
        asyncio.run(_ask_api(who, planned, catalog))
        terminal.show_plan(planned, as_json=False)
        prepare_prefect()
        from prefect_seedance.cli.run_flows import render_with

        return render_with(flow, parameters, place, money)
    except Exception:
        if as_json:
            terminal.document(planned.plan)
        raise


async def _ask_api(who: Account, planned: Planned, catalog: Catalog) -> None:
    """Raise for a wrong key, a withdrawn endpoint or an unreachable API before a server is started. Costs nothing."""
    async with RunpodClient(who) as client:
        await check_endpoints(planned.models, client, catalog)
