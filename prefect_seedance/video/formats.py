"""The formats of sound that are read, by the endings of their names. None of them can name another file."""

from __future__ import annotations

SOUND_FORMATS = {
    ".mp3": "mp3",
    ".wav": "wav",
    ".flac": "flac",
    ".ogg": "ogg",
    ".oga": "ogg",
    ".opus": "ogg",
    ".m4a": "mp4",
    ".mp4": "mp4",
    ".aac": "aac",
    ".aif": "aiff",
    ".aiff": "aiff",
}
