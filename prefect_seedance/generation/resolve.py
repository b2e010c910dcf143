"""A person's answer about what the program can't know or no longer does. It names the very record it is about."""

from __future__ import annotations

import datetime
import logging
import math
import re
from dataclasses import dataclass
from typing import Any, Literal

from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.errors import (
    ApiUnreachable,
    BadInput,
    EndpointGone,
    JobGone,
    LostRace,
    NeedsAttention,
    SeedanceError,
)
from prefect_seedance.ledger.ledger import Ledger, record_path
from prefect_seedance.ledger.record import FailureReason, Record, RefusalReason, Step
from prefect_seedance.ledger.rules import GRACE_SECONDS, LINK_SECONDS, History, seconds_until_overdue
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.runpod.responses import link_in

log = logging.getLogger(__name__)

NOT_CHARGED_AFTER_SECONDS = 3600.0
"""Before that a slow gateway or a sleeping writer may still make "not charged" false."""

HANDLE = re.compile(r"([\w-]+)@(\d+)", re.ASCII)

Verdict = Literal["job id", "not charged", "charged", "retry"]

MAY_BE_SETTLED: dict[Verdict, frozenset[Step]] = {
    "job id": frozenset({Step.UNCLEAR, Step.LOST}),
    "not charged": frozenset({Step.UNCLEAR}),
    "charged": frozenset({Step.UNCLEAR, Step.ACCEPTED, Step.COMPLETED}),
    "retry": frozenset({Step.LOST}),
}
"""What each answer may be about. A job that is out is given up only if account, endpoint or link is gone."""


OF_THE_JOB_BEFORE: dict[str, Any] = {
    "answer": None,
    "cost_usd": None,
    "clip": None,
    "sha256": None,
    "bytes": None,
    "footage": None,
    "heard": None,
    "duration_mismatch": False,
}
"""What is known of one job and says nothing about another."""


@dataclass(frozen=True)
class Unsettled:
    """What waits for a person's answer, oldest first, and the open keys that can't be read, each with the reason."""

    records: tuple[Record, ...]
    errors: dict[str, str]


async def waiting(ledger: Ledger, account: str | None = None) -> Unsettled:
    """Every submission that waits for a person: unclear ones and jobs of another account than *account*, if known."""
    histories, errors = await ledger.load_readable(sorted({key for key, _ in await ledger.markers()}))
    records = [(await _observed(ledger, history, needed=False)).last for history in histories]
    found = [record for record in records if record is not None and _waits(record, account)]
    return Unsettled(tuple(sorted(found, key=lambda record: record.claimed_at)), errors)


def _waits(record: Record, account: str | None) -> bool:
    if record.step in (Step.ACCEPTED, Step.COMPLETED):
        return account is not None and record.account != account
    return record.step is Step.UNCLEAR


def as_json(record: Record) -> dict[str, Any]:
    return {
        "key": record.key,
        "record": record.number,
        "attempt": record.attempt,
        "since": record.claimed_at.isoformat(),
        "prompt": record.request.prompt,
        "at_risk_usd": float(record.charged_usd),
    }


async def _observed(ledger: Ledger, history: History, *, needed: bool) -> History:
    """*history*, with an overdue claim called unclear. Where the store does not take that it is shown all the same."""
    last = history.last
    if last is None or last.step is not Step.CLAIMED:
        return history
    if seconds_until_overdue(last, _now(), ledger.observation(last)) > 0:
        return history
    return await ledger.call_unclear(history, needed=needed)


async def settle(
    ledger: Ledger, handle: str, verdict: Verdict, *, job_id: str | None = None, client: RunpodClient | None = None
) -> Record:
    """Record a person's answer for KEY@N, or raise `BadInput` and change nothing.

    A job id is checked by a status call, and against this key's other attempts and all open keys; a closed key that
    has it is not found. "Not charged" is taken only one hour after the claim by the store's clock. "Charged" makes it
    lost; of a job that is out it is taken only after the grace, if it is of another account than the client's, or the
    API no longer has its endpoint, and of a completed one once its link has ended. "Retry" leads out of lost: to
    completed where the link is known, else to accepted where the job id is. The collector or the next render brings it
    home, or finds it lost again.
    """
    named = HANDLE.fullmatch(handle)
    if named is None:
        raise BadInput(f"{handle!r} is not KEY@NUMBER; `prefect-seedance settle --store …` lists what can be settled.")
    key, number = named.groups()
    history = await _observed(ledger, await ledger.load(key), needed=True)
    last = history.last
    if last is None:
        raise BadInput(
            f"There is no history of {key} in this store; `prefect-seedance settle --store …` lists what is unclear."
        )
    if last.number != int(number):
        raise BadInput(
            f"{handle} is not what is current: {key}@{last.number} is {last.step}; nothing was changed; list it again."
        )
    if last.step not in MAY_BE_SETTLED[verdict]:
        raise BadInput(
            f"{handle} is {last.step}; nothing was changed; only {' and '.join(sorted(MAY_BE_SETTLED[verdict]))} ones "
            "can be settled so."
        )
    changed: dict[str, Any] = {"by": "person", "at": _now(), "kind": None, "reason": f"settled by a person: {verdict}"}
    match verdict:
        case "job id":
            changed |= await _job(ledger, history, last, job_id or "", client)
        case "not charged":
            await _refuse_too_early(ledger, history)
            changed |= {"step": Step.REFUSED, "kind": RefusalReason.SETTLED}
        case "charged":
            if last.step is not Step.UNCLEAR:
                await _refuse_to_give_up(ledger, last, client)
            changed |= {"step": Step.LOST, "kind": FailureReason.SETTLED}
        case "retry":
            changed |= _way_out(last)
    try:
        history = await ledger.append(history, last.model_copy(update=changed))
    except LostRace as error:
        raise BadInput(f"{handle} is no longer current; nothing was changed; list it again.") from error
    try:
        await MonthlySpend(ledger.store).correct(history, ledger.load_whole)
        await ledger.unmark(history, *history.openings())
    except SeedanceError as error:  # the marker stays, and leads the collector to it
        log.warning(
            "The answer about %s is recorded, and its month still counts what it did before: %s "
            "`prefect-seedance collect` brings that in.",
            handle,
            error,
        )
    return history.records[-1]


