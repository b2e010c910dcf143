"""The two roads on which a job can be submitted, for tests of what must hold on both."""

from __future__ import annotations

import json
from pathlib import Path

from prefect_seedance.catalog.endpoints import KNOWN, Catalog, with_rows

SLUG = "seedance-1-0-pro"
WAITS = 1.0
"""Seconds that a submit by /runsync waits here."""

BY_RUNSYNC = {"like": SLUG, "slug": SLUG, "runsync": WAITS}
ROADS: dict[str, Catalog] = {"run": KNOWN, "runsync": with_rows([BY_RUNSYNC])}


def rows_file(folder: Path) -> str:
    """A file with the row of /runsync, as PREFECT_SEEDANCE_CATALOG names it."""
    file = folder / "rows.json"
    file.write_text(json.dumps([BY_RUNSYNC]), encoding="utf-8")
    return str(file)
