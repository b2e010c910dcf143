"""A module may import only what stands above it. The order is the architecture."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import prefect_seedance

PACKAGE = Path(prefect_seedance.__file__).parent

LAYERS = [
    ["errors"],
    ["models"],
    # Rules: no file, no socket, no clock.
    ["fingerprint", "catalog", "answers"],
    ["pricing", "lifecycle", "timeline"],
    # The world: HTTP, files, video.
    ["waiting", "store", "media", "catalog_file"],
    ["client", "decoder"],
    ["store_disk", "store_s3"],
    ["ledger"],
    ["spending", "keeping"],
    # The story of one clip.
    ["purse"],
    ["generation"],
    ["collecting", "settling", "report"],
    # What people write and what they get.
    ["lines", "links", "testcard", "storyboard_chains"],
    ["beside"],
    ["pictures", "offers", "storyboard_texts"],
    ["storyboard_fields"],
    ["storyboard_checks", "stills"],
    ["storyboard", "sequence_files"],
    ["sequence", "plan", "review", "deliveries"],
    ["production", "shown_markdown"],
    # Prefect.
    ["blocks"],
    ["shown", "cancelling"],
    ["tasks", "approval"],
    ["shots"],
    ["rendering"],
    ["inbox"],
    ["flows"],
    # The command line.
    ["doctor", "prefect_session"],
    ["command_options", "terminal"],
    ["flow_runner", "demo"],
    ["emulator_faults"],
    ["emulator_jobs"],
    ["emulator_clips"],
    ["emulator"],
    ["cli"],
]
LAZY = {("store", "store_disk"), ("store", "store_s3")}
"""`open_store` names both kinds, which are made of `Store`."""

RULES = ("errors", "models", "fingerprint", "catalog", "answers", "pricing", "lifecycle", "timeline")
WORLDLY = {"os", "pathlib", "socket", "time", "random", "asyncio", "subprocess", "s3fs", "av", "prefect", "tempfile"}


def _imports(name: str) -> set[str]:
    """The modules of this package that *name* imports, wherever in its text."""
    files = sorted((PACKAGE / "flows").glob("*.py")) if name == "flows" else [PACKAGE / f"{name}.py"]
    found: set[str] = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "prefect_seedance":
                below = (node.module or "").split(".")[1:]
                found |= {below[0]} if below else {alias.name for alias in node.names}
    return found - {name}


def test_every_module_stands_in_the_order() -> None:
    modules = {file.stem for file in PACKAGE.glob("*.py")} - {"__init__"} | {"flows"}
    assert modules == {name for layer in LAYERS for name in layer}


def test_a_module_imports_only_what_stands_above_it() -> None:
    level = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    wrong = [
        f"{name} imports {other}"
        for name in level
        for other in _imports(name)
        if level[other] >= level[name] and (name, other) not in LAZY
    ]
    assert wrong == []


def test_rules_touch_no_file_no_socket_and_no_clock() -> None:
    touched = []
    for name in RULES:
        for node in ast.walk(ast.parse((PACKAGE / f"{name}.py").read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            touched += [f"{name} imports {module}" for module in modules if module.split(".")[0] in WORLDLY]
    assert touched == []


def test_only_the_client_submits() -> None:
    sends = re.compile(r'\.post\(|(?<!methods=\[)"POST"')
    posts = [file.stem for file in PACKAGE.rglob("*.py") if sends.search(file.read_text(encoding="utf-8"))]
    assert posts == ["client"]