async def _job(
    ledger: Ledger, history: History, last: Record, job_id: str, client: RunpodClient | None
) -> dict[str, Any]:
    if client is None:
        raise BadInput("A job id can only be checked with an API key; set RUNPOD_API_KEY.")
    await _refuse_taken(ledger, history, last, job_id)
    try:
        answer = await client.status(last.request.model, job_id)
    except JobGone as error:
        raise BadInput(
            f"The API does not know the job {job_id} of {last.request.model}; nothing was changed."
        ) from error
    except NeedsAttention as error:
        raise BadInput(
            f"The API does not say whose the job {job_id} of {last.request.model} is, since it refuses this key or no "
            "longer knows the endpoint; nothing was changed; set the key of that account."
        ) from error
    if answer is None or not answer.body:
        raise ApiUnreachable(f"The API gave no usable answer about {job_id}; nothing was changed; try again.")
    account = client.account
    return OF_THE_JOB_BEFORE | {
        "step": Step.ACCEPTED,
        "job_id": job_id,
        "accepted_at": _now(),
        "account": account.fingerprint,
        "base_url": account.base_url,
    }


async def _refuse_taken(ledger: Ledger, history: History, last: Record, job_id: str) -> None:
    """One job is one clip: the id of another attempt or of another key would store the wrong one."""
    others, _ = await ledger.load_readable({key for key, _ in await ledger.markers()} - {last.key})
    earlier = [record for record in history.records if record.claim_id != last.claim_id]
    for record in (*earlier, *(record for other in others for record in other.records)):
        if record.job_id == job_id:
            raise BadInput(
                f"The job {job_id} is that of {record.key}@{record.number} (attempt {record.attempt}); nothing was "
                "changed; look up the one of this submission."
            )


async def _refuse_to_give_up(ledger: Ledger, last: Record, client: RunpodClient | None) -> None:
    handle = f"{last.key}@{last.number}"
    if client is None:
        raise BadInput(f"Whose job {handle} is can only be told with an API key; nothing was changed; set one.")
    own = last.account == client.account.fingerprint and not await _is_withdrawn(last, client)
    left = (LINK_SECONDS if own else GRACE_SECONDS) - await ledger.store.age(record_path(last.key, last.number))
    if own and (last.step is Step.ACCEPTED or left > 0):
        hours = math.ceil(left / 3600)
        later = "" if last.step is Step.ACCEPTED else f"; in {hours} hours, when its link has ended, it can be given up"
        raise BadInput(
            f"{handle} is {last.step} and its account is the one in use; nothing was changed; `prefect-seedance "
            f"collect` brings it home, or finds it lost{later}."
        )
    if left > 0:
        raise BadInput(f"It is too early to give up {handle}; nothing was changed; look again in {left:.0f} seconds.")


async def _is_withdrawn(last: Record, client: RunpodClient) -> bool:
    """Is the endpoint of a job that is out no more, so that nobody can ask about it?

    What is completed needs no answer: its link is tried, and dead for hours it ends by itself.
    """
    if last.step is not Step.ACCEPTED:
        return False
    try:
        await client.status(last.request.model, last.job_id or "")
    except EndpointGone:
        return True
    except (JobGone, NeedsAttention):
        return False
    return False


def _way_out(last: Record) -> dict[str, Any]:
    """Where a lost key goes on: what was kept of an unreadable file belongs to the lost record alone."""
    fresh: dict[str, Any] = {"clip": None, "sha256": None, "bytes": None}
    if link_in(last.answer or {}, http=True):
        return fresh | {"step": Step.COMPLETED}
    if last.job_id:
        return fresh | {"step": Step.ACCEPTED, "answer": None}
    raise BadInput(
        f"Of {last.key}@{last.number} neither a link nor a job id is known, so there is nowhere to look; nothing was "
        "changed; with the job's id say --job-id ID, or raise `take` to pay for it once more."
    )


async def _refuse_too_early(ledger: Ledger, history: History) -> None:
    claim = next(r for r in reversed(history.records) if r.step is Step.CLAIMED)
    age = await ledger.store.age(record_path(claim.key, claim.number))
    if age < NOT_CHARGED_AFTER_SECONDS:
        minutes = math.ceil((NOT_CHARGED_AFTER_SECONDS - age) / 60)
        raise BadInput(
            f"It is too early to know that {claim.key} was not charged: a slow gateway may still deliver the request; "
            f"nothing was changed; look again in {minutes} minutes."
        )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
