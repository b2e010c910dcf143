"""Draws the emulator's clips: little films that show what was asked, and that time passes."""

from __future__ import annotations

import colorsys
import hashlib
import os
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

INK = (245, 243, 238)
QUIET = (198, 198, 204)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Card(NamedTuple):
    """What a clip has to show, and how long."""

    prompt: str
    number: int
    width: int
    height: int
    seconds: int
    fps: int
    picture: Path | None = None

    @property
    def unit(self) -> int:
        """The length that everything on the card is measured in: 16 pixels where the shorter side has 480."""
        return max(4, min(self.width, self.height) // 30)


def render(card: Card, clip: Path) -> None:
    """Write *card* as an MP4 with exactly seconds x fps frames, all or nothing. Equal cards give equal bytes.

    The card is drawn and converted once; each frame changes only the strip at the bottom.
    """
    whole = _drawn(card)
    strip_height = 4 * card.unit // 2 * 2
    top = (card.height - strip_height) // 2 * 2
    strip = whole.crop((0, top, card.width, top + strip_height))
    frames = card.seconds * card.fps
    unfinished = clip.with_suffix(".unfinished")
    with av.open(str(unfinished), "w", format="mp4", options={"movflags": "+faststart"}) as film:
        # One thread: the bytes must not depend on the number of cores, and two clips are rendered side by side anyway.
        options = {"preset": "ultrafast", "crf": "20", "threads": "1"}
        stream = film.add_stream("libx264", rate=card.fps, options=options)
        stream.width, stream.height, stream.pix_fmt = card.width, card.height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, card.fps)
        frame = av.VideoFrame.from_image(whole).reformat(format="yuv420p")
        for index in range(frames):
            moment = av.VideoFrame.from_image(_at(card, strip.copy(), index)).reformat(format="yuv420p")
            _paste(moment, frame, top)
            frame.pts, frame.time_base = index, Fraction(1, card.fps)
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    os.replace(unfinished, clip)


def _paste(strip: av.VideoFrame, frame: av.VideoFrame, top: int) -> None:
    for number, (source, target) in enumerate(zip(strip.planes, frame.planes, strict=True)):
        first = top if number == 0 else top // 2  # colour has half the rows
        rows, canvas = memoryview(source), memoryview(target)
        for row in range(source.height):
            start = (first + row) * target.line_size
            canvas[start : start + source.width] = rows[row * source.line_size : row * source.line_size + source.width]


def _at(card: Card, strip: Image.Image, index: int) -> Image.Image:
    """The strip at the bottom as it looks in frame *index*: a counter above a growing bar."""
    unit, frames = card.unit, card.seconds * card.fps
    pen = ImageDraw.Draw(strip)
    seconds = f"{index // card.fps:02d}:{index % card.fps:02d}"
    pen.text((2 * unit, 0), seconds, INK, _font(unit * 5 // 4))
    pen.text((card.width - 2 * unit, 0), f"frame {index + 1} of {frames}", QUIET, _font(unit), anchor="ra")
    left, right, bar = 2 * unit, card.width - 2 * unit, 2 * unit
    pen.rounded_rectangle((left, bar, right, bar + unit // 2), unit // 4, fill=(255, 255, 255, 40), outline=QUIET)
    pen.rounded_rectangle((left, bar, left + (right - left) * (index + 1) // frames, bar + unit // 2), unit // 4, INK)
    return strip


def _drawn(card: Card) -> Image.Image:
    unit = card.unit
    image = _background(card)
    pen = ImageDraw.Draw(image)
    pen.text((2 * unit, 2 * unit), f"{card.number}", INK, _font(3 * unit))
    form = f"{card.width} x {card.height}   {card.seconds} s   {card.fps} fps"
    pen.text((card.width - 2 * unit, 2 * unit), form, QUIET, _font(unit), anchor="ra")
    room = (card.width - 8 * unit, card.height - 14 * unit)
    text, font = _fitted(card.prompt, room, unit)
    pen.multiline_text(
        (card.width // 2, card.height // 2), text, INK, font, anchor="mm", align="center", spacing=font_gap(font)
    )
    return image


def font_gap(font: Font) -> float:
    return getattr(font, "size", 10) / 3


def _background(card: Card) -> Image.Image:
    if card.picture is not None:
        with Image.open(card.picture) as picture:
            filled = ImageOps.fit(picture.convert("RGB"), (card.width, card.height))
        return ImageEnhance.Brightness(filled).enhance(0.45)
    hue = hashlib.sha256(card.prompt.encode()).digest()[0] / 256
    light, dark = (_colour(hue, 0.55, 0.42), _colour(hue + 0.06, 0.7, 0.16))
    slope = Image.linear_gradient("L").resize((card.width, card.height))
    return Image.composite(Image.new("RGB", slope.size, dark), Image.new("RGB", slope.size, light), slope)


def _colour(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _fitted(prompt: str, room: tuple[int, int], unit: int) -> tuple[str, Font]:
    """The prompt, wrapped, in the largest type that fits; cut with an ellipsis where even the smallest does not."""
    lines: list[str] = []
    for size in range(3 * unit, unit * 3 // 4, -max(1, unit // 4)):
        font = _font(size)
        lines = _wrapped(prompt, font, room[0])
        fitting = int(room[1] // (size * 4 / 3))
        if len(lines) <= fitting:
            return "\n".join(lines), font
    return "\n".join([*lines[: fitting - 1], "…"]), font


def _wrapped(prompt: str, font: Font, width: int) -> list[str]:
    lines = [""]
    for word in prompt.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _font(size: int) -> Font:
    return ImageFont.load_default(size)
