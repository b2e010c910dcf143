"""What a run over an inbox says of each storyboard, and the exit code that follows from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from pydantic import ConfigDict, Field

from prefect_seedance.models import Frozen, Usd

Status = Literal["complete", "partial", "nothing", "rejected", "over_budget", "skipped"]
ZERO = Decimal(0)


class Outcome(Frozen):
    """What became of a storyboard, or of one of its rows.

    `production` is a folder of the store, `manifest` a file of it; both are None where nothing was produced.
    """

    file: str
    title: str | None = None
    status: Status
    production: str | None = None
    manifest: str | None = None
    error: str | None = None
    spent_usd: Usd = ZERO
    refused: bool = Field(False, exclude=True, description="Key, store or rights don't allow it; nothing was spent.")


class Report(Frozen):
    """What a run over an inbox did (schema `prefect-seedance/inbox/1`). Paths are relative to the store."""

    schema_: Literal["prefect-seedance/inbox/1"] = Field("prefect-seedance/inbox/1", alias="schema")
    boards: tuple[Outcome, ...]
    spent_usd: Usd
    exit_code: int

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    @classmethod
    def on(cls, outcomes: Sequence[Outcome]) -> Report:
        spent = sum((outcome.spent_usd for outcome in outcomes), ZERO)
        return cls(boards=tuple(outcomes), spent_usd=spent, exit_code=_exit_code(outcomes))

    def as_json(self) -> str:
        """The text of the `report.json` that is archived with a delivery."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False)


def _exit_code(outcomes: Sequence[Outcome]) -> int:
    """Of the command line: 0 all done, 1 nothing stored, 2 all broken or refused, 3 some, 4 not allowed to spend."""
    statuses = {outcome.status for outcome in outcomes} - {"skipped"}
    if statuses <= {"complete"}:
        return 0
    if statuses & {"complete", "partial"}:
        return 3
    if any(outcome.status == "nothing" and not outcome.refused for outcome in outcomes):
        return 1
    return 4 if "over_budget" in statuses else 2
