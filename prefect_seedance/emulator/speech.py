"""Speech for the emulator: a tone for each word, as long as it takes to say it, so that a text sounds like itself."""

from __future__ import annotations

import hashlib
import math
import os
from array import array
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

RATE = 48_000
LOUD = 6000
"""Of 32,767: about -15 decibels below the loudest."""
FADE = RATE // 100
"""Samples in which a tone comes and goes."""
CODECS = {
    "wav": ("pcm_s16le", "s16"),
    "flac": ("flac", "s16"),
    "ogg": ("libopus", "s16"),
    "mp3": ("libmp3lame", "s16p"),
}
"""Of each kind of file: the codec and the form of its samples."""

PIECE = 1024


def speak(text: str, seconds: float, file: Path) -> None:
    """Write *text* as a sound of so many *seconds* to *file*, all or nothing; its ending names the kind."""
    codec, form = CODECS[file.suffix[1:]]
    unfinished = file.with_suffix(".unfinished")
    with av.open(str(unfinished), "w", format=file.suffix[1:], options={"fflags": "+bitexact"}) as sound:
        stream: Any = sound.add_stream(codec, rate=RATE, layout="mono", options={"threads": "1"})
        stream.format = form
        for frame in _frames(_tones(text, round(seconds * RATE))):
            sound.mux(stream.encode(frame))
        sound.mux(stream.encode(None))
    os.replace(unfinished, file)


def _tones(text: str, count: int) -> array[int]:
    """*count* samples: each word's share of them by its letters, and a little silence after it."""
    words, sound = text.split(), array("h")
    letters = sum(len(word) + 1 for word in words)
    told = 0
    for word in words:
        told += len(word) + 1
        length = count * told // letters - len(sound)
        heard = length * len(word) // (len(word) + 1)
        sound.extend(_tone(word, heard))
        sound.extend(array("h", bytes(2 * (length - heard))))
    return sound


def _tone(word: str, count: int) -> Iterator[int]:
    turn = 2 * math.pi * (140 + hashlib.sha256(word.encode()).digest()[0] // 2) / RATE
    for place in range(count):
        yield round(LOUD * min(1.0, place / FADE, (count - place) / FADE) * math.sin(turn * place))


def _frames(sound: array[int]) -> Iterator[av.AudioFrame]:
    for at in range(0, len(sound), PIECE):
        some = sound[at : at + PIECE]
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(some))
        frame.planes[0].update(some.tobytes())
        frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
        yield frame
