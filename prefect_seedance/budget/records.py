"""What the money's records hold: totals of days and months, reservations, and what the claims of one were charged.

spending/<UTC month>/00001.json    one step of a month: sums only
spending/reservations/<id>.json    the keys and prices of one reservation, written before the step that opens it
"""

from __future__ import annotations

import datetime
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from prefect_seedance.budget.limits import Limits
from prefect_seedance.ledger.record import Step, Writer
from prefect_seedance.ledger.rules import History
from prefect_seedance.models import Frozen, Usd
from prefect_seedance.text import dollars

ZERO = Decimal(0)

MonthStep = Literal["reserved", "extended", "settled", "corrected"]


class Totals(Frozen):
    """Dollars of a day or a month."""

    spent_usd: Usd = ZERO
    reserved_usd: Usd = ZERO

    @property
    def taken_usd(self) -> Decimal:
        return self.spent_usd + self.reserved_usd

    def plus(self, spent: Decimal, reserved: Decimal) -> Totals:
        return Totals(spent_usd=self.spent_usd + spent, reserved_usd=self.reserved_usd + reserved)

    def line(self, limit: Decimal | None) -> str:
        """What is spent and reserved and, under a limit, left."""
        line = f"{dollars(self.spent_usd)} spent, {dollars(self.reserved_usd)} reserved"
        if limit is not None:
            line += f", {dollars(max(ZERO, limit - self.taken_usd))} left of {dollars(limit)}"
        return line


class Reservation(Frozen):
    """The keys that may be claimed under it, each with what it reserves. Where it stands its month says."""

    schema_: Literal["prefect-seedance/reservation/1"] = Field("prefect-seedance/reservation/1", alias="schema")
    id: str
    month: str
    day: str
    at: datetime.datetime
    writer: Writer
    keys: dict[str, Usd]

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    @property
    def reserved_usd(self) -> Decimal:
        return sum(self.keys.values(), ZERO)


class OpenReservation(Frozen):
    """Where a reservation stands: what its claims may still spend, what they have spent, and until when."""

    id: str
    month: str
    day: str
    writer: Writer
    until: datetime.datetime = Field(description="For people, by the writer's clock; observers use the store's.")
    since: int | None = Field(None, description="The number of the month's record from which its seconds count.")
    seconds: float = 0.0
    reserved_usd: Usd = ZERO
    spent_usd: Usd = ZERO
    keys: dict[str, Usd] | None = Field(None, description="Of one made before reservations had files of their own.")

    @model_validator(mode="before")
    @classmethod
    def _sums_of_the_first_format(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("keys") and "reserved_usd" not in given:
            return given | {"reserved_usd": sum((Decimal(str(usd)) for usd in given["keys"].values()), ZERO)}
        return given


class MonthRecord(Frozen):
    """One step of a month's money, with all totals after it."""

    schema_: Literal["prefect-seedance/spending/1", "prefect-seedance/spending/2"] = Field(
        "prefect-seedance/spending/2", alias="schema"
    )
    month: str
    number: int
    step: MonthStep
    nonce: str = Field(description="Random; by it a writer knows its own record again.")
    at: datetime.datetime
    reservation: str
    reserved_usd: Usd = Field(ZERO, description="What that reservation still holds after this step.")
    spent_usd: Usd = Field(ZERO, description="What all claims under that reservation have cost after this step.")
    total: Totals
    days: dict[str, Totals]
    open: dict[str, OpenReservation]
    charged: dict[str, Usd] | None = Field(None, description="Only in records of the first format.")

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


@dataclass(frozen=True)
class Usage:
    """Where a day and its month stand."""

    day: Totals
    month: Totals

    def lines(self, limits: Limits) -> list[str]:
        """A line for the day and one for the month."""
        return [
            f"Today, all runs (UTC): {self.day.line(limits.per_day)}.",
            f"This month, all runs (UTC): {self.month.line(limits.per_month)}.",
        ]


def charges_of(reservation: Reservation, histories: Iterable[History]) -> tuple[Decimal, Decimal, bool]:
    """(what the claims under *reservation* have cost, what keys that are still out keep reserved, whether any is).

    Unclear, lost and stray jobs count in full; what is out under a run without limits keeps what its claims may cost.
    The histories have to be whole.
    """
    spent, reserved, any_out = ZERO, ZERO, False
    for history in histories:
        under = [record for record in history.records if record.reservation == reservation.id]
        final = {record.claim_id: record for record in under if record.step is not Step.STRAY}
        out = [r for r in final.values() if r.step in (Step.CLAIMED, Step.ACCEPTED, Step.COMPLETED)]
        ended = [r for r in final.values() if r not in out]
        strays = [record for record in under if record.step is Step.STRAY]
        spent += sum((record.charged_usd for record in (*ended, *strays)), ZERO)
        if out:
            claimed = sum((record.charged_usd for record in out), ZERO)
            reserved, any_out = reserved + max(reservation.keys[history.key], claimed), True
    return spent, reserved, any_out


def next_record(
    last: MonthRecord | None,
    step: MonthStep,
    after: OpenReservation,
    now: datetime.datetime,
    *,
    before: OpenReservation,
    stays_open: bool = True,
) -> MonthRecord:
    """The record that takes one reservation from *before* to *after*, and all totals with it."""
    spent, reserved = after.spent_usd - before.spent_usd, after.reserved_usd - before.reserved_usd
    days = dict(last.days) if last else {}
    days[after.day] = days.get(after.day, Totals()).plus(spent, reserved)
    others = {name: value for name, value in (last.open if last else {}).items() if name != after.id}
    return MonthRecord(
        month=after.month,
        number=last.number + 1 if last else 1,
        step=step,
        nonce=secrets.token_hex(8),
        at=now,
        reservation=after.id,
        reserved_usd=after.reserved_usd,
        spent_usd=after.spent_usd,
        total=(last.total if last else Totals()).plus(spent, reserved),
        days=days,
        open=others | ({after.id: after} if stays_open else {}),
    )


def record_path(month: str, number: int) -> str:
    return f"spending/{month}/{number:05d}.json"


def keys_path(reservation: str) -> str:
    return f"spending/reservations/{reservation}.json"


def bytes_of(record: Frozen) -> bytes:
    return json.dumps(record.model_dump(mode="json"), indent=1).encode()


def month_of(now: datetime.datetime) -> str:
    return now.astimezone(datetime.UTC).strftime("%Y-%m")


def day_of(now: datetime.datetime) -> str:
    return now.astimezone(datetime.UTC).strftime("%Y-%m-%d")
