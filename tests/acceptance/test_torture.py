"""The crash harness itself: a short run of it, and that its books tell what is broken."""

from __future__ import annotations

import copy
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest

from tests.support.places import ROOT
from tests.torture.books import Files, judge

KEY = "sd1-a"
CLAIM = {
    "key": KEY,
    "claim_id": "c",
    "job_id": None,
    "kind": None,
    "reason": None,
    "reservation": "r",
    "request": {"prompt": "A boat."},
    "cost_usd": None,
    "upper_usd": Decimal("0.05"),
    "estimated_usd": Decimal("0.05"),
}
CHARGE = {"prompt": "A boat.", "job_id": "j", "usd": 0.05}


def history(*steps: str) -> list[dict[str, Any]]:
    """Records of one claim; its job is known from `accepted` on."""
    jobs = {"accepted": "j", "completed": "j", "stored": "j", "lost": "j"}
    return [CLAIM | {"number": n, "step": step, "job_id": jobs.get(step)} for n, step in enumerate(steps, 1)]


def month(spent: str, reserved: str = "0", step: str = "settled") -> dict[str, Any]:
    totals = {"spent_usd": Decimal(spent), "reserved_usd": Decimal(reserved)}
    return {"number": 1, "step": step, "total": totals, "days": {"2026-11-25": totals}}


def sound() -> Files:
    """A clip that was paid and is stored."""
    return Files({KEY: history("claimed", "accepted", "completed", "stored")}, set(), {"2026-11": [month("0.05")]})


def broken(files: Files, *charges: dict[str, Any], limit: Decimal | None = None) -> set[str]:
    return {rule for rule, _, _ in judge(files, list(charges), ["A boat."], set(), limit).wrong}


def test_books_in_which_all_is_well_say_so() -> None:
    assert broken(sound(), CHARGE) == set()


def test_a_key_that_was_charged_twice_is_told() -> None:
    assert "double" in broken(sound(), CHARGE, CHARGE | {"job_id": "k"})


@pytest.mark.parametrize("step", ["refused", "failed"])
def test_a_charge_that_the_ledger_takes_for_nothing_is_told(step: str) -> None:
    files = Files({KEY: history("claimed", step)}, set(), {})
    assert broken(files, CHARGE) == {"silent loss", "month wrong"}


def test_an_open_key_without_a_marker_is_told() -> None:
    files = Files({KEY: history("claimed", "unclear")}, set(), {"2026-11": [month("0.05")]})
    assert broken(files, CHARGE) == {"marker wrong"}
    files.markers = {(KEY, 1)}
    assert broken(files, CHARGE) == set()


def test_a_clip_that_is_lost_without_a_cause_is_told() -> None:
    files = copy.copy(sound())
    files.keys = {KEY: history("claimed", "accepted", "lost")}
    assert broken(files, CHARGE) == {"lost without cause"}


def test_a_month_that_knows_of_less_than_the_histories_is_told() -> None:
    files = sound()
    files.months = {"2026-11": [month("0")]}
    assert broken(files, CHARGE) == {"month wrong"}


def test_a_reservation_above_the_limit_is_told() -> None:
    files = sound()
    files.months["2026-11"].insert(0, month("0.05", "0.10", "reserved"))
    assert broken(files, CHARGE, limit=Decimal("0.12")) == {"over the limit"}


@pytest.mark.slow
def test_a_few_random_kills_break_no_promise() -> None:
    words = ["--rounds", "1", "--seed", "11", "--kills", "6", "--limit"]
    command = [sys.executable, "-m", "tests.torture", *words]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=540)
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
