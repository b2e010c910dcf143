"""Sound for the emulator's clips: a quiet tone, and over it the number of the clip as the tones of a telephone's keys.

Sums of sine waves, so equal cards sound alike on every machine, and a test can hear which clip it has.
"""

from __future__ import annotations

import functools
import hashlib
import math
from array import array
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import av

RATE = 48_000
KEY_SECONDS, PAUSE_SECONDS = 0.2, 0.1
"""How long a digit is heard, and how long nothing is before it."""
KEYS = {  # hertz, as telephones dial (ITU-T Q.23)
    "1": (697, 1209),
    "2": (697, 1336),
    "3": (697, 1477),
    "4": (770, 1209),
    "5": (770, 1336),
    "6": (770, 1477),
    "7": (852, 1209),
    "8": (852, 1336),
    "9": (852, 1477),
    "0": (941, 1336),
}
SWITCHES = ("generate_audio", "save_audio")
"""The inputs by which endpoints are asked for sound of their own."""
LOUD, QUIET = 6000, 600
"""Of 32,767: about -15 and -35 decibels below the loudest."""


def is_asked_for(inputs: Mapping[str, Any]) -> bool:
    """Whether a clip of these *inputs* has sound."""
    return any(inputs.get(name) is True for name in SWITCHES)


def samples(text: str, number: int, seconds: int) -> array[int]:
    """What a clip sounds like: one channel at `RATE`. *text* sets the tone that lies under the number."""
    hum = 110 + 10 * (hashlib.sha256(text.encode()).digest()[1] % 24)
    sound = _wave((hum,), QUIET, RATE // 10) * (10 * seconds)  # tones of whole tens of hertz repeat ten times a second
    at = 0
    for digit in str(number):
        at += round(PAUSE_SECONDS * RATE)
        key = _wave(KEYS[digit], LOUD // 2, round(KEY_SECONDS * RATE))
        sound[at : at + len(key)] = key[: max(0, len(sound) - at)]
        at += len(key)
    return sound


@functools.lru_cache(maxsize=64)
def _wave(hertz: tuple[int, ...], height: int, count: int) -> array[int]:
    turns = [2 * math.pi * one / RATE for one in hertz]
    return array("h", (round(height * sum(math.sin(turn * place) for turn in turns)) for place in range(count)))


class Track:
    """The track of a film that *sound* is written to, a second at a time, so that picture and sound lie together."""

    def __init__(self, film: av.container.OutputContainer, sound: array[int]) -> None:
        self._film, self._sound = film, sound
        self._stream = film.add_stream("aac", rate=RATE, layout="stereo", options={"threads": "1"})
        self._at = 0

    def write(self, seconds: int) -> None:
        """Bring the track to *seconds* from its start."""
        until = min(seconds * RATE, len(self._sound))
        for frame in self._frames(until):
            self._film.mux(self._stream.encode(frame))

    def close(self) -> None:
        self._film.mux(self._stream.encode(None))

    def _frames(self, until: int) -> Iterator[av.AudioFrame]:
        while self._at < until:
            some = self._sound[self._at : min(until, self._at + 1024)]
            frame = av.AudioFrame(format="s16", layout="stereo", samples=len(some))
            frame.planes[0].update(array("h", [height for one in some for height in (one, one)]).tobytes())
            frame.sample_rate, frame.pts, frame.time_base = RATE, self._at, Fraction(1, RATE)
            self._at += len(some)
            yield frame
