"""What inbox, collect, settle, report, tidy and doctor say."""

from __future__ import annotations

import csv as csvlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

from prefect_seedance.budget.limits import Limits
from prefect_seedance.budget.records import Usage
from prefect_seedance.budget.report import COLUMNS, Day
from prefect_seedance.cli.tables import lines_of
from prefect_seedance.cli.terminal import document, put, say
from prefect_seedance.generation import resolve
from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.ledger.rules import remedy
from prefect_seedance.production.tidy import Untidy
from prefect_seedance.text import dollars, printable

if TYPE_CHECKING:
    from prefect_seedance.cli.doctor import Check

REPORT_HEADS = {"spent_usd": "spent", "at_risk_usd": "at risk", "median_seconds_to_clip": "to clip"}


def show_collected(collected: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        document(collected)
    for clip in collected["clips"]:
        summary = clip["clip"] or clip["error"] or ""
        say(f"{clip['key']}@{clip['record']} {clip['status']} {_cost_of(clip)} {summary}")
    counts = ", ".join(f"{collected[name]} {name}" for name in ("stored", "running", "unclear", "lost"))
    say(f"{counts}; nothing was spent.")
    show_unreadable({one["key"]: one["error"] for one in collected["errors"]})


def show_unreadable(errors: Mapping[str, str]) -> None:
    """Say what could not be read, by name: it is left out of all that was shown."""
    for key, error in sorted(errors.items()):
        say(f"✗ {key} can't be read: {error}")


def _cost_of(clip: Mapping[str, Any]) -> str:
    if clip["cost_usd"] is None and clip["at_risk_usd"]:
        return f"perhaps {dollars(clip['at_risk_usd'])}"
    return dollars(clip["cost_usd"] or 0)


def show_waiting(waiting: resolve.Unsettled, *, as_json: bool) -> None:
    if as_json:
        document([resolve.as_json(record) for record in waiting.records])
    show_unreadable(waiting.errors)
    if as_json:
        return
    for record in waiting.records:
        why = "" if record.step is Step.UNCLEAR else f", {record.step} by another account than the one in use"
        say(
            f"{record.key}@{record.number}  {dollars(record.charged_usd)} at risk "
            f"since {record.claimed_at:%Y-%m-%d %H:%M} UTC{why}"
        )
        say(f"    {printable(record.request.prompt, 100)}")
        if record.reason:
            say(f"    {printable(record.reason, 400)}")
    if waiting.records:
        say("Look each up in the Runpod console, then: prefect-seedance settle --store … KEY@NUMBER and one of")
        say("--job-id ID (here is the job), --not-charged (an hour after the claim), --charged (its id is unknown).")
    if any(record.step is not Step.UNCLEAR for record in waiting.records):
        say("What another account has accepted comes home with that account's key; if that is gone, say --charged.")
    if not waiting.records:
        say("Nothing is unclear.")


def show_tidy(found: Untidy, *, removed: bool, as_json: bool) -> None:
    if as_json:
        document(found.as_json(removed=removed))
    gone = [*found.productions, *found.films, *found.posters, *(leftover.name for leftover in found.leftovers)]
    for name in gone:
        say(f"{'removed' if removed else 'may go'}: {name}")
    for copy in found.rescued:
        say(f"kept: {copy} (a paid clip that its store had not taken; `prefect-seedance collect`, then remove it)")
    if not gone:
        say("There is nothing to tidy.")
    elif not removed:
        say("Nothing was removed; --yes removes what may go. Clips and the ledger always stay.")


def show_settled(record: Record, *, as_json: bool) -> None:
    if as_json:
        document({"key": record.key, "record": record.number, "status": str(record.step), "job_id": record.job_id})
    follow = {
        "accepted": "render again or `prefect-seedance collect` brings the clip home",
        "completed": "render again or `prefect-seedance collect` fetches the clip",
        "refused": "the next render submits it again",
        "lost": remedy(record),
    }
    say(f"{record.key}@{record.number} is {record.step}: {follow[record.step]}.")


def show_inbox(report: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        document(report)
    count = Counter(board["file"] for board in report["boards"])
    for board in report["boards"]:
        title = f" ({printable(board['title'])})" if count[board["file"]] > 1 and board.get("title") else ""
        say(f"{board['file']}{title}: {board['status']} {board.get('error') or ''}".rstrip())
    say(f"{len(report['boards'])} productions processed; {dollars(report['spent_usd'])} spent.")


def show_report(days: Sequence[Day], usage: Usage, limits: Limits, *, csv: bool, jsonl: bool) -> None:
    rows = [day.as_row() for day in days]
    if csv:
        text = StringIO()
        writer = csvlib.DictWriter(text, fieldnames=COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        put(text.getvalue())
        return
    if jsonl:
        put("".join(json.dumps(row) + "\n" for row in rows))
        return
    names = list(rows[0]) if rows else ["day"]
    cells = [[_cell(name, value) for name, value in row.items()] for row in rows]
    heads = [REPORT_HEADS.get(name, name) for name in names]
    put("\n".join(lines_of(heads, cells, right=set(range(1, len(names))))) + "\n")
    for line in usage.lines(limits):
        say(line)


def _cell(name: str, value: object) -> str:
    if isinstance(value, float) and name.endswith("_usd"):
        return dollars(value)
    if value is None:
        return ""
    return f"{value} s" if name == "median_seconds_to_clip" else str(value)


def show_checks(checks: Sequence[Check]) -> None:
    for check in checks:
        say(f"{'✗' if check.exit_code else '✓'} {check.name}: {check.summary}")
