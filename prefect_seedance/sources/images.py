"""Pictures that shots begin or end with: checked before a cent is spent, read again before they are sent."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING, Literal

from prefect_seedance.errors import BadInput
from prefect_seedance.models import Picture
from prefect_seedance.sources.folder import Folder
from prefect_seedance.sources.places import Place, place_of, roots_of
from prefect_seedance.sources.sounds import SoundSource, examine_sound
from prefect_seedance.storage.store import Store

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
MOST_BYTES = 30_000_000 - 1  # the endpoint: less than 30 MB
SHORTEST_SIDE, LONGEST_SIDE = 300, 6000
LOWEST_RATIO, HIGHEST_RATIO = 0.4, 2.5
AT_ONCE = 8
DECODERS = 2  # at once: a picture of 6000 x 6000 takes 144 MB while it is decoded
MODES = {"JPEG": ("L", "RGB"), "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")}
GREY_16 = ("I;16B", "I;16L", "I;16N", "I")
"""16 bits of grey as they come from files; "I" is that of a PNG, since no other picture with it is taken."""
TURNED = (5, 6, 7, 8)  # EXIF orientations that swap the sides


@dataclass(frozen=True)
class PictureSource:
    """A picture that was checked, and where to read it again."""

    picture: Picture
    place: Place

    @property
    def public_url(self) -> str | None:
        """The link that the provider can fetch itself; None for a picture that has to be published or cropped."""
        return self.place.location if self.place.kind == "https" and not self.picture.crop else None

    async def read(self) -> bytes:
        """The bytes that were checked. `BadInput` if something else lies there by now."""
        return await self.place.read_again(MOST_BYTES, self.picture.sha256, "nothing was submitted, plan again")

    def cropped(self) -> PictureSource:
        """The same picture, to be cropped to the ratio of its clip before it is sent."""
        return replace(self, picture=self.picture.model_copy(update={"crop": True}))


async def examine_picture(
    location: str,
    *,
    folder: Folder | None,
    roots: Sequence[Folder] = (),
    allow_private: bool = False,
    decoders: asyncio.Semaphore | None = None,
) -> PictureSource:
    """Read and check the picture at *location*: inside *folder*, on S3 below one of *roots*, or a link.

    Raises `BadInput` with the reason and the remedy.
    """
    place = place_of(location, folder, roots, allow_private=allow_private)
    content = await place.read(MOST_BYTES)
    async with decoders or asyncio.Semaphore():
        seen = await asyncio.to_thread(_seen, content, place.shown)
    return PictureSource(seen, place)


def _seen(content: bytes, source: str) -> Picture:
    from PIL import Image, UnidentifiedImageError

    kinds = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            width, height = _sides(image)
            _check_sides(width, height)  # before decoding, so that no small file fills the memory
            image.load()
            kind = "JPEG" if image.format == "MPO" else str(image.format)  # MPO: two pictures of a camera in one JPEG
            if image.mode in ("I", "F") and kind != "PNG":  # no PNG has 32 bits
                raise BadInput("it has 32 bits a channel; save it with 8 or 16 bits a channel")
    except UnidentifiedImageError as error:
        raise BadInput(f"it is not a picture that can be read; save it as {kinds}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadInput(f"it has too many pixels; its sides may be at most {LONGEST_SIDE}") from error
    except BadInput:
        raise
    except Exception as error:  # damaged files make Pillow raise nearly anything
        raise BadInput(f"it is damaged and can't be decoded; save it again as {kinds}") from error
    sha256, size = hashlib.sha256(content).hexdigest(), len(content)
    return Picture(sha256=sha256, format=kind, width=width, height=height, bytes=size, source=source, crop=False)


def _sides(image: Image.Image) -> tuple[int, int]:
    """Width and height as people see them."""
    width, height = image.size
    return (height, width) if image.getexif().get(0x0112) in TURNED else (width, height)


def _check_sides(width: int, height: int) -> None:
    if min(width, height) < SHORTEST_SIDE:
        raise BadInput(f"it is {width}x{height}; each side must have at least {SHORTEST_SIDE} pixels, so enlarge it")
    if max(width, height) > LONGEST_SIDE:
        raise BadInput(f"it is {width}x{height}; each side may have at most {LONGEST_SIDE} pixels, so scale it down")
    if not LOWEST_RATIO <= width / height <= HIGHEST_RATIO:
        raise BadInput(f"it is {width}x{height}; width to height must lie between 0.4 and 2.5, so cut it")


class Gallery:
    """Examines the pictures and sounds of one reading, each place once; eight pictures at a time."""

    def __init__(self, folder: Folder | None, store: Store | None, allow_private: bool) -> None:
        self._folder, self._allow_private = folder, allow_private
        self._seen: dict[str, PictureSource | BadInput] = {}
        self._heard: dict[str, SoundSource | BadInput] = {}
        self._roots = roots_of(folder, store)

    async def examine(self, locations: Iterable[str]) -> dict[str, PictureSource | BadInput]:
        """What lies at each of *locations*: a picture, or the reason why it can't be used.

        A store that does not answer is `StoreUnavailable`, and the other pictures are read no further.
        """
        wanted = [location for location in dict.fromkeys(locations) if location not in self._seen]
        slots, decoders = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(DECODERS)

        async def examine(location: str) -> PictureSource | BadInput:
            async with slots:
                try:
                    return await examine_picture(
                        location,
                        folder=self._folder,
                        roots=self._roots,
                        allow_private=self._allow_private,
                        decoders=decoders,
                    )
                except BadInput as reason:
                    return reason

        try:
            async with asyncio.TaskGroup() as group:
                tasks = {location: group.create_task(examine(location)) for location in wanted}
        except ExceptionGroup as several:  # whoever knows `StoreUnavailable` would miss it in a group
            first = several.exceptions[0]
            raise first from first.__cause__
        self._seen |= {location: task.result() for location, task in tasks.items()}
        return self._seen

    async def listen(self, locations: Iterable[str]) -> dict[str, SoundSource | BadInput]:
        """What is heard at each of *locations*: a sound, or the reason why it can't be used."""
        for location in dict.fromkeys(locations):
            if location not in self._heard:
                try:
                    place = place_of(location, self._folder, self._roots, allow_private=self._allow_private)
                    self._heard[location] = await examine_sound(place)
                except BadInput as reason:
                    self._heard[location] = reason
        return self._heard

    async def aclose(self) -> None:
        """Let go of connections."""
        for root in self._roots:
            await root.aclose()


