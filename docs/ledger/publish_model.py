"""Processes that publish one clip, perhaps as different bytes, and append the record that describes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from docs.ledger.search import put


class Publisher(NamedTuple):
    at: str = "downloads"
    content: str = ""


class Shelf(NamedTuple):
    """One state: the publishers, the files as (path, content), and what `stored` says."""

    publishers: tuple[Publisher, ...]
    files: frozenset[tuple[str, str]]
    stored: tuple[str, str] | None
    kills: int


@dataclass(frozen=True)
class PublishModel:
    """Promise: the stored record describes the file that is there (b)."""

    how: str = "by content"
    """What the published name holds, or how it is created: "by content", "overwrite", "exclusive"."""
    publishers: int = 2

    @property
    def first(self) -> Shelf:
        return Shelf((Publisher(),) * self.publishers, frozenset(), None, 1)

    def steps(self, s: Shelf) -> Iterator[tuple[str, Shelf]]:
        for i, publisher in enumerate(s.publishers):
            if publisher.at in ("ended", "dead"):
                continue
            if s.kills:
                dead = put(s.publishers, i, Publisher("dead"))
                yield f"P{i} is killed at {publisher.at}", s._replace(publishers=dead, kills=s.kills - 1)
            yield from self._turn(s, i, publisher)

    def _turn(self, s: Shelf, i: int, publisher: Publisher) -> Iterator[tuple[str, Shelf]]:
        def to(at: str, content: str = publisher.content) -> Shelf:
            return s._replace(publishers=put(s.publishers, i, Publisher(at, content)))

        content, files = publisher.content, dict(s.files)
        path = content if self.how == "by content" else "clip"
        if publisher.at == "downloads":
            for got in "xy":
                yield f"P{i} downloads {got}", to("publishes", got)
        elif publisher.at == "publishes" and self.how == "exclusive" and path in files:
            yield f"P{i} adopts the clip that is there", to("appends", files[path])
        elif publisher.at == "publishes":
            there = frozenset({**files, path: content}.items())
            yield f"P{i} publishes {content}", to("appends")._replace(files=there)
        elif s.stored:
            yield f"P{i} lost the race", to("ended")
        else:
            yield f"P{i} appends stored {content}", to("ended")._replace(stored=(path, content))

    def broken(self, s: Shelf, *, ended: bool) -> Iterator[str]:
        if s.stored and s.stored not in s.files:
            yield "b: the stored record does not describe the file"
