"""Waits of one run take turns: spread while they know nothing, together once one of them has seen an end."""

from __future__ import annotations

import asyncio
import datetime
import time

from renderer import small

from prefect_seedance.generation.poll import Turns, Waiting
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.ledger.writer import this_writer

WAITS = 20


def accepted(prompt: str) -> Record:
    now, request = datetime.datetime.now(datetime.UTC), small(prompt)
    return Record(
        key=key_of(request),
        number=2,
        step=Step.ACCEPTED,
        at=now,
        request=request,
        estimated_usd="0.05",
        attempt=1,
        claim_id="c",
        claimed_at=now,
        submit_timeout_seconds=90,
        writer=this_writer(),
        base_url="http://127.0.0.1/v2",
        account="a",
        job_id="j",
        accepted_at=now,
    )


async def second_look(turns: Turns, record: Record) -> float:
    looks = turns.looks(record, 0, at_once=False)
    await anext(looks)
    await anext(looks)
    await looks.aclose()
    return time.monotonic()


async def test_waits_that_began_together_do_not_look_together() -> None:
    turns = Turns(Waiting(first=0, pause=0.01))
    turns.waits = 200  # so many look every four seconds
    looked = sorted(await asyncio.gather(*(second_look(turns, accepted(f"{n}")) for n in range(WAITS))))
    assert looked[3 * WAITS // 4] - looked[WAITS // 4] > 0.6  # four seconds are usual; together it would be 0.2


async def test_the_first_end_wakes_the_others() -> None:
    turns = Turns(Waiting(first=0, pause=0.01))
    turns.waits = 50_000  # so many would look every thousand seconds
    record = accepted("known to end")
    waiting = asyncio.gather(*(second_look(turns, record) for _ in range(WAITS)))
    await asyncio.sleep(0.1)
    turns.ended(record)
    await asyncio.wait_for(waiting, 30)