def sides_after_crop(width: int, height: int, size: str) -> tuple[int, int]:
    """The largest part of a picture that has the ratio of *size*."""
    wide, high = map(int, size.split("x"))
    if width * high > height * wide:
        return max(1, round(height * wide / high)), height
    return width, max(1, round(width * high / wide))


def crop_to(content: bytes, size: str) -> bytes:
    """The middle of the picture in the ratio of *size*. A JPEG stays a JPEG, all else becomes a PNG.

    What would be too large for the endpoint is scaled down.
    """
    from PIL import Image, ImageOps

    with Image.open(BytesIO(content), formats=FORMATS) as opened:
        kind: Literal["JPEG", "PNG"] = "JPEG" if opened.format in ("JPEG", "MPO") else "PNG"
        box = sides_after_crop(*_sides(opened), size)
        if box == opened.size and opened.format == kind:
            return content
        image = ImageOps.exif_transpose(opened)
        left, top = (image.width - box[0]) // 2, (image.height - box[1]) // 2
        image = image.crop((left, top, left + box[0], top + box[1]))
        profile = opened.info.get("icc_profile")
        if image.mode in GREY_16:
            image = image.convert("I").convert("I;16")
        if image.mode not in MODES[kind]:
            image, profile = image.convert("RGB"), None
    encoded = _encoded(image, kind, profile)
    while len(encoded) > MOST_BYTES:  # as PNG a photo takes several times its bytes; no clip shows so many pixels
        factor = 0.95 * (MOST_BYTES / len(encoded)) ** 0.5
        image = image.resize((round(image.width * factor), round(image.height * factor)))
        encoded = _encoded(image, kind, profile)
    return encoded


def _encoded(image: Image.Image, kind: Literal["JPEG", "PNG"], profile: bytes | None) -> bytes:
    target = BytesIO()
    if kind == "JPEG":
        image.save(target, kind, quality=95, subsampling=0, icc_profile=profile)
    else:
        image.save(target, kind, icc_profile=profile)
    return target.getvalue()
