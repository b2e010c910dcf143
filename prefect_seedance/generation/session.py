"""From a request to a stored clip: carries out what `ledger.rules` decides. The whole story in one place, no Prefect.

A `RenderSession` is safe to repeat at any point, in any process, on any machine: each part reads the ledger, does the
next legal step and writes it down. The claim, the POST and its outcome run in a thread of their own, so that once begun
neither a cancellation nor SIGTERM nor a first Ctrl-C can come between the money and its record.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from prefect_seedance.budget.run_budget import RunBudget
from prefect_seedance.catalog.endpoints import KNOWN, Catalog, input_of
from prefect_seedance.catalog.pricing import cost_of, estimate, may_have_cost, upper
from prefect_seedance.errors import (
    JobGone,
    LostRace,
    NeedsAttention,
    OverBudget,
    Refused,
    StillRunning,
    StoreUnavailable,
    SubmissionUnclear,
    TooLate,
    TryAgainLater,
)
from prefect_seedance.generation.persist import Keeping, refuse_foreign
from prefect_seedance.generation.poll import Turns, Waiting, Watch
from prefect_seedance.keys import key_of
from prefect_seedance.ledger import durable, rules
from prefect_seedance.ledger.durable import to_the_end
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.notes import Notes
from prefect_seedance.ledger.record import FailureReason, Record, Step, next_step
from prefect_seedance.ledger.rules import History
from prefect_seedance.ledger.writer import new_claim_id, this_writer
from prefect_seedance.models import Request
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.runpod.responses import Answer, failure_of

SEND_WITHIN = 30.0
"""Seconds from the claim to the POST; later than that the claim is given up unsent."""
RETRIES_WHEN_BUSY = 5
"""New claims in one run after a 429 or a failed connection: those surely cost nothing."""
LINK_SECONDS = 24 * 3600
"""How long the provider can fetch a picture: longer than a job may queue."""


class RenderSession:
    """One run over a ledger: what it shares between its shots. Open the client around it.

    A plain class on purpose: Prefect walks through dataclasses that it is given as task parameters.
    """

    def __init__(
        self,
        client: RunpodClient,
        ledger: Ledger,
        *,
        catalog: Catalog = KNOWN,
        budget: RunBudget | None = None,
        waiting: Waiting | None = None,
        max_in_flight: int = 10,
        retry_failed: int = 0,
        flow_run_id: str | None = None,
        on_step: Callable[[Record], None] = lambda _: None,
    ) -> None:
        self.client = client
        self.ledger = ledger
        self.catalog = catalog
        self.budget = budget or RunBudget()
        self.waiting = waiting or Waiting.at(client.account.kind)
        self.turns = Turns(self.waiting)
        self.notes = Notes(ledger.store, run=secrets.token_hex(8))
        self.max_in_flight = max_in_flight
        self.retry_failed = retry_failed
        self.flow_run_id = flow_run_id
        self.on_step = on_step
        self.claims: set[str] = set()
        self._left: dict[str, History] = {}
        self._slots = asyncio.Semaphore(max_in_flight)

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """One of the run's places in flight, from before the claim until the job has ended."""
        async with self._slots:
            yield

    async def history_of(self, record: Record) -> History:
        """The history that *record* ends, as this run has left it a moment ago or as the ledger has it now."""
        left = self._left.pop(record.key, None)
        return left if left is not None and left.last == record else await self.ledger.load(record.key)

    async def generate(self, request: Request, image: str | None = None, last_image: str | None = None) -> History:
        """The stored clip of *request*, or the record that says why there is none. Pays at most once, ever.

        *image* and *last_image* are paths in the store or https links. Raises `OverBudget`, `StillRunning`,
        `NeedsAttention`, `DownloadFailed` or `StoreUnavailable`; calling it again goes on where it stopped.
        """
        retries = self.retry_failed
        while True:
            async with self.slot():
                history = await self.submit(request, image, last_image, retry=retries < self.retry_failed)
                history = await self.wait(history)
            if history.state is not Step.FAILED or retries == 0:
                return await self.persist(history)
            retries -= 1

    async def submit(
        self, request: Request, image: str | None = None, last_image: str | None = None, *, retry: bool = False
    ) -> History:
        """Make sure that a job for *request* was submitted, by whomever. Repeating it never submits twice."""
        refusals = 0
        while True:
            history = await self.ledger.load(key_of(request))
            last = history.last
            sighting = self.ledger.sighting(last) if last else rules.Sighting()
            match rules.decide(history, _now(), sighting, retry=retry):
                case rules.Claim():
                    try:
                        history = await self._claim_and_post(history, request, image, last_image)
                    except LostRace:
                        continue
                    pause = _pause_before_claiming_again(history.last, refusals)
                    if pause is None:
                        return history
                    refusals += 1
                    await asyncio.sleep(pause)
                case rules.Watch(seconds):
                    await asyncio.sleep(min(seconds, 2.0))
                case rules.CallUnclear():
                    await self.call_unclear(history)
                case _:
                    return history

    async def call_unclear(self, history: History, *, needed: bool = True) -> History:
        """Say of an overdue claim what is true of it: nobody knows whether it was paid. Early is harmless."""
        return self._seen(await self.ledger.call_unclear(history, needed=needed))

    async def _claim_and_post(
        self, history: History, request: Request, image: str | None, last_image: str | None
    ) -> History:
        model = self.catalog[request.model]
        fields = input_of(request, model, await self._link(image), await self._link(last_image))
        reservation = await self.budget.reservation_for(history.key)
        claim = self._new_claim(history, request).model_copy(update={"reservation": reservation})
        self.budget.lease(claim)
        self.claims.add(claim.claim_id)
        try:
            history = await to_the_end(lambda: self._pay(history, claim, fields), paid=False)
        except (LostRace, OverBudget, StoreUnavailable):
            self.budget.cancel(claim)
            raise
        return self._seen(history)

    def _new_claim(self, history: History, request: Request) -> Record:
        now, last = _now(), history.last
        return Record(
            key=history.key,
            number=history.number + 1,
            step=Step.CLAIMED,
            at=now,
            request=request,
            estimated_usd=estimate(request, self.catalog[request.model]),
            upper_usd=upper(request, self.catalog[request.model]),
            attempt=last.attempt + 1 if last else 1,
            claim_id=new_claim_id(),
            claimed_at=now,
            submit_timeout_seconds=SEND_WITHIN + 2 * self.client.answer_seconds,
            writer=this_writer(self.flow_run_id),
            base_url=self.client.account.base_url,
            account=self.client.account.fingerprint,
        )

    async def _pay(self, history: History, claim: Record, fields: dict[str, Any]) -> History:
        """Write it down, pay, write it down. Runs in a sender thread, on a loop of its own."""
        wall, monotonic = time.time(), time.monotonic()
        claim = claim.model_copy(update={"at": _now(), "claimed_at": _now()})  # it may have queued for this thread

        def late() -> bool:
            # Two clocks: the monotonic one stands still while a machine sleeps, the other can be set back.
            aged = max(time.time() - wall, time.monotonic() - monotonic)
            return aged >= SEND_WITHIN or self.budget.has_ended(claim)

        self.budget.admit(claim)
        history = await self.ledger.claim(history, claim)
        try:
            answer = await self.client.submit(claim.request.model, fields, late=late)
        except TooLate as error:
            return await self.ledger.keep(next_step(claim, Step.REFUSED, kind="late", reason=str(error)), history)
        except TryAgainLater as error:
            pause = {"retry_after": error.retry_after} if error.retry_after is not None else None
            return await self.ledger.keep(
                next_step(claim, Step.REFUSED, kind="busy", reason=str(error), answer=pause), history
            )
        except Refused as error:
            kind = "account" if error.status_code in (401, 402, 403) else "request"
            return await self.ledger.keep(next_step(claim, Step.REFUSED, kind=kind, reason=str(error)), history)
        except SubmissionUnclear as error:
            return await self.ledger.keep(next_step(claim, Step.UNCLEAR, reason=str(error)), history)
        accepted = next_step(claim, Step.ACCEPTED, job_id=answer.job_id, accepted_at=_now())
        return await self._keep_accepted(accepted, answer, history)

    async def _keep_accepted(self, accepted: Record, answer: Answer, known: History) -> History:
        """Append *accepted*; while the store is down go on polling, since the API forgets a job 30 minutes after.

        A store that fails or hangs hides neither the job id nor how the job has ended: both are told outside of it.
        """
        appending = asyncio.create_task(self.ledger.keep(accepted, known))
        await asyncio.wait({appending}, timeout=3)
        if not appending.done() and answer.ended is None:
            async with RunpodClient(self.client.account) as client:
                while not appending.done() and answer.ended is None:
                    with contextlib.suppress(JobGone, NeedsAttention):
                        answer = await client.status(accepted.request.model, answer.job_id) or answer
                    await asyncio.wait({appending}, timeout=self.waiting.longest)
        if answer.ended is None:
            return await appending
        ended = _ended(accepted, answer)
        if not appending.done() or appending.exception() is not None:
            why = StoreUnavailable("the job has ended before its acceptance could be recorded.")
            self.ledger.rescue(ended, why)
        await appending
        return await self.ledger.keep(ended)

    async def wait(self, history: History, *, deadline: float | None = None) -> History:
        """Wait until the job of *history* has ended, or go on waiting where an earlier run stopped. Costs nothing.

        A *deadline* of 0 seconds is one look. Raises `StillRunning` when it has passed, and `NeedsAttention` if the API
        no longer takes the key: both keep the job.
        """
        if history.state is not Step.ACCEPTED or history.last is None:
            return history
        record = history.last
        patience = self.waiting.deadline if deadline is None else deadline
        until, watch = time.monotonic() + patience, Watch(record, self.notes, self.waiting)
        usual = self.catalog[record.request.model].usual_seconds if record.request.model in self.catalog else 90
        async for _ in self.turns.looks(record, usual, at_once=deadline == 0, until=until):
            try:
                answer = await self.client.status(record.request.model, record.job_id or "")
            except JobGone:
                known = await self.ledger.load(record.key)
                if known.last is None or known.last.claim_id != record.claim_id or known.state is not Step.ACCEPTED:
                    return known
                refuse_foreign(record, self.client)
                if await watch.gone_for_good():
                    return await self._keep(record, Step.LOST, reason="the API no longer knows the job (404)")
                answer = None
            if answer and answer.ended:
                if answer.ended == "completed" and watch.was_near:
                    self.turns.ended(record)
                return self._seen(await durable.keep(self.ledger, _ended(record, answer), history))
            if answer and answer.body:
                await watch.known()
            left = until - time.monotonic()
            if left <= 0:
                break
            if answer and answer.retry_after:
                await asyncio.sleep(min(answer.retry_after, 60.0, left))
        raise StillRunning(
            f"the job {record.job_id} {watch.told} after {patience:.0f} s of waiting; it is kept, and "
            "`prefect-seedance collect` or the next render brings it home"
        )

    async def persist(self, history: History) -> History:
        """Bring the clip of a completed job into the store: whole, decoded, hashed, under its own name. Costs nothing.

        Raises `DownloadFailed` when it could not be had this time; the next call goes on.
        """
        if history.state is not Step.COMPLETED or history.last is None:
            return history
        return self._seen(await Keeping(self.client, self.ledger, self.notes).bring_home(history, history.last))

    async def _keep(self, record: Record, step: Step, **changed: Any) -> History:
        return self._seen(await durable.keep(self.ledger, next_step(record, step, **changed)))

    def _seen(self, history: History) -> History:
        if history.last is not None:
            if history.state in rules.OPEN:
                self._left[history.key] = history
            self.budget.correct(history.last)
            if history.last.kind == "account" and history.state is Step.REFUSED:
                self.budget.stop(f"not submitted, since the API had just said: {history.last.reason}")
            self.on_step(history.last)
        return history

    async def _link(self, place: str | None) -> str | None:
        if place is None or "://" in place:
            return place
        return await self.ledger.store.link(place, LINK_SECONDS)


def _ended(record: Record, answer: Answer) -> Record:
    """The record of a job's end. What may have been charged is never free to be claimed again."""
    facts: dict[str, Any] = {"answer": answer.body, "cost_usd": cost_of(answer.body)}
    if answer.ended == "completed":
        return next_step(record, Step.COMPLETED, **facts)
    if answer.ended == "cancelled":
        return next_step(record, Step.LOST, kind=FailureReason.CANCELLED, reason="the job was cancelled", **facts)
    kind, message = failure_of(answer.body)
    step = Step.LOST if may_have_cost(answer.body) else Step.FAILED
    return next_step(record, step, kind=FailureReason(kind), reason=message, **facts)


def _pause_before_claiming_again(last: Record | None, refusals: int) -> float | None:
    """Seconds to wait before a new claim after a refusal that passes by itself; None when it does not, or too often."""
    if last is None or last.step is not Step.REFUSED or last.kind not in ("busy", "late"):
        return None
    if refusals + 1 >= RETRIES_WHEN_BUSY:
        return None
    asked = (last.answer or {}).get("retry_after")
    return min(float(asked), 120.0) if asked is not None else 2.0**refusals * random.uniform(0.5, 1.0)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
