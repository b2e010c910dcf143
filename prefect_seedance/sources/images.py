"""Pictures that shots begin or end with: checked before a cent is spent, read again before they are sent."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import TYPE_CHECKING, Literal

from prefect_seedance.errors import BadInput, BadStore, Missing
from prefect_seedance.models import Picture
from prefect_seedance.sources.folder import Folder, bucket_of, inside
from prefect_seedance.storage.store import Store
from prefect_seedance.text import printable, without_credentials

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
MOST_BYTES = 30_000_000 - 1  # the endpoint: less than 30 MB
SHORTEST_SIDE, LONGEST_SIDE = 300, 6000
LOWEST_RATIO, HIGHEST_RATIO = 0.4, 2.5
AT_ONCE = 8
DECODERS = 2  # at once: a picture of 6000 x 6000 takes 144 MB while it is decoded
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://|data:")
MODES = {"JPEG": ("L", "RGB"), "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")}
TURNED = (5, 6, 7, 8)  # EXIF orientations that swap the sides


@dataclass(frozen=True)
class PictureSource:
    """A picture that was checked, and where to read it again."""

    kind: Literal["local", "store", "https"]
    picture: Picture
    location: str = field(repr=False)  # a link may be a secret while it lives
    folder: Folder | None = field(default=None, repr=False, compare=False)
    allow_private: bool = field(default=False, repr=False)

    @property
    def public_url(self) -> str | None:
        """The link that the provider can fetch itself; None for a picture that has to be published or cropped."""
        return self.location if self.kind == "https" and not self.picture.crop else None

    async def read(self) -> bytes:
        """The bytes that were checked. `BadInput` if something else lies there by now."""
        content = await _content(self.kind, self.location, self.folder, self.allow_private)
        if hashlib.sha256(content).hexdigest() != self.picture.sha256:
            raise BadInput(f"{self.picture.source} has changed since it was checked; nothing was submitted, plan again")
        return content

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
    kind, folder, location = _place(location, folder, roots)
    content = await _content(kind, location, folder, allow_private)
    async with decoders or asyncio.Semaphore():
        seen = await asyncio.to_thread(_seen, content, _source(kind, location, folder))
    return PictureSource(kind, seen, location, folder, allow_private)


def _place(
    location: str, folder: Folder | None, roots: Sequence[Folder]
) -> tuple[Literal["local", "store", "https"], Folder | None, str]:
    scheme = SCHEME.match(location)
    if not scheme:
        if folder is None:
            raise BadInput("a storyboard without a file has no folder beside it; give an s3:// object or a link")
        return ("store" if folder.bucket else "local"), folder, inside(location)
    match (scheme[1] or "data").lower():
        case "http" | "https":
            return "https", None, location
        case "s3":
            for root in roots:
                if location.startswith(f"{root.url}/"):
                    return "store", root, inside(location.removeprefix(f"{root.url}/"))
            if folder and folder.own:
                raise BadInput("it is not part of this delivery; drop it in one folder with the storyboard")
            raise BadInput("it lies in a bucket that is not the storyboard's; copy it beside the storyboard")
        case other:
            raise BadInput(f"{printable(other, 20)}: is not read; give a file beside the storyboard, s3:// or https://")


async def _content(kind: str, location: str, folder: Folder | None, allow_private: bool) -> bytes:
    if folder is None:
        from prefect_seedance.sources.https import fetch

        return await fetch(location, most_bytes=MOST_BYTES, allow_private=allow_private)
    try:
        return await folder.read(location, MOST_BYTES)
    except Missing as error:
        raise BadInput("there is no such file; check the path") from error
    except BadStore as error:
        raise BadInput(f"it can't be read; {error}") from error


def _source(kind: str, location: str, folder: Folder | None) -> str:
    return f"{folder.url}/{location}" if kind == "store" and folder else without_credentials(location)


def _seen(content: bytes, source: str) -> Picture:
    from PIL import Image, UnidentifiedImageError

    kinds = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            width, height = _sides(image)
            _check_sides(width, height)  # before decoding, so that no small file fills the memory
            image.load()
            kind = "JPEG" if image.format == "MPO" else str(image.format)  # MPO: two pictures of a camera in one JPEG
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
    """Examines the pictures of one reading, each place once and eight at a time."""

    def __init__(self, folder: Folder | None, store: Store | None, allow_private: bool) -> None:
        self._folder, self._allow_private = folder, allow_private
        self._seen: dict[str, PictureSource | BadInput] = {}
        if folder and folder.own:
            self._roots = [folder]
            return
        buckets = {folder and folder.bucket, store and bucket_of(store.url)} - {None}
        whole_buckets = [Folder(f"s3://{bucket}") for bucket in sorted(map(str, buckets))]
        self._roots = [Folder(store.url, store), *whole_buckets] if store else whole_buckets

    async def examine(self, locations: Iterable[str]) -> dict[str, PictureSource | BadInput]:
        """What lies at each of *locations*: a picture, or the reason why it can't be used."""
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

        async with asyncio.TaskGroup() as group:
            tasks = {location: group.create_task(examine(location)) for location in wanted}
        self._seen |= {location: task.result() for location, task in tasks.items()}
        return self._seen

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
    """The middle of the picture in the ratio of *size*. A JPEG stays a JPEG, all else becomes a PNG."""
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
        if image.mode not in MODES[kind]:
            image, profile = image.convert("RGB"), None
    target = BytesIO()
    if kind == "JPEG":
        image.save(target, kind, quality=95, subsampling=0, icc_profile=profile)
    else:
        image.save(target, kind, icc_profile=profile)
    return target.getvalue()
