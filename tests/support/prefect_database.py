"""Makes the database that a temporary Prefect server starts with: migrated by the installed version, nothing in it.

`python -m tests.support.prefect_database`, when the version of Prefect in constraints.txt changes; commit the file.
"""

from __future__ import annotations

import gzip
import os
import sqlite3
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from prefect_seedance.cli.temporary_server import TEMPLATES


def make() -> Path:
    """Write the template of the installed Prefect and return its path."""
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
        subprocess.run(command, env=os.environ | {"PREFECT_HOME": home, "DO_NOT_TRACK": "1"}, check=True)
        small = Path(home) / "small.db"
        with sqlite3.connect(Path(home) / "prefect.db") as database:
            database.execute("VACUUM INTO ?", [str(small)])
        template = TEMPLATES / f"{version('prefect')}.db.gz"
        template.parent.mkdir(exist_ok=True)
        template.write_bytes(gzip.compress(small.read_bytes(), mtime=0))
        return template


if __name__ == "__main__":
    print(make())  # noqa: T201
