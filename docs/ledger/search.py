"""Every state that a model can reach, breadth first: the first violation found has a shortest trace."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

S = TypeVar("S", bound=Hashable)
LIMIT = 4_000_000


class Violation(str):
    """A promise that is broken by a step itself, in place of the state that the step would lead to."""

    __slots__ = ()


class Model(Protocol[S]):
    """What can be searched."""

    @property
    def first(self) -> S:
        """The state in which everything begins."""
        ...

    def steps(self, state: S) -> Iterator[tuple[str, S | Violation]]:
        """Everything that may happen next, each with a label for people."""
        ...

    def broken(self, state: S, *, ended: bool) -> Iterator[str]:
        """The promises that *state* breaks; *ended* says that nothing more can happen."""
        ...


@dataclass(frozen=True)
class Result:
    """How many states were explored, and a shortest trace to each violation found."""

    states: int
    violations: dict[str, list[str]]


def explore(model: Model[S], *, only: str | None = None, seen: set[S] | None = None) -> Result:
    """Explore *model* whole, or until a violation whose name begins with *only*. Adds the states to *seen* if given."""
    parents: dict[S, tuple[S, str] | None] = {model.first: None}
    queue = deque([model.first])
    found: dict[str, list[str]] = {}

    def trace(state: S, *last: str) -> list[str]:
        labels = list(last)
        while (parent := parents[state]) is not None:
            state, label = parent
            labels.append(label)
        return labels[::-1]

    while queue and not (only and any(name.startswith(only) for name in found)):
        state = queue.popleft()
        after = list(model.steps(state))
        for name in model.broken(state, ended=not after):
            if name not in found:
                found[name] = trace(state)
        for label, new in after:
            if isinstance(new, Violation):
                if new not in found:
                    found[new] = trace(state, label)
            elif new not in parents:
                parents[new] = (state, label)
                queue.append(new)
        if len(parents) > LIMIT:
            found["(search cut off)"] = []
            break
    if seen is not None:
        seen.update(parents)
    return Result(len(parents), found)


T = TypeVar("T")


def put(values: tuple[T, ...], i: int, value: T) -> tuple[T, ...]:
    """*values* with another value at place *i*."""
    return (*values[:i], value, *values[i + 1 :])
