"""The whole table of legal steps and the whole table of what comes next, written out once more and compared."""

from __future__ import annotations

import datetime
import itertools
import json
from decimal import Decimal
from typing import Any

import pytest

from prefect_seedance.budget.counting import ends_of
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.record import FailureReason, Record, RefusalReason, Step, Writer
from prefect_seedance.ledger.rules import (
    Action,
    CallUnclear,
    Claim,
    ClaimObservation,
    Done,
    Fetch,
    Held,
    History,
    Poll,
    Watch,
    decide,
    remedy,
    seconds_until_overdue,
)
from tests.support.renderer import small

NOW = datetime.datetime(2026, 8, 1, 12, tzinfo=datetime.UTC)
REQUEST = small("A lighthouse.")
KEY = key_of(REQUEST)
STATES = (None, *(step for step in Step if step is not Step.STRAY))


def record(step: Step, claim_id: str = "current", **changed: Any) -> Record:
    facts: dict[str, Any] = {
        "key": KEY,
        "number": 1,
        "step": step,
        "at": NOW,
        "request": REQUEST,
        "estimated_usd": Decimal("0.05"),
        "attempt": 1,
        "claim_id": claim_id,
        "claimed_at": NOW,
        "submit_timeout_seconds": 90.0,
        "writer": Writer(host="here", pid=1),
    }
    return Record(**{**facts, **changed})


def history(*records: Record) -> History:
    return History(KEY, tuple(r.model_copy(update={"number": n}) for n, r in enumerate(records, 1)))


def in_state(state: Step | None, *, strays: int = 0, **changed: Any) -> History:
    stray = [record(Step.STRAY, "older", job_id=f"stray-{n}") for n in range(strays)]
    return history(*([record(state, **changed)] if state else []), *stray)


CURRENT = {
    None: "claimed refused",
    "refused": "",
    "failed": "",
    "claimed": "accepted refused unclear",
    "unclear": "accepted refused lost",
    "accepted": "completed failed lost",
    "completed": "stored lost",
    "lost": "accepted completed stored lost",
    "stored": "",
}
"""What the current claim may say next; where there is none, any claim is new."""

NEW = {None: "claimed refused", "refused": "claimed refused", "failed": "claimed refused"}
"""What a claim id that was never seen may say next."""


@pytest.mark.parametrize("strays", [0, 2])
@pytest.mark.parametrize("state", STATES)
def test_only_the_steps_of_the_table_are_legal_and_only_for_the_claim_they_belong_to(
    state: Step | None, strays: int
) -> None:
    known = in_state(state, strays=strays)
    earlier = history(record(Step.CLAIMED, "foreign"), record(Step.REFUSED, "foreign"), *known.records)
    for step in Step:
        if step is Step.STRAY:
            continue
        assert known.allows(step, "current") == (step in CURRENT[state].split()), (state, step, "current")
        assert known.allows(step, "new") == (step in NEW.get(state, "").split()), (state, step, "new")
        if state is not None:
            assert not earlier.allows(step, "foreign"), (state, step, "foreign")
        assert known.allows(step, None) == (step in NEW.get(state, "").split()), (state, step, "none")


MODERATED = {"kind": "moderated input"}
SIGHTINGS = {
    "fresh": (0.0, ClaimObservation()),
    "overdue by date": (90.0, ClaimObservation()),
    "overdue by watching": (0.0, ClaimObservation(watched_seconds=90.0)),
    "from the future": (-1e6, ClaimObservation(watched_seconds=30.0)),
    "from the future, watched": (-1e6, ClaimObservation(watched_seconds=91.0)),
    "writer gone": (0.0, ClaimObservation(writer_gone=True)),
}
CLAIMED: dict[str, Action] = {
    "fresh": Watch(90.0),
    "overdue by date": CallUnclear(),
    "overdue by watching": CallUnclear(),
    "from the future": Watch(60.0),
    "from the future, watched": CallUnclear(),
    "writer gone": CallUnclear(),
}
OTHERS: dict[Step | None, type[Action]] = {
    None: Claim,
    Step.REFUSED: Claim,
    Step.UNCLEAR: Held,
    Step.ACCEPTED: Poll,
    Step.COMPLETED: Fetch,
    Step.LOST: Held,
    Step.STORED: Done,
}


