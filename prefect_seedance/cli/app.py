"""The command line. Prefect is imported only inside the commands that need it: `plan` starts in a third of a second."""

from __future__ import annotations

import asyncio
import datetime
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import cyclopts
from cyclopts import Parameter
from cyclopts.validators import Number

from prefect_seedance.catalog.loading import load_catalog
from prefect_seedance.cli import terminal
from prefect_seedance.cli.options import UNLIMITED, Limit, Money, Place, WithPrefect, uses_prefect
from prefect_seedance.errors import (
    ApiUnreachable,
    BadInput,
    BadStore,
    LedgerUnreadable,
    OverBudget,
    SeedanceError,
    StoreUnavailable,
)
from prefect_seedance.generation.resolve import Verdict
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.rendering.plan import Planned, make_plan
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage.store import Store, refuse_other_kind
from prefect_seedance.storyboard.reading import Board, Defaults, read_board

if TYPE_CHECKING:
    from prefect_seedance.cli.run_direct import Read
    from prefect_seedance.production.manifest import Manifest

DONE, NOTHING, REFUSED, PARTIAL, TOO_DEAR, STOPPED = 0, 1, 2, 3, 4, 130

EXIT_CODES: tuple[tuple[type[SeedanceError], int], ...] = (
    (OverBudget, TOO_DEAR),
    (ApiUnreachable, NOTHING),
    (BadInput, REFUSED),
    (BadStore, REFUSED),
    (LedgerUnreadable, REFUSED),
    (StoreUnavailable, REFUSED),
    (SeedanceError, NOTHING),
)

app = cyclopts.App(
    name="prefect-seedance",
    help="Storyboards become Seedance clips on Runpod, and no failure pays twice.",
    help_format="plaintext",
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,
)

Json = Annotated[bool, Parameter(help="One JSON document on stdout, everything else on stderr.", negative="")]


@app.command
def plan(board: str, place: Place, *, json: Json = False) -> int:
    """Say what a render would do and cost. Spends nothing and needs no server."""

    async def look() -> Planned:
        store, who = place.open(), place.who()
        read = await read_board(board, catalog=load_catalog(), store=store, allow_private=who.kind == "pretend")
        return await _planned(read, store, who)

    planned = asyncio.run(look())
    terminal.show_plan(planned, as_json=json)
    return REFUSED if planned.plan.problems else DONE


async def _planned(board: Board, store: Store, who: Account, retry_failed: int = 0) -> Planned:
    try:
        await refuse_other_kind(store, who.kind)
        return await make_plan(board, Ledger(store), account=who, catalog=load_catalog(), retry_failed=retry_failed)
    finally:
        await store.aclose()


@app.command
def render(
    board: str, place: Place, money: Money = UNLIMITED, *, prefect: WithPrefect = False, json: Json = False
) -> int:
    """Turn a storyboard into clips, a film, a timeline and a review page. The same work is never paid twice."""

    async def read(store: Store, *, pretend: bool) -> Board:
        return await read_board(board, catalog=load_catalog(), store=store, allow_private=pretend)

    where = board if "://" in board else str(Path(board).absolute())
    return _render(read, place, money, "storyboard_to_shots", {"storyboard": where}, prefect=prefect, as_json=json)


@app.command
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
    duration: Annotated[int | None, Parameter(help="Seconds per clip.")] = None,
    crop: Annotated[bool, Parameter(help="Crop pictures to the ratio of the clips.", negative="")] = False,
    between: Annotated[bool, Parameter(help="From each picture to the next.", negative="")] = False,
    prefect: WithPrefect = False,
    json: Json = False,
) -> int:
    """Turn a folder, a glob, an s3:// prefix or a CSV of pictures into one clip each, joined in order."""
    from prefect_seedance.storyboard.sequence import read_sequence

    defaults = Defaults(model=model, size=size, duration=duration, crop=crop)
    where = images if "://" in images else str(Path(images).absolute())

    async def read(store: Store, *, pretend: bool) -> Board:
        return await read_sequence(
            where,
            prompt=prompt,
            defaults=defaults,
            catalog=load_catalog(),
            store=store,
            between=between,
            allow_private=pretend,
            title=title,
            style=style,
        )

    parameters = {"images": where, "prompt": prompt, "defaults": defaults, "between": between}
    parameters |= {"title": title, "style": style}
    return _render(read, place, money, "image_sequence_animation", parameters, prefect=prefect, as_json=json)


def _render(
    read: Read, place: Place, money: Money, flow: str, parameters: dict[str, object], *, prefect: bool, as_json: bool
) -> int:
    way = _render_as_flow if uses_prefect(place, wanted=prefect) else _render_directly
    manifest = way(read, place, money, flow, parameters, as_json)
    if manifest is None:
        return REFUSED
    terminal.show_manifest(manifest, place.store, as_json=as_json)
    return {"complete": DONE, "partial": PARTIAL, "nothing": NOTHING}[manifest.status]


