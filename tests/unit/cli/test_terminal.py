"""Nothing that the API, a prompt or a record says is obeyed by the terminal, or passes for a line of ours."""

from __future__ import annotations

import datetime
import json
import re
from decimal import Decimal

import pytest

from prefect_seedance.budget.counting import DayCount
from prefect_seedance.budget.limits import Limits
from prefect_seedance.budget.records import Totals, Usage
from prefect_seedance.budget.report import Day
from prefect_seedance.cli import terminal, upkeep_terminal
from prefect_seedance.generation.resolve import Unsettled
from prefect_seedance.ledger.record import Record
from prefect_seedance.ledger.writer import this_writer
from prefect_seedance.models import Request
from prefect_seedance.production.manifest import Manifest, ShotResult

EVIL = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\x9b2J\u202e\r\n✓ API: all is well\n\u2028\x00"
OBEYED = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def shot() -> ShotResult:
    return ShotResult(id=f"one{EVIL}", status="refused", key="k", take=1, error=f"The API refused it (400): {EVIL}")


def manifest() -> Manifest:
    money = {"estimated_usd": Decimal("0.1"), "spent_usd": Decimal(0), "reused_usd": Decimal(0)}
    return Manifest(title=f"T{EVIL}", status="nothing", plan_hash="h", shots=(shot(),), film=EVIL, review=None, **money)


def claim() -> Record:
    asked = Request(model="seedance-1-0-pro", prompt=f"A boat.{EVIL}", size="640x640", duration=2, fps=24)
    return Record(
        key="k", number=1, step="unclear", claim_id="c", request=asked, estimated_usd=Decimal("0.05"),
        claimed_at=datetime.datetime.now(datetime.UTC), at=datetime.datetime.now(datetime.UTC),
        submit_timeout_seconds=30, writer=this_writer(None), attempt=1, reason=f"what came: job-1-u1 {EVIL}",
    )  # fmt: skip


COLLECTED = {
    "clips": [
        {"key": "k", "record": 1, "status": "lost", "cost_usd": None, "at_risk_usd": 0.1, "clip": None, "error": EVIL}
    ],
    "errors": [{"key": "k", "error": EVIL}],
    **dict.fromkeys(("stored", "running", "unclear", "lost"), 0),
}
INBOX = {"boards": [{"file": EVIL, "status": "rejected", "error": EVIL}], "spent_usd": 0.0}


@pytest.mark.parametrize("as_json", [False, True])
def test_what_others_wrote_is_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str], *, as_json: bool) -> None:
    terminal.say(EVIL)
    terminal.show_manifest(manifest(), "/store", as_json=as_json)
    upkeep_terminal.show_collected(COLLECTED, as_json=as_json)
    upkeep_terminal.show_waiting(Unsettled((claim(),), {"k": EVIL}), as_json=as_json)
    upkeep_terminal.show_inbox(INBOX, as_json=as_json)
    said = capsys.readouterr()
    assert not OBEYED.search(said.err), repr(said.err)
    assert not OBEYED.search(said.out), repr(said.out)
    assert "\n✓ API" not in said.err
    assert as_json or "what came: job-1-u1" in said.err


def test_what_costs_less_than_a_cent_is_no_zero_in_a_report_or_after_an_inbox(
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoken = Day("2026-11-27", DayCount(claims=1, stored=1, spent_usd=Decimal("0.0038")))
    usage = Usage(day=Totals(spent_usd=Decimal("0.0038")), month=Totals())
    upkeep_terminal.show_report([spoken], usage, Limits(), csv=False, jsonl=False)
    upkeep_terminal.show_inbox({"boards": [], "spent_usd": 0.0034 + 0.0004}, as_json=False)
    said = capsys.readouterr()
    assert "$0.0038" in said.out
    assert "Today, all runs (UTC): $0.0038 spent" in said.err
    assert "; $0.0038 spent." in said.err


def test_the_rows_of_one_file_of_an_inbox_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"file": "sale.yaml", "title": f"Sale ({mug})", "status": "complete"} for mug in ("red", "blue")]
    other = {"file": "one.yaml", "title": "One", "status": "complete"}
    upkeep_terminal.show_inbox({"boards": [*rows, other], "spent_usd": 0.1}, as_json=False)
    assert capsys.readouterr().err.splitlines() == [
        "sale.yaml (Sale (red)): complete",
        "sale.yaml (Sale (blue)): complete",
        "one.yaml: complete",
        "3 productions processed; $0.10 spent.",
    ]


def test_a_json_document_says_the_very_text(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.document({"error": EVIL + "☃ \udc9b"})
    assert json.loads(capsys.readouterr().out) == {"error": EVIL + "☃ \udc9b"}
