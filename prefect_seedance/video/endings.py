"""Which kind of sound a file holds, by its first bytes: its name says what somebody hoped, and FFmpeg only guesses.

What begins like none of these is never given to FFmpeg, which would take a list of other files for a sound.
"""

from __future__ import annotations

from pathlib import Path

CONTENT_TYPES = {
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".aac": "audio/aac",
}
"""Of sound files, by their endings."""


def ending_of(file: Path) -> str | None:
    """The ending that the sound in *file* should have; None for what is no sound file."""
    with file.open("rb") as opened:
        head = opened.read(64)
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return ".wav"
    if head[:4] == b"fLaC":
        return ".flac"
    if head[:4] == b"OggS":
        return ".opus" if b"OpusHead" in head else ".ogg"
    if head[4:8] == b"ftyp":
        return ".m4a"
    if head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xE0 == 0xE0:
        return ".aac" if head[1] & 0x06 == 0 else ".mp3"  # MPEG's layer bits are zero in AAC only
    return ".mp3" if head[:3] == b"ID3" else None


def content_type(path: str) -> str:
    """The content type of a clip or a sound at *path*."""
    return CONTENT_TYPES.get(Path(path).suffix.lower(), "video/mp4")
