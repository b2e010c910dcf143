"""What import-linter can't say of the package: where money leaves, and what touches no world."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import prefect_seedance

PACKAGE = Path(prefect_seedance.__file__).parent
CATALOG = ("endpoints.py", "model.py", "inputs.py", "sizes.py", "options.py", "pricing.py", "alternatives.py")
RULES = [
    *(PACKAGE / name for name in ("errors.py", "models.py", "keys.py", "text.py")),
    *(PACKAGE / "catalog" / name for name in CATALOG),
    *(PACKAGE / "ledger" / name for name in ("record.py", "rules.py")),
    PACKAGE / "runpod" / "responses.py",
    PACKAGE / "production" / "timeline.py",
]
WORLDLY = {"os", "pathlib", "socket", "time", "random", "asyncio", "subprocess", "s3fs", "av", "prefect", "tempfile"}


def test_rules_touch_no_file_no_socket_and_no_clock() -> None:
    touched = []
    for file in RULES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            touched += [f"{file.name} imports {module}" for module in modules if module.split(".")[0] in WORLDLY]
    assert touched == []


def test_only_the_client_submits() -> None:
    assert _files_with(r'\.post\(|(?<!methods=\[)"POST"') == {"runpod/client.py", "runpod/post.py"}
    assert _files_with(r"runpod\.(post|ask)\b|runpod import .*\b(post|ask)\b") == {"runpod/client.py"}
    assert _files_with(r"runpod\.http1\b|runpod import .*\bhttp1\b") == {"runpod/ask.py", "runpod/post.py"}
    assert _files_with(r"\bh11\b") == {"runpod/http1.py"}


def _files_with(pattern: str) -> set[str]:
    found = [file for file in PACKAGE.rglob("*.py") if re.search(pattern, file.read_text(encoding="utf-8"))]
    return {file.relative_to(PACKAGE).as_posix() for file in found}