def _render_directly(
    read: Read, place: Place, money: Money, flow: str, parameters: dict[str, object], as_json: bool
) -> Manifest | None:
    """The manifest of a run without Prefect; None when the board has problems, which the plan has told."""
    from prefect_seedance.cli.run_direct import TerminalHost, render

    host = TerminalHost()
    try:
        return render(read, place, money.options(), host)
    except SeedanceError:
        if host.planned is not None:
            if as_json:
                terminal.document(host.planned.plan)
            if host.planned.plan.problems:
                return None
        raise


def _render_as_flow(
    read: Read, place: Place, money: Money, flow: str, parameters: dict[str, object], as_json: bool
) -> Manifest | None:
    """Plan first, without Prefect, so that a mistake is told in a second; then run the flow."""
    who, store = place.who(), place.open()

    async def look() -> Planned:
        return await _planned(await read(store, pretend=who.kind == "pretend"), store, who, money.retry_failed)

    planned = asyncio.run(look())
    if planned.plan.problems:
        terminal.show_plan(planned, as_json=as_json)
        return None
    try:
        who.check()
        asyncio.run(_ask_api(who, planned))
        terminal.show_plan(planned, as_json=False)
        from prefect_seedance.cli.run_flows import render_with

        return render_with(flow, parameters, place, money)
    except SeedanceError:
        if as_json:
            terminal.document(planned.plan)
        raise


async def _ask_api(who: Account, planned: Planned) -> None:
    """A wrong key, a withdrawn endpoint and an unreachable API are told before anything else is started."""
    async with RunpodClient(who) as client:
        for model in sorted(planned.models):
            await client.check(model)


@app.command
def inbox(place: Place, money: Money = UNLIMITED, *, prefect: WithPrefect = False, json: Json = False) -> int:
    """Process every storyboard in the store's inbox once."""
    if uses_prefect(place, wanted=prefect):
        from prefect_seedance.cli.run_flows import process_inbox_with

        report = process_inbox_with(place, money)
    else:
        from prefect_seedance.cli.run_direct import process_inbox

        report = process_inbox(place, money.options())
    terminal.show_inbox(report, as_json=json)
    return int(report["exit_code"])


@app.command
def collect(place: Place, *, prefect: WithPrefect = False, json: Json = False) -> int:
    """Bring home what other runs left. Spends nothing."""
    place.who().check()
    asyncio.run(_look_at(place))
    if uses_prefect(place, wanted=prefect):
        from prefect_seedance.cli.run_flows import collect_with

        collected = collect_with(place)
    else:
        from prefect_seedance.cli.run_direct import collect_finished

        collected = collect_finished(place)
    terminal.show_collected(collected, as_json=json)
    if collected["errors"]:
        return PARTIAL
    left = collected["running"] + collected["unclear"] + collected["lost"]
    if not left:
        return DONE
    return PARTIAL if collected["stored"] else NOTHING


async def _look_at(place: Place) -> None:
    store = place.open()
    try:
        await _say_if_empty(store)
    finally:
        await store.aclose()


async def _say_if_empty(store: Store) -> None:
    """A mistyped place looks like one where there is nothing to do."""
    if await store.kind() is None:
        terminal.say(f"Nothing was ever rendered into {store.url}; is that the right place?")


@app.command
def settle(
    handle: Annotated[str | None, Parameter(help="KEY@NUMBER as listed; without it, lists what is unclear.")] = None,
    *,
    place: Place,
    job_id: Annotated[str | None, Parameter(help="The job that Runpod made of it.")] = None,
    not_charged: Annotated[bool, Parameter(help="Runpod charged nothing for it.", negative="")] = False,
    charged: Annotated[bool, Parameter(help="Runpod charged it; its job can't be found.", negative="")] = False,
    retry: Annotated[bool, Parameter(help="It is lost: look for its clip once more.", negative="")] = False,
    json: Json = False,
) -> int:
    """List submissions that nobody knows the fate of, or record what you found out about one."""
    from prefect_seedance.generation import resolve

    verdicts: list[Verdict] = []
    verdicts += ["job id"] if job_id else []
    verdicts += ["not charged"] if not_charged else []
    verdicts += ["charged"] if charged else []
    verdicts += ["retry"] if retry else []
    if (handle is None and verdicts) or (handle is not None and len(verdicts) != 1):
        raise BadInput(
            "Say KEY@NUMBER and exactly one of --job-id ID, --not-charged, --charged or --retry; nothing was changed."
        )
    store, who = place.open(), place.who()

    async def answer() -> int:
        try:
            await refuse_other_kind(store, who.kind)
            ledger = Ledger(store)
            if handle is None:
                await _say_if_empty(store)
                # Without a key nobody knows which jobs are another account's.
                waiting = await resolve.waiting(ledger, who.fingerprint if who.api_key.strip() else None)
                terminal.show_waiting(waiting, as_json=json)
                return PARTIAL if waiting.errors else DONE
            if verdicts == ["job id"]:
                who.check()
            async with RunpodClient(who) as client:
                asked = client if who.api_key.strip() else None
                record = await resolve.settle(ledger, handle, verdicts[0], job_id=job_id, client=asked)
            terminal.show_settled(record, as_json=json)
            return DONE
        finally:
            await store.aclose()

    return asyncio.run(answer())


