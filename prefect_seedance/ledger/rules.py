"""The table of legal steps, and what to do next. Rules only: no file, no socket, no clock; time is an argument.

    nothing ──> claimed ──> accepted ──> completed ──> stored
      claimed ──> unclear ──> accepted, refused, lost
      claimed ──> refused        accepted ──> failed, lost        completed ──> lost
      lost ──> accepted, completed, stored, lost
      nothing, refused, failed ──> claimed, refused

`claimed` stands right before the one line that costs money. What nobody knows is `unclear` and is never submitted
again by the program; a person settles it. `failed` and `refused` cost nothing. `stored` is for ever.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from decimal import Decimal

from prefect_seedance.ledger.record import FailureReason, Record, RefusalReason, Step
from prefect_seedance.text import dollars

MAY_FOLLOW: dict[Step | None, frozenset[Step]] = {
    None: frozenset({Step.CLAIMED, Step.REFUSED}),
    Step.REFUSED: frozenset({Step.CLAIMED, Step.REFUSED}),
    Step.FAILED: frozenset({Step.CLAIMED, Step.REFUSED}),
    Step.CLAIMED: frozenset({Step.ACCEPTED, Step.REFUSED, Step.UNCLEAR}),
    Step.UNCLEAR: frozenset({Step.ACCEPTED, Step.REFUSED, Step.LOST}),
    Step.ACCEPTED: frozenset({Step.COMPLETED, Step.FAILED, Step.LOST}),
    Step.COMPLETED: frozenset({Step.STORED, Step.LOST}),
    Step.LOST: frozenset({Step.ACCEPTED, Step.COMPLETED, Step.STORED, Step.LOST}),
    Step.STORED: frozenset(),
}
"""The whole table. A stray may be appended anywhere: it changes no state."""

OPEN = frozenset({Step.CLAIMED, Step.UNCLEAR, Step.ACCEPTED, Step.COMPLETED})
"""Something is out: the key has a marker."""

GRACE_SECONDS = 150.0
"""A job may be invisible to /status for so long after it was accepted (a peer's observation of the live API)."""

LINK_SECONDS = 7 * 24 * 3600.0
"""How long the link of a clip lives, as Runpod documents it: after that a completed job has nothing to wait for."""


@dataclass(frozen=True)
class History:
    """The agreed history of one key. A stored key may be known by its last record alone."""

    key: str
    records: tuple[Record, ...] = ()

    @property
    def number(self) -> int:
        return self.records[-1].number if self.records else 0

    @property
    def last(self) -> Record | None:
        """The record that tells the state: the last that is not a stray."""
        return next((record for record in reversed(self.records) if record.step is not Step.STRAY), None)

    @property
    def state(self) -> Step | None:
        return self.last.step if self.last else None

    @property
    def strays(self) -> tuple[Record, ...]:
        return tuple(record for record in self.records if record.step is Step.STRAY)

    @property
    def by_claim(self) -> dict[str, Record]:
        """The last record of each claim: what became of it. Strays belong to none."""
        return {record.claim_id: record for record in self.records if record.step is not Step.STRAY}

    @property
    def spent_usd(self) -> Decimal:
        """What all attempts for this key cost, lost and stray ones included."""
        return sum((record.charged_usd for record in (*self.by_claim.values(), *self.strays)), Decimal(0))

    def allows(self, step: Step, claim_id: str | None) -> bool:
        """May *step* of the claim *claim_id* come next? Only the current claim goes on; what opens a key is new."""
        if step not in MAY_FOLLOW[self.state]:
            return False
        if step is Step.CLAIMED or (step is Step.REFUSED and self.state not in OPEN):
            return all(record.claim_id != claim_id for record in self.records)
        return self.last is not None and self.last.claim_id == claim_id

    def names_job(self, job_id: str) -> bool:
        return any(record.job_id == job_id for record in self.records)

    @property
    def answered(self) -> frozenset[int]:
        """The numbers of claims that a person has found not charged: their months may not know it yet."""
        free = {one.claim_id for one in self.by_claim.values() if one.step is Step.REFUSED and one.by == "person"}
        return frozenset(record.number for record in self.records if record.claim_id in free)

    def openings(self) -> list[int]:
        """The numbers that opened this key: each has had a marker."""
        before: Step | None = None
        numbers = []
        for record in self.records:
            if record.step is Step.STRAY:
                continue
            if record.step is Step.CLAIMED or (before is Step.LOST and record.step is not Step.LOST):
                numbers.append(record.number)
            before = record.step
        return numbers


@dataclass(frozen=True)
class Claim:
    """Nothing is out and nothing is there: claim the next number, then submit."""


@dataclass(frozen=True)
class Watch:
    """Somebody may be about to submit: look again in `seconds`."""

    seconds: float


@dataclass(frozen=True)
class CallUnclear:
    """A claim grew old without an outcome: it may have been paid."""


@dataclass(frozen=True)
class Poll:
    """A job is out: ask for its status."""


@dataclass(frozen=True)
class Fetch:
    """The job is done: bring its clip home."""


@dataclass(frozen=True)
class Done:
    """The clip is stored."""


@dataclass(frozen=True)
class Held:
    """The program does nothing more for this key by itself."""

    why: str


Action = Claim | Watch | CallUnclear | Poll | Fetch | Done | Held


@dataclass(frozen=True)
class ClaimObservation:
    """What an observer knows of a claim beyond its record."""

    watched_seconds: float = 0.0
    """How long the observer has known this claim, by its own monotonic clock."""
    writer_gone: bool = False
    """The claim's process was on this machine, and is no more."""


def seconds_until_overdue(record: Record, now: datetime.datetime, observation: ClaimObservation) -> float:
    """How long until a claim is overdue; 0 when it is: by its date, by the observer's clock, or its process is gone."""
    if observation.writer_gone:
        return 0.0
    aged = max((now - record.claimed_at).total_seconds(), observation.watched_seconds)
    return max(0.0, record.submit_timeout_seconds - aged)


def decide(
    history: History, now: datetime.datetime, observation: ClaimObservation = ClaimObservation(), *, retry: bool = False
) -> Action:
    """What comes next. *retry* allows a new attempt after `failed`, never for a refused prompt or picture."""
    last = history.last
    if last is None:
        return Claim()
    match last.step:
        case Step.REFUSED | Step.FAILED if last.has_unknown_reason:
            return Held(remedy(last))
        case Step.REFUSED:
            return Claim()
        case Step.FAILED:
            return Claim() if retry and last.kind != FailureReason.MODERATED_INPUT else Held(remedy(last))
        case Step.CLAIMED:
            remaining = seconds_until_overdue(last, now, observation)
            return Watch(remaining) if remaining > 0 else CallUnclear()
        case Step.ACCEPTED:
            return Poll()
        case Step.COMPLETED:
            return Fetch()
        case Step.STORED:
            return Done()
        case _:
            return Held(remedy(last))


NOT_TAKEN: dict[str, str] = {
    RefusalReason.BUSY: "it did not get through",
    RefusalReason.LATE: "it was not sent",
    RefusalReason.SETTLED: "a person has settled it",
}


def remedy(record: Record) -> str:
    """One sentence for people: what happened to this key, what it cost, what to do now."""
    handle, price = f"{record.key}@{record.number}", dollars(record.charged_usd)
    because = f" ({record.reason.removesuffix('; nothing was charged.')})" if record.reason else ""
    take = "`take` of the `narrator`" if record.request.is_speech else "`take`"
    match record.step:
        case Step.UNCLEAR:
            return (
                f"nobody knows whether this was submitted{because}; {price} may have been charged; look it up in "
                f"the Runpod console and settle it: `prefect-seedance settle {handle} --store …` with --job-id ID, "
                "--not-charged or --charged"
            )
        case Step.LOST if record.kind == FailureReason.SETTLED and record.job_id is None:
            return (
                f"it was charged ({price}), as a person has found, and its job is not known; raise {take} to pay again"
            )
        case Step.LOST if record.kind not in (None, FailureReason.UNREADABLE, FailureReason.SETTLED):
            charged = "was charged" if record.cost_usd else "was perhaps charged"
            return f"its job has ended without a clip{because}; {price} {charged}; raise {take} to pay for it again"
        case Step.LOST if record.job_id or record.answer:
            return (
                f"the result is lost{because}; {price} was perhaps charged; look for it once more, for nothing, with "
                f"`prefect-seedance settle {handle} --store … --retry`, or raise {take} to pay for it again"
            )
        case Step.LOST:
            return f"the result is lost{because}; {price} was perhaps charged; raise {take} to pay for it once more"
        case Step.REFUSED | Step.FAILED if record.has_unknown_reason:
            return (
                f"it ended for a reason that this version does not know, `{record.kind}`{because}; nothing was "
                f"charged; update prefect-seedance, or raise {take} to ask for it anew"
            )
        case Step.FAILED if record.kind == FailureReason.MODERATED_INPUT:
            return f"the prompt or picture was refused{because}; nothing was charged; change it"
        case Step.FAILED:
            return f"the job failed{because}; nothing was charged; try again with --retry-failed 1"
        case Step.REFUSED:
            why = NOT_TAKEN.get(str(record.kind), "the API did not take it")
            return f"{why}{because}; nothing was charged; rendering again tries once more"
        case Step.STORED:
            return "the clip is stored"
        case _:
            return f"a job is out{because}; `prefect-seedance collect` or the next render brings it home"
