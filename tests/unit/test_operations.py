"""docs/operations.md says what to do about sentences that the code says, and leaves out none that needs more room."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import prefect_seedance
from tests.support.places import ROOT

PACKAGE = Path(prefect_seedance.__file__).parent
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
QUOTED = [piece.strip() for line in re.findall(r"^> (.+)$", PAGE, re.MULTILINE) for piece in line.split("…")]
NEED_MORE_THAN_A_LINE = {"LedgerUnreadable", "NeedsAttention", "EndpointGone"}
"""Errors that no corrected input and no other try mends."""


def test_every_sentence_that_the_page_quotes_is_said_by_the_code() -> None:
    said = [text for tree in _trees() for text in _constants(tree)]
    assert len(QUOTED) > 40
    assert [piece for piece in QUOTED if not any(piece in text for text in said)] == []


def test_every_error_that_a_person_has_to_mend_has_its_place_on_the_page() -> None:
    missing = []
    for call in (node for tree in _trees() for node in ast.walk(tree) if isinstance(node, ast.Call)):
        texts = list(_constants(call)) if getattr(call.func, "id", None) in NEED_MORE_THAN_A_LINE else []
        missing += [texts] if texts and not any(piece in text for piece in QUOTED for text in texts) else []
    assert missing == []


def _trees() -> Iterator[ast.AST]:
    for file in PACKAGE.rglob("*.py"):
        yield ast.parse(file.read_text(encoding="utf-8"))


def _constants(tree: ast.AST) -> Iterator[str]:
    """Its texts, each as one however it is broken into lines; between values, each piece by itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
