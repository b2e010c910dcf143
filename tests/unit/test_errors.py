"""The tree of errors that the module shows is the tree of its classes."""

from __future__ import annotations

import re

from prefect_seedance import errors
from prefect_seedance.errors import SeedanceError


def test_the_tree_in_the_docstring_is_that_of_the_classes() -> None:
    lines = re.findall(r"^([│├└─ ]*)(\w+)(?:$|  )", (errors.__doc__ or "").partition("\n\n")[2], re.MULTILINE)
    shown = [(len(branches) // 4, name) for branches, name in lines]
    assert sorted(_with_parents(shown)) == sorted(_pairs(SeedanceError))
    assert len(shown) > 20


def _with_parents(shown: list[tuple[int, str]]) -> list[tuple[str, str]]:
    path: list[str] = []
    pairs = []
    for depth, name in shown:
        path = [*path[:depth], name]
        pairs += [(path[depth - 1], name)] if depth else []
    return pairs


def _pairs(parent: type[SeedanceError]) -> list[tuple[str, str]]:
    ours = [child for child in parent.__subclasses__() if child.__module__ == errors.__name__]
    return [pair for child in ours for pair in ((parent.__name__, child.__name__), *_pairs(child))]
