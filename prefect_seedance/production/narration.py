"""What is said over a shot: a sound in the store, and the words it says."""

from __future__ import annotations

from typing import NamedTuple


class Narration(NamedTuple):
    """A voice that begins with its shot. Seconds; LUFS (EBU R128), None where it is silent or too short to measure."""

    path: str  # in the store
    sha256: str
    seconds: float
    loudness: float | None
    text: str
