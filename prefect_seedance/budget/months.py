"""The history of each month's money, kept like the history of a key: `spending/<UTC month>/00001.json`, …

One record per step, created exclusively, each with the running totals of the month and of its days, so that a budget
check reads one record. A run reserves what its claims may cost and settles with what they did cost; without limits it
reserves nothing and only settles. A reservation counts for the UTC day on which it was made.
"""

from __future__ import annotations

import datetime
import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from pydantic import ConfigDict, Field, ValidationError

from prefect_seedance.budget.limits import Limits
from prefect_seedance.errors import LedgerUnreadable, OverBudget, StoreUnavailable, Taken
from prefect_seedance.ledger.record import Step, Writer
from prefect_seedance.ledger.rules import History
from prefect_seedance.ledger.writer import is_gone
from prefect_seedance.models import Frozen, Usd
from prefect_seedance.storage.store import Store
from prefect_seedance.text import dollars

RESERVED_FOR = datetime.timedelta(hours=2)
EXTEND_BELOW = datetime.timedelta(minutes=30)
ZERO = Decimal(0)


class Totals(Frozen):
    """Dollars of a day or a month."""

    spent_usd: Usd = ZERO
    reserved_usd: Usd = ZERO

    @property
    def taken_usd(self) -> Decimal:
        return self.spent_usd + self.reserved_usd

    def plus(self, spent: Decimal, reserved: Decimal) -> Totals:
        return Totals(spent_usd=self.spent_usd + spent, reserved_usd=self.reserved_usd + reserved)

    def told(self, limit: Decimal | None) -> str:
        """What is spent and reserved and, under a limit, left."""
        told = f"{dollars(self.spent_usd)} spent, {dollars(self.reserved_usd)} reserved"
        if limit is not None:
            told += f", {dollars(max(ZERO, limit - self.taken_usd))} left of {dollars(limit)}"
        return told


class Reservation(Frozen):
    """What a run may still spend, until when, and for which keys."""

    id: str
    month: str
    day: str
    until: datetime.datetime
    writer: Writer
    keys: dict[str, Usd] = Field(description="The keys that may be claimed under it, each with what it reserves.")

    @property
    def reserved_usd(self) -> Decimal:
        return sum(self.keys.values(), ZERO)

    def is_over(self, now: datetime.datetime) -> bool:
        """Past its end, or its process is surely gone: nothing more can be spent under it."""
        return now >= self.until or is_gone(self.writer)


class MonthRecord(Frozen):
    """One step of a month's money, with all totals after it."""

    schema_: Literal["prefect-seedance/spending/1"] = Field("prefect-seedance/spending/1", alias="schema")
    month: str
    number: int
    step: Literal["reserved", "extended", "settled"]
    nonce: str = Field(description="Random; by it a writer knows its own record again.")
    at: datetime.datetime
    reservation: str
    charged: dict[str, Usd] = Field({}, description="What this step settled, by key.")
    total: Totals
    days: dict[str, Totals]
    open: dict[str, Reservation]

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


@dataclass(frozen=True)
class Standing:
    """Where a day and its month stand."""

    day: Totals
    month: Totals

    def told(self, limits: Limits) -> list[str]:
        """A line for the day and one for the month."""
        return [
            f"Today, all runs (UTC): {self.day.told(limits.per_day)}.",
            f"This month, all runs (UTC): {self.month.told(limits.per_month)}.",
        ]


