"""One step of one key, complete in itself."""

from __future__ import annotations

import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
)

from prefect_seedance.models import Footage, Frozen, Heard, Request, Usd


class Step(StrEnum):
    """What a record says happened to a key."""

    CLAIMED = "claimed"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNCLEAR = "unclear"
    COMPLETED = "completed"
    FAILED = "failed"
    LOST = "lost"
    STORED = "stored"
    STRAY = "stray"


class RefusalReason(StrEnum):
    """Why an attempt was surely not accepted: nothing was charged, and the key may be claimed anew."""

    BUSY = "busy"
    LATE = "late"
    ACCOUNT = "account"
    REQUEST = "request"
    SETTLED = "settled"


class FailureReason(StrEnum):
    """Why a job gave no clip. Only some of them may be tried again."""

    MODERATED_INPUT = "moderated input"
    MODERATED_OUTPUT = "moderated output"
    BAD_PARAMETER = "bad parameter"
    TIMEOUT = "timeout"
    OTHER = "other"
    CANCELLED = "cancelled"
    UNREADABLE = "unreadable"
    SETTLED = "settled"


class Writer(Frozen):
    """Who made a claim, for people; and whether that process can still be alive, for observers on its machine."""

    host: str
    pid: int
    boot: str | None = Field(None, description="Boot of the machine and process namespace; null where unknown.")
    started: str | None = Field(None, description="Start of the process, which tells it from a later one of its pid.")
    flow_run_id: str | None = None
    task_run_id: str | None = None


class Record(Frozen):
    """One step of one key, complete in itself: the last record of a key tells its whole state. Free of secrets."""

    schema_: Literal["prefect-seedance/record/1"] = Field("prefect-seedance/record/1", alias="schema")
    key: str
    number: int
    step: Step
    at: datetime.datetime
    request: Request
    estimated_usd: Usd
    upper_usd: Usd | None = Field(None, description="The most it may cost; counts until its true cost is known.")
    attempt: int
    claim_id: str = Field(description="Random; made in memory for this one claim and repeated by all that follows it.")
    claimed_at: datetime.datetime
    submit_timeout_seconds: float
    writer: Writer
    reservation: str | None = Field(None, description="The reservation in spending/ that this claim draws on.")
    base_url: str | None = None
    account: str | None = Field(None, description="Fingerprint of API key and address that the job belongs to.")
    job_id: str | None = None
    accepted_at: datetime.datetime | None = None
    answer: dict[str, Any] | None = Field(
        None,
        description="The final answer as it came, without the echoed input; of one above 64 kB only its id, status, "
        "error and cost, and its output or the links in it.",
    )
    cost_usd: Usd | None = None
    kind: RefusalReason | FailureReason | str | None = Field(
        None, description="Of a refusal or a failure. A word that this version does not know forbids a new payment."
    )
    reason: str | None = Field(None, description="Of a refusal, a failure or a loss, for people.")
    by: Literal["program", "person"] = "program"
    clip: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    footage: Footage | None = None
    heard: Heard | None = Field(None, description="Of a spoken text; absent in all other records.")
    duration_mismatch: bool = False

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    @field_validator("kind", mode="before")
    @classmethod
    def _known_reason(cls, word: Any, facts: ValidationInfo) -> Any:
        reasons = (RefusalReason, FailureReason)
        for reason in reasons if facts.data.get("step") is Step.REFUSED else reversed(reasons):
            if word in tuple(reason):
                return reason(word)
        return word

    @model_serializer(mode="wrap")
    def _as_before_without_sound(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = plain(self)
        if self.heard is None:
            fields.pop("heard", None)
        return fields

    @property
    def has_unknown_reason(self) -> bool:
        """Was it written by a version that knows more reasons, so that nobody here knows what they allow?"""
        return self.kind is not None and self.kind not in (*RefusalReason, *FailureReason)

    @property
    def charged_usd(self) -> Decimal:
        """What this attempt cost; what may have been charged counts at the upper price, where it is known."""
        if self.step in (Step.REFUSED, Step.FAILED):
            return Decimal(0)
        if self.cost_usd is not None:
            return self.cost_usd
        return self.estimated_usd if self.upper_usd is None else self.upper_usd


def next_step(record: Record, step: Step, **changed: Any) -> Record:
    """What follows *record*: dated now, with a reason only if it is given one."""
    now = datetime.datetime.now(datetime.UTC)
    return record.model_copy(update={"step": step, "at": now, "kind": None, "reason": None, **changed})
