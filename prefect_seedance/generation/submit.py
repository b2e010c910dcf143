"""Make sure that a job was submitted, once and by whomever: claim, POST, outcome. The only step that may cost money.

The claim, the POST and its outcome run in the sender's loop, so that once begun neither a cancellation nor SIGTERM nor
a first Ctrl-C can come between the money and its record.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import random
from collections.abc import Sequence
from typing import Any

from prefect_seedance.catalog.endpoints import input_of
from prefect_seedance.catalog.pricing import estimate, upper
from prefect_seedance.errors import (
    BadInput,
    BadStore,
    LedgerUnreadable,
    LostRace,
    OverBudget,
    Refused,
    SeedanceError,
    StoreUnavailable,
    SubmissionUnclear,
    TooLate,
    TryAgainLater,
    summary,
)
from prefect_seedance.generation.ends import ended
from prefect_seedance.generation.sender import settled
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.keys import key_of
from prefect_seedance.ledger import rules
from prefect_seedance.ledger.clocks import Elapsed
from prefect_seedance.ledger.pauses import pauses
from prefect_seedance.ledger.record import Record, RefusalReason, Step, next_step
from prefect_seedance.ledger.rules import History
from prefect_seedance.ledger.writer import new_claim_id
from prefect_seedance.models import Request
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.runpod.responses import Answer, hidden

SEND_WITHIN = 30.0
"""Seconds from the claim to the POST; later than that the claim is given up unsent."""
ACCOUNT_CODES = (401, 402, 403)
"""Refusals of the key or its balance and not of this request: the run stops asking."""
CLAIMS_WHEN_BUSY = 5
"""So often one request is claimed in one run, where each claim meets a 429 or no connection: that costs nothing."""


async def submit(
    session: RenderSession,
    request: Request,
    image: str | None = None,
    last_image: str | None = None,
    references: Sequence[str] = (),
    *,
    retry: bool = False,
) -> History:
    """Make sure that a job for *request* was submitted, by whomever. Repeating it never submits twice."""
    refusals, races, key = 0, pauses(0.02, 2.0), key_of(request)
    while True:
        history = _planned(session, key, retry=retry) or await session.ledger.load(key)
        last = history.last
        observation = session.ledger.observation(last) if last else rules.ClaimObservation()
        match rules.decide(history, _now(), observation, retry=retry):
            case rules.Claim():
                try:
                    async with session.turn_to_claim():
                        history = await _claim_and_post(session, history, request, image, last_image, references)
                except LostRace:
                    await asyncio.sleep(next(races))
                    await _unannounce(session, history)
                    continue
                pause = _pause_before_claiming_again(history.last, refusals)
                if pause is None:
                    return history
                refusals += 1
                await asyncio.sleep(pause)
            case rules.Watch(seconds):
                await asyncio.sleep(min(seconds, 2.0))
            case rules.CallUnclear():
                session.taken(await session.ledger.call_unclear(history))
            case _:
                return history


def _planned(session: RenderSession, key: str, *, retry: bool) -> History | None:
    """The history that the plan has read, once, if a claim may follow: whatever else it says may have changed since."""
    planned = session.planned.pop(key, None)
    claimable = planned is not None and isinstance(rules.decide(planned, _now(), retry=retry), rules.Claim)
    return planned if claimable else None


async def _unannounce(session: RenderSession, known: History) -> None:
    """Take away the marker of a claim that lost its number to a key that is closed by now."""
    with contextlib.suppress(SeedanceError):  # the collector removes what is left
        await session.ledger.unmark(await session.ledger.load(known.key), known.number + 1)


async def _claim_and_post(
    session: RenderSession,
    history: History,
    request: Request,
    image: str | None,
    last_image: str | None,
    references: Sequence[str],
) -> History:
    _refuse_other_pictures(request, image, last_image, references)
    places = (image, last_image, *references)
    links = [await session.link(place) for place in places]
    if unseen := [place for place, link in zip(places, links, strict=True) if place is not None and link is None]:
        raise BadInput(
            f"The provider can't fetch {unseen[0]} from {session.ledger.store.url}; nothing was submitted; say where "
            "that store is served from with `public_base_url`, or use a bucket."
        )
    first, last, *others = links
    fields = input_of(request, session.catalog[request.model], first, last, [link for link in others if link])
    reservation = await session.budget.reservation_for(history.key)
    claim = new_claim(session, history, request).model_copy(update={"reservation": reservation})
    session.budget.lease(claim)
    session.claims.add(claim.claim_id)
    try:
        history = await settled(lambda: _pay(session, history, claim, fields))
    except LedgerUnreadable:  # perhaps sent, and its outcome has no place in a history that can't be read
        session.in_doubt[claim.key] = claim
        raise
    except (LostRace, OverBudget, StoreUnavailable, BadStore):  # before the POST: after it, only a kill ends the trying
        session.budget.cancel(claim)
        raise
    return session.taken(history)


def _refuse_other_pictures(
    request: Request, image: str | None, last_image: str | None, references: Sequence[str]
) -> None:
    """Raise `BadInput` where the pictures to send are not those of the key: what comes would be stored as another's."""
    sent = {"image": image is not None, "last_image": last_image is not None, "references": len(references)}
    asked = {
        "image": request.image is not None,
        "last_image": request.last_image is not None,
        "references": len(request.references),
    }
    if wrong := [f"`{name}`" for name in sent if sent[name] != asked[name]]:
        raise BadInput(
            f"The pictures given are not those of the request ({', '.join(wrong)}); nothing was submitted; give each "
            "picture of the request its path or link, and no other."
        )


