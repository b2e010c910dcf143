"""What the money's records hold: totals of days and months, reservations, and what the claims of one were charged.

spending/<UTC month>/00001.json        one step of a month: sums only
spending/reservations/<id>.json        the keys and prices of one reservation, written before the step that opens it
spending/totals/<UTC month>/<n>.json   what all steps up to one say of the claims, written before the step that names it
spending/newest/<UTC month>            about where the newest step is: where to begin looking for it
"""

from __future__ import annotations

import datetime
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from prefect_seedance.budget.counting import ZERO, Counted
from prefect_seedance.budget.limits import Limits
from prefect_seedance.ledger.record import Writer
from prefect_seedance.models import Frozen, Usd
from prefect_seedance.text import dollars

MonthStep = Literal["reserved", "extended", "settled", "corrected", "recounted"]


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

    def as_bytes(self) -> bytes:
        return json.dumps(self.model_dump(mode="json"), indent=1).encode()


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
    number: int | None = Field(None, description="The month's newest record about it.")
    counted: str | None = Field(None, description="Digest of what its claims were counted as when it was last settled.")
    keys: dict[str, Usd] | None = Field(None, description="Of one made before reservations had files of their own.")

    @model_validator(mode="before")
    @classmethod
    def _sums_of_the_first_format(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("keys") and "reserved_usd" not in given:
            return given | {"reserved_usd": sum((Decimal(str(usd)) for usd in given["keys"].values()), ZERO)}
        return given


class Entered(Frozen):
    """Where one reservation stands after a step: what it holds, what its claims have cost, what became of them."""

    reserved_usd: Usd = ZERO
    spent_usd: Usd = ZERO
    days: Counted | None = Field(None, description="All claims under it, of a step that settles or corrects.")


class Closed(Frozen):
    """Where all steps of a month up to *number* are added up: `spending/totals/<month>/<file>.json`."""

    number: int
    file: str


class MonthRecord(Frozen):
    """One step of a month's money, with all totals after it."""

    schema_: Literal["prefect-seedance/spending/1", "prefect-seedance/spending/2", "prefect-seedance/spending/3"] = (
        Field("prefect-seedance/spending/3", alias="schema")
    )
    month: str
    number: int
    step: MonthStep
    nonce: str = Field(description="Random; by it a writer knows its own record again.")
    at: datetime.datetime
    entered: dict[str, Entered] = Field({}, description="The reservations that the step is about.")
    closed: Closed | None = None
    total: Totals
    days: dict[str, Totals]
    open: dict[str, OpenReservation]
    reservation: str | None = Field(None, description="This and the next two only in records of the second format.")
    reserved_usd: Usd | None = None
    spent_usd: Usd | None = None
    charged: dict[str, Usd] | None = Field(None, description="Only in records of the first format.")

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    @property
    def is_old(self) -> bool:
        """Written before steps told what became of the claims."""
        return self.schema_ != "prefect-seedance/spending/3"

    @property
    def about(self) -> set[str]:
        """The reservations that this step is about."""
        return {*self.entered, *([self.reservation] if self.reservation else ())}


@dataclass(frozen=True)
class Change:
    """What a step does to one reservation."""

    before: OpenReservation
    after: OpenReservation
    days: Counted | None = None
    stays_open: bool = True


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


def next_record(
    last: MonthRecord | None,
    step: MonthStep,
    changes: Sequence[Change],
    month: str,
    now: datetime.datetime,
    closed: Closed | None = None,
) -> MonthRecord:
    """The record that makes *changes*, and all totals with them."""
    number = last.number + 1 if last else 1
    total, days, still_open = (last.total, dict(last.days), dict(last.open)) if last else (Totals(), {}, {})
    entered: dict[str, Entered] = {}
    for change in changes:
        before, after = change.before, change.after
        more = (after.spent_usd - before.spent_usd, after.reserved_usd - before.reserved_usd)
        total, days[after.day] = total.plus(*more), days.get(after.day, Totals()).plus(*more)
        entered[after.id] = Entered(reserved_usd=after.reserved_usd, spent_usd=after.spent_usd, days=change.days)
        still_open.pop(after.id, None)
        if change.stays_open:
            still_open[after.id] = after.model_copy(update={"number": number})
    return MonthRecord(
        month=month,
        number=number,
        step=step,
        nonce=secrets.token_hex(8),
        at=now,
        entered=entered,
        closed=closed or (last.closed if last else None),
        total=total,
        days=days,
        open=still_open,
    )


def record_path(month: str, number: int) -> str:
    return f"spending/{month}/{number:05d}.json"


def keys_path(reservation: str) -> str:
    return f"spending/reservations/{reservation}.json"


def totals_path(month: str, file: str) -> str:
    return f"spending/totals/{month}/{file}.json"


def newest_path(month: str) -> str:
    return f"spending/newest/{month}"


def bytes_of(record: Frozen) -> bytes:
    """*record* as JSON, a line for each field: a month's open reservations are many."""
    fields = record.model_dump(mode="json", exclude_none=True).items()
    lines = (f"{json.dumps(name)}: {json.dumps(value, separators=(',', ':'))}" for name, value in fields)
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def month_of(now: datetime.datetime) -> str:
    return now.astimezone(datetime.UTC).strftime("%Y-%m")


def day_of(now: datetime.datetime) -> str:
    return now.astimezone(datetime.UTC).strftime("%Y-%m-%d")