@pytest.mark.parametrize("strays", [0, 2])
@pytest.mark.parametrize("circumstance", SIGHTINGS)
def test_what_comes_next_is_what_the_table_says(circumstance: str, strays: int) -> None:
    age, observation = SIGHTINGS[circumstance]
    now = NOW + datetime.timedelta(seconds=age)
    for state, retry, facts in itertools.product(STATES, (False, True), ({}, MODERATED, {"kind": "other"})):
        known = in_state(state, strays=strays, **facts)
        action = decide(known, now, observation, retry=retry)
        if state is Step.CLAIMED:
            assert action == CLAIMED[circumstance]
        elif state is Step.FAILED:
            assert type(action) is (Claim if retry and facts is not MODERATED else Held)
        else:
            assert type(action) is OTHERS[state], (state, retry, facts)


@pytest.mark.parametrize("state", [Step.REFUSED, Step.FAILED])
def test_a_reason_that_this_version_does_not_know_is_read_and_forbids_a_new_payment(state: Step) -> None:
    written = record(state).model_dump(mode="json") | {"kind": "charged in part"}
    read = Record.model_validate_json(json.dumps(written))
    assert (read.kind, read.has_unknown_reason) == ("charged in part", True)
    for retry in (False, True):
        action = decide(history(read), NOW, retry=retry)
        assert isinstance(action, Held)
        assert "`charged in part`" in action.why
        assert "update prefect-seedance" in action.why


@pytest.mark.parametrize("reason", [*RefusalReason, *FailureReason])
def test_a_reason_is_on_disk_the_word_that_it_always_was(reason: RefusalReason | FailureReason) -> None:
    step = Step.REFUSED if isinstance(reason, RefusalReason) else Step.LOST
    written = record(step, kind=reason).model_dump_json(by_alias=True)
    assert f'"kind":"{reason.value}"' in written
    read = Record.model_validate_json(written)
    assert (type(read.kind), read.kind, read.has_unknown_reason) == (type(reason), reason, False)


def test_no_state_but_these_three_ever_leads_to_another_claim() -> None:
    """Unclear and lost are never submitted again by the program, whatever it is asked and however long ago it was."""
    later = NOW + datetime.timedelta(days=3650)
    gone = ClaimObservation(1e9, writer_gone=True)
    claiming = {state for state in STATES if isinstance(decide(in_state(state), later, gone, retry=True), Claim)}
    assert claiming == {None, Step.REFUSED, Step.FAILED}


def test_a_claim_is_overdue_at_the_second_and_not_before() -> None:
    claim = record(Step.CLAIMED)
    assert seconds_until_overdue(claim, NOW + datetime.timedelta(seconds=89), ClaimObservation(88)) == 1
    assert seconds_until_overdue(claim, NOW + datetime.timedelta(seconds=90), ClaimObservation()) == 0
    assert seconds_until_overdue(claim, NOW + datetime.timedelta(days=1), ClaimObservation()) == 0


def test_the_numbers_that_opened_a_key_are_its_claims_and_its_ways_out_of_lost() -> None:
    grown = history(
        record(Step.CLAIMED, "a"),
        record(Step.REFUSED, "a"),
        record(Step.REFUSED, "nobody"),
        record(Step.CLAIMED, "b"),
        record(Step.STRAY, "a", job_id="stray"),
        record(Step.ACCEPTED, "b", job_id="job"),
        record(Step.LOST, "b", job_id="job"),
        record(Step.STRAY, "a", job_id="another stray"),
        record(Step.COMPLETED, "b", job_id="job"),
        record(Step.LOST, "b", job_id="job"),
        record(Step.STORED, "b", job_id="job"),
    )
    assert grown.openings() == [1, 4, 9, 11]


def test_a_stray_changes_no_state_but_is_money_spent() -> None:
    stray = record(Step.STRAY, "old", job_id="stray")
    grown = history(record(Step.CLAIMED), record(Step.ACCEPTED, job_id="job"), stray)
    assert grown.state is Step.ACCEPTED
    assert grown.number == 3
    assert grown.strays == (grown.records[2],)
    assert grown.names_job("stray")
    assert not grown.names_job("unheard of")
    assert grown.spent_usd == Decimal("0.10")


