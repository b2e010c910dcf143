"""What has to be seen again before it counts is noted in the store, whichever kind it is, and dated by its clock."""

from __future__ import annotations

import time

import pytest

from prefect_seedance.errors import StoreUnavailable
from prefect_seedance.ledger.clocks import Elapsed
from prefect_seedance.ledger.notes import Notes, note_path
from prefect_seedance.storage.store import Store
from tests.support.renderer import HookedStore, accepted, age_the_notes

AT_ONCE = -60.0
"""No grace at all, on a store that dates its files by whole seconds too."""


async def test_what_is_seen_for_the_first_time_was_not_seen_before_and_is_from_then_on(either_store: Store) -> None:
    first, another, record = Notes(either_store, "first"), Notes(either_store, "another"), accepted("a")
    assert not await first.seen_again(record, "gone", look=Elapsed(), after=AT_ONCE)
    assert await first.seen_again(record, "gone", look=Elapsed(), after=AT_ONCE)
    assert not await first.seen_again(record, "gone", look=Elapsed(), after=AT_ONCE, by_another=True)
    assert not await another.seen_again(record, "gone", look=Elapsed(), after=3600, by_another=True)
    assert await another.seen_again(record, "gone", look=Elapsed(), after=AT_ONCE, by_another=True)
    assert not await another.seen_again(record, "dead-link", look=Elapsed(), after=AT_ONCE)
    assert not await another.seen_again(record.model_copy(update={"number": 3}), "gone", look=Elapsed(), after=AT_ONCE)


async def test_a_machine_that_sleeps_within_a_look_makes_no_old_note_of_a_young_one(folder_store: Store) -> None:
    first, another, record = Notes(folder_store, "first"), Notes(folder_store, "another"), accepted("a")
    began = Elapsed(wall=time.time() - 7 * 3600)
    await first.seen_again(record, "gone", look=Elapsed(), after=0)
    assert age_the_notes(folder_store, 6 * 3600) == 1
    assert not await another.seen_again(record, "gone", look=began, after=6 * 3600, by_another=True)
    assert await another.seen_again(record, "gone", look=Elapsed(), after=6 * 3600, by_another=True)


async def test_what_was_seen_otherwise_since_begins_anew(either_store: Store) -> None:
    notes, record = Notes(either_store, "run"), accepted("a")
    await notes.seen_again(record, "gone", look=Elapsed(), after=AT_ONCE)
    await notes.forget(record, "gone")
    await notes.forget(record, "never noted")
    assert not await notes.seen_again(record, "gone", look=Elapsed(), after=AT_ONCE)
    await either_store.write(note_path(record, "gone"), b"{")
    assert not await notes.seen_again(record, "gone", look=Elapsed(), after=AT_ONCE), "nobody knows who noted that"


async def test_notes_about_what_is_closed_are_removed_and_no_others(either_store: Store) -> None:
    notes, closed, still_open = Notes(either_store, "run"), accepted("closed"), accepted("open")
    for record in (closed, still_open):
        for what in ("gone", "dead-link", "damaged-0123456789ab"):
            await notes.seen_again(record, what, look=Elapsed(), after=0)

    async def markers() -> list[tuple[str, int]]:
        return [(still_open.key, still_open.number)]

    await notes.sweep(markers)
    names = await either_store.names("ledger-seen")
    assert (len(names), {name[: len(still_open.key)] for name in names}) == (3, {still_open.key})


@pytest.mark.parametrize("broken", ["exists", "create", "read", "age"])
async def test_a_store_that_remembers_nothing_holds_nothing_against_a_job(folder_store: Store, broken: str) -> None:
    record = accepted("a")
    if broken in ("read", "age"):
        await Notes(folder_store, "another").seen_again(record, "gone", look=Elapsed(), after=0)

    async def fails(moment: str, path: str) -> None:
        if moment == f"before {broken}":
            raise StoreUnavailable(f"The store failed at {path}.")

    assert not await Notes(HookedStore(folder_store, fails), "run").seen_again(record, "gone", look=Elapsed(), after=0)
