"""Whether a sound file is all there. Cut in two, most kinds still decode; what they say of themselves tells it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from prefect_seedance.errors import ClipDamaged

SLACK = 0.25
"""Seconds that encoders add at the ends, or leave out."""

TAIL = 70_000
"""Bytes at the end of a file; a page of Ogg has at most 65,307."""

UNKNOWN = (0, 0xFFFFFFFF)
"""What those who could not go back write as the length of a WAV."""


def refuse_what_is_cut(file: Path, heard: float, told: float) -> None:
    """Raise `ClipDamaged` where *heard* seconds of a sound are not all that its header tells, or its end is missing.

    *told* are the seconds that FFmpeg has read in the header; for MP3 and AAC it may only have guessed them.
    """
    with file.open("rb") as opened:
        head = opened.read(16)
        size = opened.seek(0, 2)
        opened.seek(max(0, size - TAIL))
        tail = opened.read()
    if _ends_early(head, size, tail):
        raise ClipDamaged(f"it breaks off after {heard:.1f} s")
    if heard + SLACK < told and KNOWS_ITS_LENGTH.get(file.suffix.lower(), _always)(file):
        raise ClipDamaged(f"it breaks off after {heard:.1f} of {told:.1f} s")


def _ends_early(head: bytes, size: int, tail: bytes) -> bool:
    if head[:4] == b"RIFF":
        length = int.from_bytes(head[4:8], "little")
        return length not in UNKNOWN and length + 8 > size + 1  # the last byte may be a filling one that was left out
    if head[:4] == b"OggS":
        page = tail[tail.rfind(b"OggS") :]
        return len(page) < 6 or not page[5] & 0x04  # RFC 3533: the last page says that it is the last
    return False


def _always(_: Path) -> bool:
    return True


def _has_frame_count(file: Path) -> bool:
    """Whether an MP3 tells its length, in the first frame behind its tags."""
    with file.open("rb") as opened:
        tag = opened.read(10)
        length = sum((byte & 0x7F) << shift for byte, shift in zip(tag[6:10], (21, 14, 7, 0), strict=False))
        opened.seek(10 + length if tag[:3] == b"ID3" else 0)
        frame = opened.read(200)
    return any(name in frame for name in (b"Xing", b"Info", b"VBRI"))


KNOWS_ITS_LENGTH: dict[str, Callable[[Path], bool]] = {".mp3": _has_frame_count, ".aac": lambda _: False}
"""Of which kinds not every file tells how long it is."""
