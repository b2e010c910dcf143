from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from renderer import HookedStore, small

from prefect_seedance.errors import LedgerUnreadable, LostRace, StoreUnavailable, Taken
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.ledger import Ledger, record_path
from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.ledger.rules import History
from prefect_seedance.ledger.writer import new_claim_id, this_writer
from prefect_seedance.storage import open_store


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Ledger(open_store(tmp_path / "store"))


def a_claim(prompt: str = "A lighthouse.", **changed: Any) -> Record:
    request, now = small(prompt), datetime.datetime.now(datetime.UTC)
    facts: dict[str, Any] = {
        "key": key_of(request),
        "number": 1,
        "step": Step.CLAIMED,
        "at": now,
        "request": request,
        "estimated_usd": Decimal("0.05"),
        "attempt": 1,
        "claim_id": new_claim_id(),
        "claimed_at": now,
        "submit_timeout_seconds": 90.0,
        "writer": this_writer(),
    }
    return Record(**{**facts, **changed})


def after(record: Record, step: Step, **changed: Any) -> Record:
    return record.model_copy(update={"step": step, **changed})


async def grown(ledger: Ledger, *records: Record) -> History:
    history = await ledger.load(records[0].key)
    for record in records:
        history = await ledger.append(history, record)
    return history


async def test_what_was_lost_twice_is_lost(ledger: Ledger) -> None:
    claim = a_claim()
    accepted = after(claim, Step.ACCEPTED, job_id="job")
    lost = after(accepted, Step.LOST, reason="the API no longer knows the job (404)")
    completed = after(accepted, Step.COMPLETED, answer={"id": "job", "status": "COMPLETED"})
    await grown(ledger, claim, accepted, lost, completed)
    assert (await ledger.keep(after(completed, Step.LOST, reason="the clip's link is dead"))).state is Step.LOST


@pytest.mark.parametrize("text", ["\ud83d", "a\0b", "\u2028"], ids=["half a character", "zero", "line separator"])
async def test_any_text_of_an_answer_can_be_recorded(ledger: Ledger, text: str) -> None:
    claim = a_claim()
    accepted = after(claim, Step.ACCEPTED, job_id="job")
    await grown(ledger, claim, accepted)
    failed = after(accepted, Step.FAILED, reason=text, answer={"id": "job", "status": "FAILED", "error": text})
    assert (await ledger.keep(failed)).state is Step.FAILED
    assert (await ledger.load(claim.key)).state is Step.FAILED


@pytest.mark.parametrize(
    "error", [Taken("it exists already."), StoreUnavailable("no answer.")], ids=["taken", "silent"]
)
async def test_an_own_claim_whose_answer_was_lost_is_known_by_its_claim_id(ledger: Ledger, error: Exception) -> None:
    async def once_done(moment: str, path: str) -> None:
        if moment == "after create" and path.endswith("0001.json"):
            raise error

    claim = a_claim()
    won = await Ledger(HookedStore(ledger.store, once_done)).claim(History(claim.key), claim)
    assert won.last == claim
    assert [record.claim_id for record in (await ledger.load(claim.key)).records] == [claim.claim_id]


async def test_a_claim_that_another_writer_holds_is_lost_whatever_flow_run_that_is(ledger: Ledger) -> None:
    first, second = (a_claim(writer=this_writer("flow-run", "task-run")) for _ in range(2))
    await ledger.claim(History(first.key), first)
    with pytest.raises(LostRace):
        await ledger.claim(History(first.key), second)


async def test_a_claim_whose_number_stays_free_is_repeated_there_or_given_up(ledger: Ledger) -> None:
    tries: list[str] = []

    async def never(moment: str, path: str) -> None:
        if moment == "before create":
            tries.append(path)
            raise StoreUnavailable("no answer.")

    claim = a_claim()
    with pytest.raises(StoreUnavailable):
        await Ledger(HookedStore(ledger.store, never)).claim(History(claim.key), claim)
    assert set(tries) == {f"ledger/{claim.key}/0001.json"}
    assert (await ledger.load(claim.key)).records == ()


