"""The server that a command starts for itself, and the database that it begins with."""

from __future__ import annotations

import gzip
import re
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from prefect_seedance.cli.temporary_server import TEMPLATES, with_database


def head_of_the_migrations() -> str:
    """The revision that no other builds on, without importing Prefect's server."""
    spec = find_spec("prefect")
    assert spec is not None
    assert spec.origin is not None
    versions = Path(spec.origin).parent / "server" / "database" / "_migrations" / "versions" / "sqlite"
    text = "\n".join(file.read_text(encoding="utf-8") for file in versions.glob("*.py"))
    heads = set(re.findall(r'^revision = "(\w+)"', text, re.M)) - set(
        re.findall(r'^down_revision = "(\w+)"', text, re.M)
    )
    assert len(heads) == 1
    return heads.pop()


MIGRATE = "PREFECT_SERVER_DATABASE_MIGRATE_ON_START"
TEMPLATE = TEMPLATES / f"{version('prefect')}.db.gz"
made_for_it = pytest.mark.skipif(not TEMPLATE.exists(), reason="another Prefect than that of constraints.txt")


@made_for_it
def test_the_database_for_the_pinned_prefect_has_all_of_its_migrations() -> None:
    database = gzip.decompress(TEMPLATE.read_bytes())
    assert head_of_the_migrations().encode() in database


@made_for_it
def test_a_home_without_a_database_gets_a_migrated_one(tmp_path: Path) -> None:
    assert with_database({"PREFECT_HOME": str(tmp_path / "home")}) == {MIGRATE: "false"}
    assert [file.name for file in (tmp_path / "home").iterdir()] == ["prefect.db"]


def test_the_database_of_a_home_stays_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "prefect.db").write_text("the runs of a year")
    assert with_database({"PREFECT_HOME": str(tmp_path)}) == {}
    assert (tmp_path / "prefect.db").read_text() == "the runs of a year"


def test_a_database_elsewhere_is_left_to_prefect(tmp_path: Path) -> None:
    elsewhere = {"PREFECT_API_DATABASE_CONNECTION_URL": "postgresql+asyncpg://x", "PREFECT_HOME": str(tmp_path)}
    assert with_database(elsewhere) == {}
    assert list(tmp_path.iterdir()) == []
