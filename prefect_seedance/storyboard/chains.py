"""Which shot continues from which: circles, the order to work in, and who waits for a shot that is blocked.

A shot is its place in the board; `before[n]` is the shot that shot *n* continues from.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

Before = Sequence[int | None]


def circles(before: Before) -> list[list[int]]:
    """The shots that continue from one another in a circle, each circle once, its first shot of the board first."""
    found: list[list[int]] = []
    seen: set[int] = set()
    for start in range(len(before)):
        path: dict[int, None] = {}  # in order, and quick to look into
        at: int | None = start
        while at is not None and at not in seen and at not in path:
            path[at] = None
            at = before[at]
        if at is not None and at in path:
            way = list(path)
            circle = way[way.index(at) :]
            first = circle.index(min(circle))
            found.append(circle[first:] + circle[:first])
        seen.update(path)
    return found


def in_order(before: Before) -> list[int]:
    """All shots that neither are in a circle nor continue from one, each after the shot it continues from."""
    after: dict[int, list[int]] = {}
    order: list[int] = []
    for shot, link in enumerate(before):
        if link is None:
            order.append(shot)
        else:
            after.setdefault(link, []).append(shot)
    for shot in order:  # grows while it is read
        order += after.get(shot, ())
    return order


def waiting_for(before: Before, blocked: Collection[int]) -> dict[int, list[int]]:
    """For each of the *blocked* shots those that are not blocked themselves and continue from it, at once or later."""
    after: dict[int, list[int]] = {}
    for shot, link in enumerate(before):
        if link is not None and shot not in blocked:
            after.setdefault(link, []).append(shot)
    found: dict[int, list[int]] = {}
    for root in blocked:
        followers = list(after.get(root, ()))
        for shot in followers:  # grows while it is read
            followers += after.get(shot, ())
        if followers:
            found[root] = sorted(followers)
    return found
