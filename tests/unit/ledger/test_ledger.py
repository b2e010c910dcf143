from __future__ import annotations

import asyncio
import datetime
import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from prefect_seedance.errors import LedgerUnreadable, LostRace, StoreUnavailable, Taken
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.ledger import Ledger, marker_path, record_path
from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.ledger.rescue import rescue_file
from prefect_seedance.ledger.rules import History
from prefect_seedance.ledger.writer import new_claim_id, this_writer
from prefect_seedance.storage import open_store
from tests.support.renderer import HookedStore, small


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
    assert (
        await ledger.append_until_in(after(completed, Step.LOST, reason="the clip's link is dead"))
    ).state is Step.LOST


@pytest.mark.parametrize("text", ["\ud83d", "a\0b", "\u2028"], ids=["half a character", "zero", "line separator"])
async def test_any_text_of_an_answer_can_be_recorded(ledger: Ledger, text: str) -> None:
    claim = a_claim()
    accepted = after(claim, Step.ACCEPTED, job_id="job")
    await grown(ledger, claim, accepted)
    failed = after(accepted, Step.FAILED, reason=text, answer={"id": "job", "status": "FAILED", "error": text})
    assert (await ledger.append_until_in(failed)).state is Step.FAILED
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
        assert (await ledger.append_until_in(after(old, step, reason="late"))).records == history.records
    stray = await ledger.append_until_in(after(old, Step.ACCEPTED, job_id="late-job"))
    assert stray.last == history.last
    assert [record.job_id for record in stray.strays] == ["late-job"]
    assert await ledger.append_until_in(after(old, Step.ACCEPTED, job_id="late-job")) == stray
    assert (await ledger.append_until_in(after(new, Step.ACCEPTED, job_id="job"))).state is Step.ACCEPTED


