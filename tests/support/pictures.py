"""Pictures as bytes: what a person would put beside a storyboard."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from PIL import Image


def picture(width: int = 960, height: int = 640, kind: str = "PNG", mode: str = "RGB", **saved: Any) -> bytes:
    """A picture whose left half is dark and whose right half is light."""
    image = Image.new("L", (width, height), 40)
    image.paste(200, (width // 2, 0, width, height))
    target = BytesIO()
    image.convert(mode).save(target, kind, **saved)
    return target.getvalue()


def plain_picture(colour: int | tuple[int, int, int], kind: str = "PNG") -> bytes:
    """A picture all of one shade of grey or one colour."""
    target = BytesIO()
    Image.new("L" if isinstance(colour, int) else "RGB", (640, 480), colour).save(target, kind)
    return target.getvalue()


def shade_at(image: Image.Image, place: tuple[int, int]) -> int:
    """How light a grey picture is there, from 0 to 255."""
    shade = image.getchannel(0).getpixel(place)
    assert isinstance(shade, int)
    return shade
