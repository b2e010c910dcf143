"""Every way this package can fail, one class per decision that a caller can make.

SeedanceError
├── BadInput              correct the input; nothing was submitted
│   └── NoEndpoint        the API does not know the endpoint: choose another model
├── NotDone               a flow has failed and made something all the same: look at its `result`
├── BadStore              this store can't be trusted with money, or is not reachable with these rights
├── StoreUnavailable      the store did not answer as it should; try again
│   └── LedgerUnreadable  a record can't be read: never submit on a guess
├── Taken                 another writer created that path first
├── Missing               there is nothing at that path
├── LostRace              somebody else took the next step of this key: read again, decide again
├── NotSubmitted          the API surely did not accept the job: nothing was charged
│   ├── TryAgainLater     connection failed, or 429: the same claim may be made again after a pause
│   ├── Refused           a documented 4xx: the same request will be refused again
│   └── TooLate           the claim had grown old before a byte was sent
├── SubmissionUnclear     the job may have been accepted and charged: never submit again, settle it
├── ApiUnreachable        no connection to the API
├── NeedsAttention        the API no longer takes this key or no longer knows this endpoint; job ids are kept
│   └── EndpointGone      nobody can ask about the jobs of this endpoint any more
├── JobGone               the API says "job not found"
├── StillRunning          the deadline passed before the job ended; the job goes on
├── LinkDead              the media host no longer has the clip at this link
├── DownloadFailed        the clip could not be fetched this time; its link may still live
├── ClipDamaged           the file is not a video that decodes from start to end
└── OverBudget            spending more is not allowed; nothing was submitted for it
    └── NotApproved       a person has to approve this plan first
"""

from __future__ import annotations


class SeedanceError(Exception):
    """Anything that went wrong here. Its text is one sentence: what happened, what it cost, what to do now."""


class BadInput(SeedanceError):
    """The input can't be used as it is; nothing was submitted. `problems` holds all messages, not only the first."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class NoEndpoint(BadInput):
    """The API does not know an endpoint, as it was asked before anything was submitted."""


class NotDone(SeedanceError):
    """A flow stored nothing, or less than it was to. `result` is what it would have returned."""

    def __init__(self, message: str, result: object = None) -> None:
        super().__init__(message)
        self.result = result


class BadStore(SeedanceError):
    """The store can't be trusted with money: it is of the other kind, not writable, or lets two writers win."""


class StoreUnavailable(SeedanceError):
    """The store did not answer as it should. What was asked may or may not have happened."""


class LedgerUnreadable(StoreUnavailable):
    """A record can't be read, so nobody knows what was paid: nothing is submitted."""


class Taken(SeedanceError):
    """Another writer created that path first."""


class Missing(SeedanceError):
    """There is nothing at that path."""


class LostRace(SeedanceError):
    """Somebody else took the next step of this key."""


class NotSubmitted(SeedanceError):
    """The API surely did not accept the job, so it cost nothing."""


class TryAgainLater(NotSubmitted):
    """Nothing was accepted because the API was not reachable or too busy. `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Refused(NotSubmitted):
    """The API refused the request with a documented 4xx; the same request would be refused again."""

    def __init__(self, message: str, status_code: int) -> None:
        super().__init__(message)
        self.status_code = status_code


class TooLate(NotSubmitted):
    """The claim had grown old before a byte was sent, so nothing was sent."""


class SubmissionUnclear(SeedanceError):
    """Nobody knows whether the job was accepted. It is never submitted again by the program; a person settles it."""


class ApiUnreachable(SeedanceError):
    """No connection to the API."""


class NeedsAttention(SeedanceError):
    """The API no longer takes this key, or no longer knows this endpoint. Job ids are kept; nothing is lost yet."""


class EndpointGone(NeedsAttention):
    """The API no longer knows this endpoint, so that nobody can ask about its jobs."""


class JobGone(SeedanceError):
    """The API says that it has no such job: not visible yet, or its record was purged."""


class StillRunning(SeedanceError):
    """The deadline ended the waiting, not the job. `collect` brings the clip home later."""


class LinkDead(SeedanceError):
    """The media host no longer has the clip at this link."""


class DownloadFailed(SeedanceError):
    """The clip could not be fetched this time. Its link may still live."""


class ClipDamaged(SeedanceError):
    """The file is not a video that decodes from start to end."""


class OverBudget(SeedanceError):
    """Spending more is not allowed, so nothing was submitted for it."""


class NotApproved(OverBudget):
    """A person has to approve this plan before it may spend."""


def summary(error: Exception) -> str:
    """What went wrong in a sentence; what we did not foresee goes by its name."""
    return str(error) if isinstance(error, SeedanceError) else f"{type(error).__name__}: {error}."
