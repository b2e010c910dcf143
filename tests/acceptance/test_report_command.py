"""`report` as a person uses it: from what the months have added up, and from the whole ledger, the same document."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.commanding import LIGHTHOUSE, Desk
from tests.support.emulating import RunningEmulator


def test_a_report_and_a_recount_are_one_document_and_what_spoils_the_books_is_told(
    desk: Desk, emulator: RunningEmulator
) -> None:
    assert desk.run("render", desk.board(LIGHTHOUSE)).code == 0
    told, recounted = desk.run("report", "--jsonl"), desk.run("report", "--recount", "--jsonl")
    assert (told.code, recounted.code) == (0, 0)
    assert told.out == recounted.out
    assert json.loads(told.out)["spent_usd"] == emulator.bill()["total_usd"]
    (totals,) = Path(desk.store).glob("spending/totals/*/*.json")
    totals.write_text("{")
    damaged = desk.run("report", "--jsonl")
    assert damaged.code == 3
    assert "is damaged; `prefect-seedance report --recount`" in damaged.err
    assert desk.run("report", "--recount", "--jsonl").out == told.out
    assert desk.run("report", "--jsonl").out == told.out
    assert len(emulator.charges) == 2