class Spending:
    """The money histories kept in *store*."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._known: dict[str, int] = {}

    async def standing(self, now: datetime.datetime) -> Standing:
        """What was spent and is reserved today and this month (UTC)."""
        last = await self.last(_month(now))
        return Standing(last.days.get(_day(now), Totals()), last.total) if last else Standing(Totals(), Totals())

    async def reserve(
        self, keys: Mapping[str, Decimal], limits: Limits, writer: Writer, now: datetime.datetime
    ) -> Reservation:
        """Set aside the upper price of all *keys*, or raise `OverBudget` having set aside nothing."""
        reserved = dict(keys) if limits.reserve else dict.fromkeys(keys, ZERO)
        new = Reservation(
            id=secrets.token_hex(8),
            month=_month(now),
            day=_day(now),
            until=now + RESERVED_FOR,
            writer=writer,
            keys=reserved,
        )

        def step(last: MonthRecord | None) -> MonthRecord | None:
            if last and new.id in last.open:
                return None  # an earlier try, given up as lost, has landed
            day = last.days.get(new.day, Totals()) if last else Totals()
            _refuse_above(limits.per_day, "day", day, new.reserved_usd)
            _refuse_above(limits.per_month, "month", last.total if last else Totals(), new.reserved_usd)
            return _next(last, "reserved", new, now, reserved=new.reserved_usd)

        await self._append(new.month, step)
        return new

    async def extend(self, reservation: Reservation, now: datetime.datetime) -> Reservation:
        """Give a long run more time while its reservation is open; it reserves no more money."""
        longer = reservation.model_copy(update={"until": now + RESERVED_FOR})

        def step(last: MonthRecord | None) -> MonthRecord | None:
            if last is None or reservation.id not in last.open or last.open[reservation.id].is_over(now):
                return None
            longer_now = last.open[reservation.id].model_copy(update={"until": longer.until})
            return _next(last, "extended", longer_now, now)

        done = await self._append(reservation.month, step)
        return longer if done else reservation

    async def settle(self, reservation: Reservation, histories: Iterable[History], now: datetime.datetime) -> None:
        """Replace what *reservation* set aside by what its claims were charged. Repeating it changes nothing.

        What is still out stays reserved until it is settled again; unclear and lost jobs count in full.
        """
        known = {history.key: history for history in histories}

        def step(last: MonthRecord | None) -> MonthRecord | None:
            current = last.open.get(reservation.id) if last else None
            if last is None or current is None:
                return None
            charged, out = charges_of(current, known)
            if out.keys() == current.keys.keys():
                return None
            rest = current.model_copy(update={"keys": out})
            freed = rest.reserved_usd - current.reserved_usd
            return _next(last, "settled", rest, now, reserved=freed, charged=charged)

        await self._append(reservation.month, step)

    async def open(self, now: datetime.datetime) -> list[Reservation]:
        """The reservations of this month and the last that are not settled."""
        months = {_month(now), _month(now.replace(day=1) - datetime.timedelta(days=1))}
        records = [await self.last(month) for month in sorted(months)]
        return [reservation for record in records if record for reservation in record.open.values()]

    async def last(self, month: str) -> MonthRecord | None:
        """The newest record of *month*, found by doubling steps and halving, not by listing."""
        low = self._known.get(month, 0)
        step = 1
        while await self.store.exists(_path(month, low + step)):
            low, step = low + step, step * 2
        high = low + step
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if await self.store.exists(_path(month, middle)) else (low, middle)
        self._known[month] = low
        return await self._read(month, low) if low else None

    async def _read(self, month: str, number: int) -> MonthRecord:
        path = _path(month, number)
        try:
            return MonthRecord.model_validate_json(await self.store.read(path))
        except ValidationError as error:
            raise LedgerUnreadable(f"The record {path} is damaged, so nothing more is spent: {error}") from error

    async def _append(self, month: str, step: Callable[[MonthRecord | None], MonthRecord | None]) -> MonthRecord | None:
        """Append what *step* makes of the newest record, adding up again whenever another writer was first."""
        for _ in range(200):
            record = step(await self.last(month))
            if record is None:
                return None
            try:
                await self.store.create(_path(month, record.number), _bytes_of(record))
                return record
            except (Taken, StoreUnavailable):
                # Ours perhaps: the S3 SDK repeats a PUT whose answer was lost.
                if await self.store.exists(_path(month, record.number)):
                    there = await self._read(month, record.number)
                    if there.nonce == record.nonce:
                        return record
        raise StoreUnavailable(f"spending/{month} could not be appended to in 200 tries; nothing was submitted for it.")


def charges_of(reservation: Reservation, known: Mapping[str, History]) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    """(what was charged under *reservation* by key, what of it is still out with what it reserves)."""
    charged, out = {}, {}
    for key, reserved in reservation.keys.items():
        final = {
            r.claim_id: r for r in known[key].records if r.step is not Step.STRAY and r.reservation == reservation.id
        }
        if any(r.step in (Step.CLAIMED, Step.ACCEPTED, Step.COMPLETED) for r in final.values()):
            out[key] = reserved
        elif final:
            charged[key] = sum((r.charged_usd for r in final.values()), ZERO)
    return charged, out


def _refuse_above(limit: Decimal | None, span: str, totals: Totals, wanted: Decimal) -> None:
    if limit is not None and totals.taken_usd + wanted > limit:
        raise OverBudget(
            f"This run may cost {dollars(wanted)}, more than is left of the limit per {span}: {totals.told(limit)}; "
            "nothing was submitted; render fewer shots, wait, or raise the limit."
        )


def _next(
    last: MonthRecord | None,
    step: Literal["reserved", "extended", "settled"],
    reservation: Reservation,
    now: datetime.datetime,
    *,
    reserved: Decimal = ZERO,
    charged: Mapping[str, Decimal] | None = None,
) -> MonthRecord:
    spent = sum((charged or {}).values(), ZERO)
    days = dict(last.days) if last else {}
    days[reservation.day] = days.get(reservation.day, Totals()).plus(spent, reserved)
    others = {name: value for name, value in (last.open if last else {}).items() if name != reservation.id}
    return MonthRecord(
        month=reservation.month,
        number=last.number + 1 if last else 1,
        step=step,
        nonce=secrets.token_hex(8),
        at=now,
        reservation=reservation.id,
        charged=dict(charged or {}),
        total=(last.total if last else Totals()).plus(spent, reserved),
        days=days,
        open=others | ({reservation.id: reservation} if reservation.keys else {}),
    )


def _path(month: str, number: int) -> str:
    return f"spending/{month}/{number:05d}.json"


def _bytes_of(record: MonthRecord) -> bytes:
    return json.dumps(record.model_dump(mode="json"), indent=1).encode()


def _month(now: datetime.datetime) -> str:
    return now.astimezone(datetime.UTC).strftime("%Y-%m")


def _day(now: datetime.datetime) -> str:
    return now.astimezone(datetime.UTC).strftime("%Y-%m-%d")