def new_claim(session: RenderSession, history: History, request: Request) -> Record:
    """The claim that would follow *history*, not yet written and under no reservation."""
    now, last, row = _now(), history.last, session.catalog[request.model]
    return Record(
        key=history.key,
        number=history.number + 1,
        step=Step.CLAIMED,
        at=now,
        request=request,
        estimated_usd=estimate(request, row),
        upper_usd=upper(request, row),
        attempt=last.attempt + 1 if last else 1,
        claim_id=new_claim_id(),
        claimed_at=now,
        submit_timeout_seconds=SEND_WITHIN + 2 * (session.client.answer_seconds + (row.runsync or 0)),
        writer=session.writer,
        base_url=session.client.account.base_url,
        account=session.client.account.fingerprint,
    )


async def _pay(session: RenderSession, history: History, claim: Record, fields: dict[str, Any]) -> History:
    """Write it down, pay, write it down. Runs in the sender's loop."""
    since = Elapsed()
    claim = claim.model_copy(update={"at": _now(), "claimed_at": _now()})  # it may have waited for its place

    def late() -> bool:
        return since.seconds >= SEND_WITHIN or session.budget.has_ended(claim)

    async def outcome(step: Step, **facts: Any) -> History:
        return await session.ledger.append_until_in(next_step(claim, step, **facts), history)

    wait_seconds = session.catalog[claim.request.model].runsync
    session.budget.admit(claim)
    history = await session.ledger.claim(history, claim)
    try:
        answer = await session.client.submit(claim.request.model, fields, late=late, wait_seconds=wait_seconds)
    except TooLate as error:
        return await outcome(Step.REFUSED, kind=RefusalReason.LATE, reason=str(error))
    except TryAgainLater as error:
        asked = {"retry_after": error.retry_after} if error.retry_after is not None else None
        return await outcome(Step.REFUSED, kind=RefusalReason.BUSY, reason=str(error), answer=asked)
    except Refused as error:
        kind = RefusalReason.ACCOUNT if error.status_code in ACCOUNT_CODES else RefusalReason.REQUEST
        return await outcome(Step.REFUSED, kind=kind, reason=str(error))
    except SubmissionUnclear as error:
        return await outcome(Step.UNCLEAR, reason=str(error))
    except Exception as error:  # as nobody foresaw: it may have been sent
        what = hidden(summary(error), session.client.account.api_key)
        return await outcome(Step.UNCLEAR, reason=f"The answer to the POST was lost: {what}")
    accepted = next_step(claim, Step.ACCEPTED, job_id=answer.job_id, accepted_at=_now())
    return await _keep_accepted(session, accepted, answer, history)


async def _keep_accepted(session: RenderSession, accepted: Record, answer: Answer, known: History) -> History:
    """Append *accepted*; while the store is down go on polling, since the API forgets a job 30 minutes after.

    A store that fails or hangs hides neither the job id nor how the job has ended: both are told outside of it.
    """
    appending = asyncio.create_task(session.ledger.append_until_in(accepted, known))
    await asyncio.wait({appending}, timeout=3)
    if not appending.done() and answer.ended is None:
        async with RunpodClient(session.client.account) as client:
            while not appending.done() and answer.ended is None:
                with contextlib.suppress(Exception):  # no look may end what keeps the acceptance
                    answer = await client.status(accepted.request.model, answer.job_id) or answer
                await asyncio.wait({appending}, timeout=session.waiting.longest)
    if answer.ended is None:
        return await appending
    final = ended(accepted, answer)
    if not appending.done() or appending.exception() is not None:
        why = StoreUnavailable("the job has ended before its acceptance could be recorded.")
        session.ledger.rescue(final, why)
    await appending
    return await session.ledger.append_until_in(final)


def _pause_before_claiming_again(last: Record | None, refusals: int) -> float | None:
    """Seconds to wait before a new claim after a refusal that passes by itself; None when it does not, or too often."""
    if last is None or last.step is not Step.REFUSED or last.kind not in (RefusalReason.BUSY, RefusalReason.LATE):
        return None
    if refusals + 1 >= CLAIMS_WHEN_BUSY:
        return None
    asked = (last.answer or {}).get("retry_after")
    return min(float(asked), 120.0) if asked is not None else 2.0**refusals * random.uniform(0.5, 1.0)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
