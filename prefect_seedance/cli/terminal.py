"""What people read on the terminal, and the one JSON document on stdout."""

from __future__ import annotations

import contextlib
import csv as csvlib
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from prefect_seedance.generation import resolve
from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.models import Frozen
from prefect_seedance.production.manifest import Manifest
from prefect_seedance.production.tidy import Untidy
from prefect_seedance.text import CONTROL, dollars, harmless, printable

if TYPE_CHECKING:
    from prefect_seedance.budget.limits import Limits
    from prefect_seedance.budget.records import Usage
    from prefect_seedance.budget.report import Day
    from prefect_seedance.cli.doctor import Check
    from prefect_seedance.rendering.plan import Planned

COLOURS = {
    "stored": "green",
    "reuse": "green",
    "resume": "cyan",
    "running": "cyan",
    "generate": "bold",
    "retry": "bold",
    "held": "yellow",
    "unclear": "yellow",
    "blocked": "red",
    "failed": "red",
    "refused": "red",
    "lost": "red",
}

REPORT_HEADS = {"spent_usd": "spent", "at_risk_usd": "at risk", "median_seconds_to_clip": "to clip"}

STOPPED = "Stopped. Jobs that are out go on: render again or `prefect-seedance collect`; nothing is paid twice."


def say(text: str) -> None:
    """Print one line for a person on stderr. Control characters in what it quotes do nothing to the terminal."""
    _console().print(harmless(text), markup=False, highlight=False, soft_wrap=True)


def document(value: Frozen | dict[str, Any] | list[Any]) -> None:
    """Print the one JSON document on stdout."""
    plain = value.model_dump(mode="json", by_alias=True) if isinstance(value, Frozen) else value
    text = json.dumps(plain, indent=2, ensure_ascii=False)
    # JSON leaves some control characters as they are, which may be written as escapes all the same.
    text = CONTROL.sub(lambda mark: mark[0] if mark[0] == "\n" else f"\\u{ord(mark[0]):04x}", text)
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class _Stderr(Console):
    """A terminal that may have been closed, as by `2>&1 | head`: then nobody reads, and the run goes on."""

    def print(self, *objects: Any, **how: Any) -> None:
        with contextlib.suppress(OSError):
            super().print(*objects, **how)

    def on_broken_pipe(self) -> None:
        """Write into nothing from now on: what is left in the buffer would change the exit code."""
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), sys.stderr.fileno())


def _console() -> Console:
    return _Stderr(stderr=True)


class Progress(logging.Handler):
    """Prints the progress lines of a running flow on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


def show_plan(planned: Planned, *, as_json: bool) -> None:
    plan = planned.plan
    if as_json:
        document(plan)
    table = Table(title=_cell_of(plan.title), title_justify="left", expand=False)
    for name in ("shot", "action", "estimate", "remark"):
        table.add_column(name, justify="right" if name == "estimate" else "left", overflow="fold")
    for shot in plan.shots:
        price = dollars(shot.estimated_usd) if shot.estimated_usd else ""
        table.add_row(_cell_of(shot.id), _coloured(shot.action), price, _cell_of(shot.problem or ""))
    if plan.shots:
        _console().print(table)
    for problem in plan.problems:
        say(f"✗ {problem}")
    for warning in planned.warnings:
        say(f"! {warning}")
    if plan.problems:
        count = len(plan.problems)
        problems, they_are = (f"{count} problems", "they are") if count > 1 else ("1 problem", "it is")
        say(f"{problems}; nothing is submitted until {they_are} mended.")
    else:
        reused = f", {dollars(plan.reused_usd)} worth of clips reused" if plan.reused_usd else ""
        say(f"This costs about {dollars(plan.estimated_usd)}{reused}. Plan hash {plan.plan_hash}.")


def show_manifest(manifest: Manifest, store: str, *, as_json: bool) -> None:
    if as_json:
        document(manifest)
    table = Table(title=_cell_of(manifest.title), title_justify="left")
    for name in ("shot", "status", "cost", "remark"):
        table.add_column(name, justify="right" if name == "cost" else "left", overflow="fold")
    for shot in manifest.shots:
        cost = dollars(shot.cost_usd) if shot.cost_usd is not None and shot.paid_this_run else ""
        table.add_row(_cell_of(shot.id), _coloured(shot.status), cost, _cell_of(shot.error or ""))
    _console().print(table)
    stored = sum(shot.status == "stored" for shot in manifest.shots)
    reused = f" {dollars(manifest.reused_usd)} worth of clips were there already." if manifest.reused_usd else ""
    say(f"{stored} of {len(manifest.shots)} shots stored; this run cost {dollars(manifest.spent_usd)}.{reused}")
    for name, path in (("Film", manifest.film), ("Review page", manifest.review)):
        if path:
            say(f"{name}: {store.rstrip('/')}/{path}")


def show_collected(collected: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        document(collected)
    for clip in collected["clips"]:
        summary = clip["clip"] or clip["error"] or ""
        say(f"{clip['key']}@{clip['record']} {clip['status']} {dollars_of(clip['cost_usd'])} {summary}")
    counts = ", ".join(f"{collected[name]} {name}" for name in ("stored", "running", "unclear", "lost"))
    say(f"{counts}; nothing was spent.")
    show_unreadable({one["key"]: one["error"] for one in collected["errors"]})


def show_unreadable(errors: Mapping[str, str]) -> None:
    """Say what could not be read, by name: it is left out of all that was shown."""
    for key, error in sorted(errors.items()):
        say(f"✗ {key} can't be read: {error}")


def dollars_of(amount: float) -> str:
    return f"${amount:.2f}"


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
    gone = [*found.productions, *found.films, *(leftover.name for leftover in found.leftovers)]
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
        "lost": "raise `take` to pay for it once more",
    }
    say(f"{record.key}@{record.number} is {record.step}: {follow[record.step]}.")


def show_inbox(report: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        document(report)
    for board in report["boards"]:
        say(f"{board['file']}: {board['status']} {board.get('error') or ''}".rstrip())
    say(f"{len(report['boards'])} storyboards processed; {dollars_of(report['spent_usd'])} spent.")


def show_report(days: Sequence[Day], usage: Usage, limits: Limits, *, csv: bool, jsonl: bool) -> None:
    rows = [day.as_row() for day in days]
    if csv:
        from prefect_seedance.budget.report import COLUMNS

        writer = csvlib.DictWriter(sys.stdout, fieldnames=COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return
    if jsonl:
        sys.stdout.writelines(json.dumps(row) + "\n" for row in rows)
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 0, 0, 1))  # fits a terminal of 80 columns
    for name in rows[0] if rows else ("day",):
        table.add_column(REPORT_HEADS.get(name, name), justify="left" if name == "day" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(name, value) for name, value in row.items()))
    Console().print(table)
    for line in usage.lines(limits):
        say(line)


def _cell(name: str, value: object) -> str:
    if isinstance(value, float) and name.endswith("_usd"):
        return dollars_of(value)
    if value is None:
        return ""
    return f"{value} s" if name == "median_seconds_to_clip" else str(value)


def show_checks(checks: Sequence[Check]) -> None:
    for check in checks:
        say(f"{'✗' if check.exit_code else '✓'} {check.name}: {check.summary}")


def _cell_of(text: str) -> str:
    """What somebody else wrote, as a cell of a table: neither markup nor control characters act."""
    return escape(harmless(text))


def _coloured(word: str) -> str:
    colour = COLOURS.get(word)
    return f"[{colour}]{word}[/]" if colour else word
