"""A person's answer about a submission that nobody knows the fate of. It names the very record it is about."""

from __future__ import annotations

import contextlib
import datetime
import math
from typing import Any, Literal

from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.errors import BadInput, JobGone, LostRace, SeedanceError
from prefect_seedance.ledger.ledger import Ledger, record_path
from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.ledger.rules import History, seconds_until_overdue
from prefect_seedance.runpod.client import RunpodClient

NOT_CHARGED_AFTER_SECONDS = 3600.0
"""Before that a slow gateway or a sleeping writer may still make "not charged" false."""

Verdict = Literal["job id", "not charged", "charged"]


async def unclear(ledger: Ledger) -> list[Record]:
    """Every submission that waits for a person's answer, oldest first."""
    keys = sorted({key for key, _ in await ledger.markers()})
    histories = [await _with_overdue_claims_unclear(ledger, key) for key in keys]
    records = [h.last for h in histories if h.last is not None and h.state is Step.UNCLEAR]
    return sorted(records, key=lambda record: record.claimed_at)


def as_json(record: Record) -> dict[str, Any]:
    return {
        "key": record.key,
        "record": record.number,
        "attempt": record.attempt,
        "since": record.claimed_at.isoformat(),
        "prompt": record.request.prompt,
        "at_risk_usd": float(record.charged_usd),
    }


async def _with_overdue_claims_unclear(ledger: Ledger, key: str) -> History:
    history = await ledger.load(key)
    last = history.last
    if last is None or last.step is not Step.CLAIMED:
        return history
    if seconds_until_overdue(last, _now(), ledger.sighting(last)) > 0:
        return history
    reason = "its writer ended between the claim and the answer"
    return await ledger.keep(last.model_copy(update={"step": Step.UNCLEAR, "at": _now(), "reason": reason}))


async def settle(
    ledger: Ledger, handle: str, verdict: Verdict, *, job_id: str | None = None, client: RunpodClient | None = None
) -> Record:
    """Record a person's answer for KEY@N, or raise `BadInput` and change nothing.

    A job id is checked by a status call. "Not charged" is taken only one hour after the claim by the store's clock.
    "Charged" makes it lost: raising `take` is then the only way on.
    """
    key, _, number = handle.rpartition("@")
    if not key or not number.isdigit():
        raise BadInput(f"{handle!r} is not KEY@NUMBER; `prefect-seedance settle` lists what can be settled.")
    history = await _with_overdue_claims_unclear(ledger, key)
    last = history.last
    if last is None:
        raise BadInput(f"There is no history of {key} in this store; `prefect-seedance settle` lists what is unclear.")
    if last.step is not Step.UNCLEAR or last.number != int(number):
        raise BadInput(f"{handle} is not what is current: {key}@{last.number} is {last.step}; nothing was changed.")
    changed: dict[str, Any] = {"by": "person", "at": _now(), "reason": f"settled by a person: {verdict}"}
    match verdict:
        case "job id":
            changed |= await _job(last, job_id or "", client)
        case "not charged":
            await _refuse_too_early(ledger, history)
            changed |= {"step": Step.REFUSED, "kind": "settled"}
        case "charged":
            changed |= {"step": Step.LOST, "kind": "settled"}
    try:
        history = await ledger.append(history, last.model_copy(update=changed))
    except LostRace as error:
        history = await ledger.load(key)  # ours perhaps: the S3 SDK repeats a PUT whose answer was lost
        if history.last is not None and (history.last.at, history.last.by) == (changed["at"], "person"):
            await ledger.unmark(history)
            return history.last
        raise BadInput(f"{handle} is no longer current; nothing was changed; list it again.") from error
    with contextlib.suppress(SeedanceError):  # then the marker stays, and leads the collector to it
        await MonthlySpend(ledger.store).correct(history, ledger.load_whole)
        await ledger.unmark(history)
    return history.records[-1]


async def _job(last: Record, job_id: str, client: RunpodClient | None) -> dict[str, Any]:
    if client is None:
        raise BadInput("A job id can only be checked with an API key; set RUNPOD_API_KEY.")
    try:
        answer = await client.status(last.request.model, job_id)
    except JobGone as error:
        raise BadInput(
            f"The API does not know the job {job_id} of {last.request.model}; nothing was changed."
        ) from error
    if answer is None or not answer.body:
        raise BadInput(f"The API gave no usable answer about {job_id}; nothing was changed; try again.")
    account = client.account
    return {
        "step": Step.ACCEPTED,
        "job_id": job_id,
        "accepted_at": _now(),
        "account": account.fingerprint,
        "base_url": account.base_url,
    }


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