@pytest.mark.parametrize(
    ("steps", "spent"),
    [
        ([], "0"),
        ([("a", Step.CLAIMED, None)], "0.05"),
        ([("a", Step.CLAIMED, None), ("a", Step.REFUSED, None)], "0"),
        ([("a", Step.CLAIMED, None), ("a", Step.UNCLEAR, None)], "0.05"),
        ([("a", Step.LOST, None)], "0.05"),
        ([("a", Step.LOST, "0.03")], "0.03"),
        ([("a", Step.FAILED, None)], "0"),
        ([("a", Step.COMPLETED, "0.04"), ("a", Step.STORED, "0.04")], "0.04"),
        ([("a", Step.FAILED, None), ("b", Step.ACCEPTED, None)], "0.05"),
        ([("a", Step.LOST, "0.02"), ("a", Step.COMPLETED, "0.03"), ("a", Step.STORED, "0.03")], "0.03"),
    ],
)
def test_each_attempt_counts_once_and_what_may_have_been_charged_counts_in_full(
    steps: list[tuple[str, Step, str | None]], spent: str
) -> None:
    records = [record(step, claim, cost_usd=None if usd is None else Decimal(usd)) for claim, step, usd in steps]
    assert history(*records).spent_usd == Decimal(spent)


@pytest.mark.parametrize(
    ("step", "kind", "cost", "remedies"),
    [
        (
            Step.UNCLEAR,
            None,
            "$0.05 may have been charged",
            [f"{KEY}@7", "--job-id", "--not-charged", "--charged"],
        ),
        (Step.LOST, None, "$0.05 was perhaps charged", ["raise `take`"]),
        (Step.FAILED, "moderated input", "nothing was charged", ["change it"]),
        (Step.FAILED, "other", "nothing was charged", ["--retry-failed 1"]),
        (Step.REFUSED, "busy", "nothing was charged", ["rendering again"]),
    ],
)
def test_what_holds_a_key_says_what_happened_what_it_cost_and_what_to_do(
    step: Step, kind: str | None, cost: str, remedies: list[str]
) -> None:
    told = remedy(record(step, number=7, kind=kind, reason="it thundered"))
    assert "(it thundered)" in told
    assert cost in told
    assert [word for word in remedies if word not in told] == []
    assert "\n" not in told


@pytest.mark.parametrize("known", [{"job_id": "job"}, {}])
def test_what_a_person_gave_up_can_be_looked_for_for_nothing_where_its_job_is_known(known: dict[str, str]) -> None:
    told = remedy(record(Step.LOST, number=7, kind="settled", reason="settled by a person: charged", **known))
    assert (f"for nothing, with `prefect-seedance settle {KEY}@7 --store … --retry`" in told) == bool(known)
    assert ("its job is not known" in told) == (not known)
    assert "raise `take`" in told


@pytest.mark.parametrize(
    ("kind", "reason", "told"),
    [
        ("busy", "It was not reached; nothing was charged.", "it did not get through (It was not reached)"),
        ("late", "its writer never claimed what it had announced", "it was not sent (its writer never"),
        ("settled", "settled by a person: not charged", "a person has settled it (settled by a person: not charged)"),
        ("request", "The API refused it (400): no", "the API did not take it (The API refused it (400): no)"),
    ],
)
def test_what_was_not_accepted_is_told_by_its_kind_and_says_once_that_it_cost_nothing(
    kind: str, reason: str, told: str
) -> None:
    said = remedy(record(Step.REFUSED, kind=kind, reason=reason))
    assert said.startswith(told)
    assert said.count("nothing was charged") == 1


def test_what_closed_a_number_that_nobody_claimed_is_no_claim() -> None:
    closing = record(Step.REFUSED, "nobody", kind="late")
    refused = history(record(Step.CLAIMED, "a"), record(Step.REFUSED, "a"), closing)
    assert [one.claim_id for one in ends_of(refused)] == ["a"]
    assert list(ends_of(history(closing))) == []
