"""Keys of S3 that change while a store is in use, such as those of an assumed role."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class AwsKeys:
    """What requests are signed with, for now."""

    key: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


Signing = Callable[[], AwsKeys]
"""The keys that hold now. Asked in a thread before every call, so that it may ask others, and should remember."""
