"""A stored key is for ever, so one read tells it: whatever else is asked for is asked for only where it has to be."""

from __future__ import annotations

import pytest

from prefect_seedance.errors import LedgerUnreadable
from prefect_seedance.ledger.ledger import Ledger, record_path
from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.ledger.rules import MAY_FOLLOW
from prefect_seedance.models import Audio, Heard
from prefect_seedance.storage.store import Store
from tests.support.counting import CountedStore
from tests.unit.ledger.test_ledger import a_claim, after, grown


async def a_stored_key(store: Store) -> str:
    claim = a_claim()
    steps = [after(claim, step, job_id="job") for step in (Step.ACCEPTED, Step.COMPLETED, Step.STORED)]
    await grown(Ledger(store), claim, *steps)
    return claim.key


def test_nothing_follows_stored_that_could_lead_to_a_payment() -> None:
    assert MAY_FOLLOW[Step.STORED] == frozenset()


def test_only_the_record_of_a_spoken_text_has_what_was_heard() -> None:
    claim = a_claim()
    assert "heard" not in claim.model_dump()
    heard = Heard(seconds=2.5, audio=Audio(codec="mp3", rate=48_000, channels=1, loudness=-20.0))
    spoken = after(claim, Step.STORED, job_id="job").model_copy(update={"heard": heard})
    assert Record.model_validate_json(spoken.model_dump_json()).heard == heard


async def test_a_stored_key_costs_one_read(either_store: Store) -> None:
    key = await a_stored_key(either_store)
    counted = CountedStore(either_store)
    assert (await Ledger(counted).load(key)).state is Step.STORED
    assert counted.asked == [f"read {record_path(key, 4)}"]


async def test_a_stray_after_stored_leaves_it_stored_and_is_known_to_who_counts_money(either_store: Store) -> None:
    key = await a_stored_key(either_store)
    history = await Ledger(either_store).load_whole(key)
    assert history.last is not None
    await Ledger(either_store).append(history, after(history.last, Step.STRAY, job_id="late"))
    assert (await Ledger(either_store).load(key)).state is Step.STORED
    whole = await Ledger(either_store).load_whole(key)
    assert [stray.job_id for stray in whole.strays] == ["late"]


async def test_among_keys_that_are_stored_or_new_alike_each_costs_one_request(either_store: Store) -> None:
    counted = CountedStore(either_store)
    new = [f"sd1-new-{number}" for number in range(10)]
    assert all(history.state is None for history in await Ledger(counted).load_many(new))
    assert len(counted.asked) <= len(new) + 1
    ledger, key = Ledger(counted), await a_stored_key(either_store)
    counted.clear()
    assert [history.state for history in await ledger.load_many([new[0], key, key, new[1]])] == [
        None, Step.STORED, Step.STORED, None,
    ]  # fmt: skip


async def test_who_has_stored_a_key_at_the_first_attempt_asks_nothing_more(either_store: Store) -> None:
    counted = CountedStore(either_store)
    ledger, claim = Ledger(counted), a_claim()
    steps = [after(claim, step, job_id="job") for step in (Step.ACCEPTED, Step.COMPLETED, Step.STORED)]
    history = await grown(ledger, claim, *steps)
    counted.clear()
    assert (await ledger.load_whole(claim.key)) == history
    assert counted.asked == []


async def test_who_has_stored_a_key_after_an_unclear_attempt_asks_whether_a_stray_follows(either_store: Store) -> None:
    counted = CountedStore(either_store)
    ledger, claim = Ledger(counted), a_claim()
    steps = [Step.UNCLEAR, Step.ACCEPTED, Step.COMPLETED, Step.STORED]
    history = await grown(ledger, claim, *(after(claim, step, job_id="as a person says") for step in steps))
    counted.clear()
    assert (await ledger.load_whole(claim.key)) == history
    assert counted.asked == [f"exists {record_path(claim.key, 6)}"]
    other = Ledger(either_store)
    await other.append(await other.load_whole(claim.key), after(claim, Step.STRAY, job_id="late"))
    assert [stray.job_id for stray in (await ledger.load_whole(claim.key)).strays] == ["late"]


@pytest.mark.parametrize("content", ["{", "another key's"])
async def test_a_damaged_record_at_the_usual_number_is_an_error_and_no_guess(either_store: Store, content: str) -> None:
    key = await a_stored_key(either_store)
    whole = await either_store.read(record_path(key, 4))
    damaged = whole[:50] if content == "{" else whole.replace(key.encode(), b"sd1-another")
    await either_store.write(record_path(key, 4), damaged)
    with pytest.raises(LedgerUnreadable):
        await Ledger(either_store).load(key)


async def test_a_key_whose_fourth_record_is_not_stored_is_read_from_its_list(either_store: Store) -> None:
    first, second = a_claim(), a_claim(attempt=2)
    failed = after(first, Step.FAILED, job_id="1", kind="other")
    steps = [after(second, step, job_id="2") for step in (Step.ACCEPTED, Step.COMPLETED, Step.STORED)]
    ledger = Ledger(either_store)
    await grown(ledger, first, after(first, Step.ACCEPTED, job_id="1"), failed, second, *steps[:2])
    assert (await ledger.load(first.key)).state is Step.COMPLETED
    assert (await ledger.load(first.key)).number == 6
    await ledger.append(await ledger.load(first.key), steps[2])
    assert (await ledger.load(first.key)).state is Step.STORED


async def test_a_gap_below_the_usual_number_is_an_error_for_what_may_be_paid(either_store: Store) -> None:
    claim = a_claim()
    await grown(Ledger(either_store), claim, after(claim, Step.REFUSED))
    await either_store.delete(record_path(claim.key, 1))
    with pytest.raises(LedgerUnreadable, match="nothing was submitted"):
        await Ledger(either_store).load(claim.key)
