"""The options that several commands share: where clips live, who pays, and what may be spent."""

from __future__ import annotations

import os
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from prefect_seedance.budget.limits import Limits
from prefect_seedance.cli import prefect_api
from prefect_seedance.cli.prefect_settings import prepare_prefect
from prefect_seedance.rendering.options import MOST_IN_FLIGHT, MOST_RETRIES, Options
from prefect_seedance.runpod.account import BASE_URL, Account
from prefect_seedance.storage import open_store
from prefect_seedance.storage.store import Store


def _finite(_: object, amount: Decimal | None) -> None:
    if amount is not None and not amount.is_finite():
        raise ValueError("Name an amount in dollars, such as 25, or leave it out for no bound.")


Dollars = Annotated[Decimal | None, Parameter(help="In dollars.", validator=(_finite, Number(gte=0)))]
Limit = Annotated[Decimal | None, Parameter(help="In dollars.", validator=(_finite, Number(gt=0)))]
RetryFailed = Annotated[
    int,
    Parameter(
        help="New attempts for a job that failed; failed jobs are not charged.",
        validator=Number(gte=0, lte=MOST_RETRIES),
    ),
]
InFlight = Annotated[int, Parameter(help="Jobs out at once.", validator=Number(gte=1, lte=MOST_IN_FLIGHT))]
DEFAULT = Options()


@Parameter(name="*")
@dataclass(frozen=True)
class Place:
    """Where clips and ledger live, and who pays."""

    store: Annotated[str, Parameter(help="s3://bucket/prefix, a folder, or block:NAME.")]
    account: Annotated[str | None, Parameter(help="block:NAME; else RUNPOD_API_KEY and RUNPOD_BASE_URL.")] = None
    public_base_url: Annotated[str | None, Parameter(help="Where a local store is served from.")] = None

    def open(self) -> Store:
        """The store itself; raises `BadStore` for what can't be one, `BadInput` for a block that is not saved."""
        if self.store.startswith("block:"):
            prepare_prefect()
            from prefect_seedance.cli.saved_blocks import load_store

            return load_store(self.store, self.public_base_url).open()
        return open_store(self.store, public_base_url=self.public_base_url)

    def who(self) -> Account:
        """The account of the block, else of the environment, not checked yet; `BadInput` for a block not saved."""
        if self.account is not None:
            prepare_prefect()
            from prefect_seedance.cli.saved_blocks import load_credentials

            return load_credentials(self.account).account()
        return Account(
            os.environ.get("RUNPOD_API_KEY", "").strip(),
            (os.environ.get("RUNPOD_BASE_URL") or BASE_URL).rstrip("/"),
        )


@Parameter(name="*")
@dataclass(frozen=True)
class Money:
    """What may be spent, and how."""

    budget: Dollars = None
    per_day: Limit = None
    per_month: Limit = None
    approve_above: Dollars = None
    approve: Annotated[str | None, Parameter(help="The hash of the plan that you approve.")] = None
    max_in_flight: InFlight = DEFAULT.max_in_flight
    retry_failed: RetryFailed = DEFAULT.retry_failed

    def options(self) -> Options:
        """The same as `render_board` takes it."""
        limits = Limits(per_day=self.per_day, per_month=self.per_month, approve_above=self.approve_above)
        return Options(
            budget=self.budget,
            limits=limits,
            approve=self.approve,
            max_in_flight=self.max_in_flight,
            retry_failed=self.retry_failed,
        )


UNLIMITED = Money()

WithPrefect = Annotated[
    bool, Parameter(name="--prefect", help="Show the run in Prefect's UI; starts a server for it.", negative="")
]


def uses_prefect(place: Place, *, wanted: bool) -> bool:
    """Whether a command runs as a flow: where that is wanted, an API is configured, or blocks have to be loaded."""
    blocks = place.store.startswith("block:") or place.account is not None
    return wanted or blocks or bool(prefect_api.url())


Json = Annotated[bool, Parameter(help="One JSON document on stdout, everything else on stderr.", negative="")]
