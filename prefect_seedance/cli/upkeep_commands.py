"""inbox, collect, settle, report and tidy: what other people and other runs left."""

from __future__ import annotations

import asyncio
import datetime
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from prefect_seedance.budget.limits import Limits
from prefect_seedance.budget.report import recount as recounted
from prefect_seedance.budget.report import report_of, usage_of
from prefect_seedance.cli import terminal
from prefect_seedance.cli import upkeep_terminal as words
from prefect_seedance.cli.exit_codes import DONE, NOTHING, PARTIAL
from prefect_seedance.cli.options import UNLIMITED, Json, Limit, Money, Place, WithPrefect, uses_prefect
from prefect_seedance.cli.prefect_settings import prepare_prefect
from prefect_seedance.errors import BadInput
from prefect_seedance.generation import resolve
from prefect_seedance.generation.resolve import Verdict
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.production.tidy import remove, untidy
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage.store import Store, refuse_other_kind


def inbox(place: Place, money: Money = UNLIMITED, *, prefect: WithPrefect = False, json: Json = False) -> int:
    """Process every storyboard in the store's inbox once."""
    if uses_prefect(place, wanted=prefect):
        prepare_prefect()
        from prefect_seedance.cli.run_flows import process_inbox_with

        report = process_inbox_with(place, money)
    else:
        from prefect_seedance.cli.run_direct import process_inbox

        report = process_inbox(place, money.options())
    words.show_inbox(report, as_json=json)
    return int(report["exit_code"])


def collect(place: Place, *, prefect: WithPrefect = False, json: Json = False) -> int:
    """Bring home what other runs left. Spends nothing."""
    place.who().check()
    asyncio.run(_look_at(place))
    if uses_prefect(place, wanted=prefect):
        prepare_prefect()
        from prefect_seedance.cli.run_flows import collect_with

        collected = collect_with(place)
    else:
        from prefect_seedance.cli.run_direct import collect_finished

        collected = collect_finished(place)
    words.show_collected(collected, as_json=json)
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
    """Say on the terminal that a store was never used: a mistyped place looks like one where there is nothing to do."""
    if await store.kind() is None:
        terminal.say(f"Nothing was ever rendered into {store.url}; is that the right place?")


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
                words.show_waiting(waiting, as_json=json)
                return PARTIAL if waiting.errors else DONE
            if verdicts == ["job id"]:
                who.check()
            async with RunpodClient(who) as client:
                asked = client if who.api_key.strip() else None
                record = await resolve.settle(ledger, handle, verdicts[0], job_id=job_id, client=asked)
            words.show_settled(record, as_json=json)
            return DONE
        finally:
            await store.aclose()

    return asyncio.run(answer())


def report(
    place: Place,
    *,
    csv: Annotated[bool, Parameter(help="Comma-separated rows on stdout.", negative="")] = False,
    jsonl: Annotated[bool, Parameter(help="One JSON object per line on stdout.", negative="")] = False,
    recount: Annotated[
        bool, Parameter(help="Read the whole ledger, and set right what the months have added up.", negative="")
    ] = False,
    per_day: Limit = None,
    per_month: Limit = None,
) -> int:
    """Spending, clips, time to clip, unclear and lost by day of the claim; what is left of the limits you name."""
    store = place.open()

    async def read() -> int:
        try:
            await _say_if_empty(store)
            usage, limits = await usage_of(store), Limits(per_day=per_day, per_month=per_month)
            found = await recounted(store) if recount else await report_of(store)
            words.show_report(found.days, usage, limits, csv=csv, jsonl=jsonl)
            words.show_unreadable(found.errors)
            for line in (*found.missing, *found.notes):
                terminal.say(line)
            return PARTIAL if found.errors or found.missing else DONE
        finally:
            await store.aclose()

    return asyncio.run(read())


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
    store = place.open()

    async def look() -> None:
        try:
            await _say_if_empty(store)
            found = await untidy(store, datetime.datetime.now(datetime.UTC), keep=keep)
            if yes:
                await remove(store, found)
            words.show_tidy(found, removed=yes, as_json=json)
        finally:
            await store.aclose()

    asyncio.run(look())
    return DONE