OUT_OF_LOST: dict[str, tuple[Step, dict[str, Any]]] = {
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
    assert (await ledger.append_until_in(after(claim, step, **facts))).state is step
    assert await ledger.markers() == ([] if step is Step.STORED else [(claim.key, 4)])


async def test_a_stranger_takes_nothing_out_of_lost(ledger: Ledger) -> None:
    claim = a_claim()
    await grown(ledger, claim, after(claim, Step.UNCLEAR), after(claim, Step.LOST))
    kept = await ledger.append_until_in(a_claim(step=Step.ACCEPTED, job_id="job"))
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
    kept = await Ledger(HookedStore(ledger.store, failing)).append_until_in(after(claim, Step.UNCLEAR))
    assert kept.state is Step.UNCLEAR
    told = capsys.readouterr().err
    assert f"settle {claim.key}@NUMBER" in told
    assert "None" not in told


async def test_the_job_id_is_told_and_rescued_within_seconds_while_the_store_hangs(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = asyncio.Event()

    async def hanging(moment: str, path: str) -> None:
        if moment == "before create" and path.endswith("0002.json"):
            await answers.wait()

    claim = a_claim()
    claimed = await grown(ledger, claim)
    accepted = after(claim, Step.ACCEPTED, job_id="job-in-danger")
    keeping = asyncio.create_task(Ledger(HookedStore(ledger.store, hanging)).append_until_in(accepted, claimed))
    async with asyncio.timeout(60):
        while not rescue_file().exists():
            await asyncio.sleep(0.05)
    assert not keeping.done()
    [line] = rescue_file().read_text().splitlines()
    assert Record.model_validate(json.loads(line)["record"]).job_id == "job-in-danger"
    told = capsys.readouterr().err
    assert "job job-in-danger" in told
    assert f"settle {claim.key}@NUMBER --job-id job-in-danger" in told
    answers.set()
    assert (await keeping).state is Step.ACCEPTED
    assert len(rescue_file().read_text().splitlines()) == 1


@pytest.mark.parametrize("damage", ["newer", "half"])
async def test_a_history_that_cannot_be_read_ends_the_keeping_once_the_job_id_is_rescued(
    ledger: Ledger, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    claim = a_claim()
    claimed = await grown(ledger, claim)
    newer = b'{"schema": "prefect-seedance/record/2"}' if damage == "newer" else b'{"sch'
    await ledger.store.create(record_path(claim.key, 2), newer)
    async with asyncio.timeout(60):
        with pytest.raises(LedgerUnreadable, match=r"job-in-danger.*update prefect-seedance") as ended:
            await ledger.append_until_in(after(claim, Step.ACCEPTED, job_id="job-in-danger"), claimed)
    assert "nothing was submitted" not in str(ended.value)
    assert "job-in-danger" in rescue_file().read_text()
    assert "job-in-danger" in capsys.readouterr().err


async def test_no_record_is_written_that_cannot_be_read_back(ledger: Ledger) -> None:
    claim = a_claim()
    accepted = after(claim, Step.ACCEPTED, job_id="job")
    await grown(ledger, claim, accepted)
    body = {"id": "job", "status": "COMPLETED", "output": {"cost": "1e400"}}
    for cost in (Decimal("1e400"), Decimal("9" * 400), Decimal("sNaN"), Decimal("NaN")):
        odd = after(accepted, Step.COMPLETED, answer=body, cost_usd=cost, claim_id=claim.claim_id)
        kept = await ledger.append_until_in(odd)
        assert kept.state is Step.COMPLETED
    read = (await ledger.load(claim.key)).last
    assert read is not None
    assert (read.answer, read.cost_usd, read.charged_usd) == (body, None, Decimal("0.05"))


async def test_a_claim_that_could_not_be_read_back_is_not_made(ledger: Ledger) -> None:
    claim = a_claim(estimated_usd=Decimal("1e400"))
    with pytest.raises(LedgerUnreadable, match="nothing was submitted"):
        await ledger.claim(History(claim.key), claim)
    assert (await ledger.load(claim.key)).records == ()


async def test_ten_thousand_records_of_a_key_are_read_in_order(ledger: Ledger) -> None:
    claim = a_claim()
    folder = Path(ledger.store.url) / "ledger" / claim.key
    folder.mkdir(parents=True)
    for number in range(1, 10_001):
        (folder / f"{number:04d}.json").touch()
    stored = after(claim, Step.STORED, number=10_001, clip="clips/a.mp4")
    (folder / "10001.json").write_text(stored.model_dump_json(by_alias=True))
    assert (await ledger.load(claim.key)).number == 10_001


async def test_a_listing_that_stays_stale_is_not_asked_again_and_again_at_full_speed(ledger: Ledger) -> None:
    class Stale(HookedStore):
        stale, listed = True, 0

        async def names(self, folder: str) -> list[str]:
            self.listed += 1
            names = await self.inner.names(folder)
            return names[:1] if self.stale else names

    async def nothing(moment: str, path: str) -> None:
        pass

    claim = a_claim()
    accepted = after(claim, Step.ACCEPTED, job_id="job")
    await grown(ledger, claim, after(claim, Step.UNCLEAR))
    store = Stale(ledger.store, nothing)
    keeping = asyncio.create_task(Ledger(store).append_until_in(accepted))
    begun = time.monotonic()
    while time.monotonic() - begun < 1:
        await asyncio.sleep(0.05)
    assert store.listed < 20
    store.stale = False
    assert (await keeping).state is Step.ACCEPTED


async def test_many_histories_come_in_the_order_they_were_asked_for(ledger: Ledger) -> None:
    claims = [a_claim(f"Scene {n}.") for n in range(5)]
    for claim in claims[:4]:
        await grown(ledger, claim)
    keys = [claim.key for claim in reversed(claims)]
    histories = await ledger.load_many(keys)
    assert [history.key for history in histories] == keys
    assert [history.number for history in histories] == [0, 1, 1, 1, 1]


async def test_a_job_that_an_earlier_attempt_of_a_stored_key_names_is_no_stray(ledger: Ledger) -> None:
    """Else its money would count twice."""
    first, second = a_claim(), a_claim(attempt=2)
    accepted = after(first, Step.ACCEPTED, job_id="first")
    steps = [after(second, step, job_id="second") for step in (Step.ACCEPTED, Step.COMPLETED, Step.STORED)]
    await grown(ledger, first, accepted, after(accepted, Step.FAILED, kind="other"), second, *steps)
    await ledger.append_until_in(accepted)
    assert (await ledger.load_whole(first.key)).strays == ()
    await ledger.append_until_in(after(accepted, Step.ACCEPTED, job_id="of nobody"))
    assert [stray.job_id for stray in (await ledger.load_whole(first.key)).strays] == ["of nobody"]


async def test_a_marker_whose_number_a_stray_has_taken_goes_away_when_the_key_is_closed(ledger: Ledger) -> None:
    claim = a_claim()
    history = await grown(ledger, claim, after(claim, Step.UNCLEAR), after(claim, Step.LOST))
    await ledger.store.write(marker_path(claim.key, history.number + 1), b"announced, and never written")
    history = await ledger.append(history, after(claim, Step.STRAY, job_id="late"))
    await ledger.unmark(history, 1, history.number)
    assert await ledger.markers() == []
