"""Whether a Prefect API is configured here, looked up where Prefect would, without the two seconds of importing it."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

NAME = "PREFECT_API_URL"


def url() -> str:
    """Where Prefect would find its API, or "": environment, .env, prefect.toml, pyproject.toml, profile."""
    if NAME in os.environ:
        return os.environ[NAME]
    found = _in_dot_env() or _in_project("prefect.toml") or _in_project("pyproject.toml") or _in_profile()
    return str(found or "")


def _in_dot_env() -> str:
    try:
        lines = Path(".env").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError):
        return ""
    values = [line.partition("=")[2].strip() for line in lines if line.removeprefix("export ").startswith(f"{NAME}=")]
    return values[-1].strip("\"'") if values else ""


def _in_project(name: str) -> object:
    tables = _toml(Path(name))
    if name == "pyproject.toml":
        tables = _table(_table(tables, "tool"), "prefect")
    return _table(tables, "api").get("url")


def _in_profile() -> object:
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    profiles = _toml(Path(os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml").expanduser())
    active = os.environ.get("PREFECT_PROFILE") or profiles.get("active")
    return _table(_table(profiles, "profiles"), str(active)).get(NAME)


def _table(tables: dict[str, Any], name: str) -> dict[str, Any]:
    found = tables.get(name)
    return found if isinstance(found, dict) else {}


def _toml(path: Path) -> dict[str, Any]:
    """The tables of a file; none where it can't be read, which Prefect tells better when it is used."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
