"""Sounds that a storyboard names: heard to their end before a cent is spent, read again when they are used."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from prefect_seedance.errors import BadInput, ClipDamaged, DownloadFailed
from prefect_seedance.models import Heard
from prefect_seedance.sources.places import Place
from prefect_seedance.video import decoder
from prefect_seedance.video.formats import SOUND_FORMATS

MOST_BYTES = 200_000_000
MOST_SECONDS = 2 * 3600.0
"""What is longer was not meant for a film, or has no end."""
KINDS = "MP3, M4A, WAV, FLAC, Ogg or AIFF"


@dataclass(frozen=True)
class SoundSource:
    """A sound that was heard, and where to read it again."""

    sha256: str
    ending: str
    heard: Heard
    place: Place

    async def read(self) -> bytes:
        """The bytes that were heard. `BadInput` if something else lies there by now."""
        return await self.place.read_again(MOST_BYTES, self.sha256, "render again, it pays for nothing that is stored")


async def examine_sound(place: Place) -> SoundSource:
    """Read the sound at *place* and hear it to its end. Raises `BadInput` with the reason and the remedy."""
    ending = PurePosixPath(urlsplit(place.location).path if place.kind == "https" else place.location).suffix.lower()
    if ending not in SOUND_FORMATS:
        raise BadInput(f"its ending names no kind of sound that is read; save it as {KINDS}")
    content = await place.read(MOST_BYTES)
    return SoundSource(hashlib.sha256(content).hexdigest(), ending, await _heard(content, ending), place)


async def _heard(content: bytes, ending: str) -> Heard:
    """In a process of its own: a sound is a stranger's file as much as a clip is."""
    with tempfile.TemporaryDirectory(prefix="prefect-seedance-") as folder:
        file = Path(folder) / f"sound{ending}"
        await asyncio.to_thread(file.write_bytes, content)
        try:
            heard = await decoder.listen(file, MOST_SECONDS)
        except ClipDamaged as error:
            raise BadInput(f"{error}; name a sound of at most {MOST_SECONDS / 3600:.0f} hours, as {KINDS}") from error
        except DownloadFailed as error:
            raise BadInput(f"it could not be heard: {error}") from error
    if heard.audio.loudness is None:
        raise BadInput("nothing can be heard in it; name another file")
    return heard
