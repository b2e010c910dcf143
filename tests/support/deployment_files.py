"""The files of deployments/ and what they name, for tests that compare them."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.support.places import ROOT

FOLDER = ROOT / "deployments"
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::?(?P<how>[-?])(?P<other>[^}]*))?\}")
"""As Compose has them: `${NAME}`, `${NAME:-default}`, `${NAME:?what to do}`."""


def text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def one(name: str) -> Any:
    return yaml.safe_load(text(name))


def several(name: str) -> list[Any]:
    return list(yaml.safe_load_all(text(name)))


def compose_text(**given: str) -> str:
    """compose.yaml with its variables filled in; what has no default and is not given becomes `given`."""
    return VARIABLE.sub(
        lambda found: given.get(found["name"], found["other"] if found["how"] == "-" else "given"), text("compose.yaml")
    )


def compose(**given: str) -> Any:
    return yaml.safe_load(compose_text(**given))


def example_variables() -> dict[str, str]:
    """What env.example names, with what it says by default; what is commented out is optional."""
    return dict(re.findall(r"^#?([A-Z_0-9]+)=(.*)$", text("env.example"), re.MULTILINE))
