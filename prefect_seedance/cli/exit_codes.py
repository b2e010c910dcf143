"""What a command ends with: one number for each thing that a script may want to know."""

from __future__ import annotations

from prefect_seedance.errors import (
    ApiUnreachable,
    BadInput,
    BadStore,
    LedgerUnreadable,
    OverBudget,
    SeedanceError,
    StoreUnavailable,
)

DONE, NOTHING, REFUSED, PARTIAL, TOO_DEAR, STOPPED = 0, 1, 2, 3, 4, 130

OF_STATUS = {"complete": DONE, "partial": PARTIAL, "nothing": NOTHING}
"""By what a manifest says of all its clips."""

EXIT_CODES: tuple[tuple[type[SeedanceError], int], ...] = (
    (OverBudget, TOO_DEAR),
    (ApiUnreachable, NOTHING),
    (BadInput, REFUSED),
    (BadStore, REFUSED),
    (LedgerUnreadable, REFUSED),
    (StoreUnavailable, REFUSED),
    (SeedanceError, NOTHING),
)


def exit_code_of(error: SeedanceError) -> int:
    return next(code for kind, code in EXIT_CODES if isinstance(error, kind))