@app.command
def report(
    place: Place,
    *,
    csv: Annotated[bool, Parameter(help="Comma-separated rows on stdout.", negative="")] = False,
    jsonl: Annotated[bool, Parameter(help="One JSON object per line on stdout.", negative="")] = False,
    per_day: Limit = None,
    per_month: Limit = None,
) -> int:
    """Spending, clips, time to clip, unclear and lost by day, from the ledger; what is left of the limits you name."""
    from prefect_seedance.budget.limits import Limits
    from prefect_seedance.budget.report import daily, usage_of

    store = place.open()

    async def read() -> int:
        try:
            await _say_if_empty(store)
            usage, limits = await usage_of(store), Limits(per_day=per_day, per_month=per_month)
            days, errors = await daily(Ledger(store))
            terminal.show_report(days, usage, limits, csv=csv, jsonl=jsonl)
            terminal.show_unreadable(errors)
            return PARTIAL if errors else DONE
        finally:
            await store.aclose()

    return asyncio.run(read())


@app.command
def tidy(
    place: Place,
    *,
    keep: Annotated[
        int | None,
        Parameter(
            help="Productions of each title that stay, whatever their age; else the newest and those of 30 days.",
            validator=Number(gte=1),
        ),
    ] = None,
    yes: Annotated[bool, Parameter(help="Remove what is listed.", negative="")] = False,
    json: Json = False,
) -> int:
    """List old productions and what dead processes left, or remove them. Never a clip or the ledger."""
    from prefect_seedance.production.tidy import remove, untidy

    store = place.open()

    async def look() -> None:
        try:
            await _say_if_empty(store)
            found = await untidy(store, datetime.datetime.now(datetime.UTC), keep=keep)
            if yes:
                await remove(store, found)
            terminal.show_tidy(found, removed=yes, as_json=json)
        finally:
            await store.aclose()

    asyncio.run(look())
    return DONE


@app.command
def doctor(*, store: str | None = None, account: str | None = None, model: str = "seedance-1-0-pro") -> int:
    """Check for free: key, endpoint, what the store promises, the Prefect API."""
    from prefect_seedance.cli.doctor import examine

    place = Place(store or "", account)
    checks = asyncio.run(examine(place.who, place.open if store else None, model))
    terminal.show_checks(checks)
    return DONE if all(check.passed for check in checks) else REFUSED


@app.command
def demo(*, folder: Path = Path("seedance-demo")) -> int:
    """Emulator, example storyboard and local store, end to end, without any account. A second run costs $0."""
    from prefect_seedance.cli.demo import run_demo

    return run_demo(folder, run)


@app.command
def emulator(
    *,
    port: int = 8080,
    speed: Annotated[float, Parameter(help="How much faster its clock runs.", validator=Number(gt=0))] = 1.0,
    latency: Annotated[float, Parameter(help="Seconds that a job takes by its clock.", validator=Number(gte=0))] = 20.0,
    faults: Annotated[Path | None, Parameter(help="A JSON list of misbehaviours.")] = None,
    serve: Annotated[Path | None, Parameter(help="A folder to serve at /files.")] = None,
) -> int:
    """A pretend Runpod on this machine, for rehearsals. Its bill is at GET /bill."""
    from prefect_seedance.emulator.server import serve as run

    if serve is not None:
        serve.mkdir(parents=True, exist_ok=True)  # a store that is still to be made
    run(port, speed, latency, faults, serve, None)
    return DONE


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Whatever goes wrong is one sentence, never a traceback."""
    try:
        answer = app(arguments, result_action="return_value")
        return answer if isinstance(answer, int) else DONE
    except SeedanceError as error:
        for line in error.problems if isinstance(error, BadInput) else [str(error)]:
            terminal.say(line)
        return next(code for kind, code in EXIT_CODES if isinstance(error, kind))
    except KeyboardInterrupt:
        terminal.say(terminal.STOPPED)
        return STOPPED
    except Exception as error:
        if os.environ.get("PREFECT_SEEDANCE_TRACEBACK"):
            raise
        terminal.say(
            f"Something unexpected stopped this ({type(error).__name__}: {error}); what was submitted is in the "
            "ledger, so running it again pays nothing twice; PREFECT_SEEDANCE_TRACEBACK=1 shows where it happened."
        )
        return NOTHING


def main() -> None:
    sys.exit(run())