async def test_a_writer_whose_claim_is_no_longer_current_writes_nothing_but_a_job_id(ledger: Ledger) -> None:
    old, new = a_claim(), a_claim(attempt=2)
    unclear = after(old, Step.UNCLEAR)
    history = await grown(ledger, old, unclear, after(old, Step.REFUSED, by="person"), new)
    for step in (Step.REFUSED, Step.UNCLEAR):
        assert (await ledger.keep(after(old, step, reason="late"))).records == history.records
    stray = await ledger.keep(after(old, Step.ACCEPTED, job_id="late-job"))
    assert stray.last == history.last
    assert [record.job_id for record in stray.strays] == ["late-job"]
    assert await ledger.keep(after(old, Step.ACCEPTED, job_id="late-job")) == stray
    assert (await ledger.keep(after(new, Step.ACCEPTED, job_id="job"))).state is Step.ACCEPTED


OUT_OF_LOST = {
    "job id": (Step.ACCEPTED, {"job_id": "job"}),
    "final answer": (Step.COMPLETED, {"job_id": "job", "answer": {"status": "COMPLETED"}}),
    "verified file": (Step.STORED, {"job_id": "job", "clip": "clips/a.mp4", "sha256": "0", "bytes": 1}),
}


@pytest.mark.parametrize("in_hand", OUT_OF_LOST)
async def test_who_holds_something_of_a_lost_claim_takes_it_out_of_lost(ledger: Ledger, in_hand: str) -> None:
    step, facts = OUT_OF_LOST[in_hand]
    claim = a_claim()
    history = await grown(ledger, claim, after(claim, Step.UNCLEAR), after(claim, Step.LOST, by="person"))
    await ledger.unmark(history)
    assert (await ledger.keep(after(claim, step, **facts))).state is step
    assert await ledger.markers() == ([] if step is Step.STORED else [(claim.key, 4)])


async def test_a_stranger_takes_nothing_out_of_lost(ledger: Ledger) -> None:
    claim = a_claim()
    await grown(ledger, claim, after(claim, Step.UNCLEAR), after(claim, Step.LOST))
    kept = await ledger.keep(a_claim(step=Step.ACCEPTED, job_id="job"))
    assert (kept.state, len(kept.strays)) == (Step.LOST, 1)


async def test_an_old_clean_up_leaves_the_marker_of_a_new_claim(ledger: Ledger) -> None:
    claim = a_claim()
    refused = await grown(ledger, claim, after(claim, Step.REFUSED))
    await ledger.append(refused, a_claim())
    await ledger.unmark(refused)
    await ledger.unmark(refused, 1, 3)
    assert await ledger.markers() == [(claim.key, 3)]


@pytest.mark.parametrize("damage", ["a gap", "half a record", "another key's record"])
async def test_a_history_that_cannot_be_read_is_an_error_and_never_an_empty_one(ledger: Ledger, damage: str) -> None:
    claim = a_claim()
    await grown(ledger, claim, after(claim, Step.REFUSED))
    first = Path(ledger.store.url) / record_path(claim.key, 1)
    match damage:
        case "a gap":
            first.unlink()
        case "half a record":
            first.write_bytes(first.read_bytes()[:100])
        case _:
            first.write_bytes(first.read_bytes().replace(claim.key.encode(), b"sd1-other"))
    with pytest.raises(LedgerUnreadable, match="nothing was submitted"):
        await ledger.load(claim.key)


async def test_what_the_store_does_not_take_names_a_job_only_where_there_is_one(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    down = True

    async def failing(moment: str, _: str) -> None:
        nonlocal down
        if moment == "before create" and down:
            down = False
            raise StoreUnavailable("no answer.")

    claim = a_claim()
    await grown(ledger, claim)
    kept = await Ledger(HookedStore(ledger.store, failing)).keep(after(claim, Step.UNCLEAR))
    assert kept.state is Step.UNCLEAR
    told = capsys.readouterr().err
    assert f"settle {claim.key}@NUMBER" in told
    assert "None" not in told
