"""Draws the emulator's clips: little films that show what was asked for, and that time passes."""

from __future__ import annotations

import colorsys
import hashlib
import os
import textwrap
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from prefect_seedance.emulator.lettering import drawable, font
from prefect_seedance.emulator.sound import Track, samples

INK, QUIET = (245, 243, 238), (205, 205, 212)
BRIGHT, FAINT = 232, 110
"""The brightness of what moves."""

CODED = {"preset": "ultrafast", "qp": "28", "x264-params": "ipratio=2.5", "threads": "1"}
"""A good first frame, of which the others change little: half the work of an even quality. One thread, since the bytes
must not depend on the number of cores, and two clips are rendered side by side anyway."""


class Card(NamedTuple):
    """What a clip has to show, and how long. Of two pictures the second is shown in the second half."""

    prompt: str
    number: int
    model: str
    width: int
    height: int
    seconds: int
    fps: int
    pictures: tuple[Path, ...] = ()
    sound: bool = False

    @property
    def unit(self) -> int:
        """What everything on the card is measured in: 16 pixels where the shorter side has 480."""
        return max(4, min(self.width, self.height) // 30)

    @property
    def frames(self) -> int:
        return self.seconds * self.fps


def render(card: Card, clip: Path) -> None:
    """Write *card* as an MP4 with exactly seconds x fps frames, all or nothing. Equal cards give equal bytes.

    A card is drawn and converted once; each frame changes only the brightness of a strip at its bottom, so that a
    hundred clips are a matter of seconds.
    """
    unfinished = clip.with_suffix(".unfinished")
    halves = {0: 0, card.frames // 2: 1} if len(card.pictures) > 1 else {0: 0}
    with av.open(str(unfinished), "w", format="mp4", options={"movflags": "+faststart"}) as film:
        stream = film.add_stream("libx264", rate=card.fps, options=CODED)
        stream.width, stream.height, stream.pix_fmt = card.width, card.height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, card.fps)
        track = Track(film, samples(card.prompt, card.number, card.seconds)) if card.sound else None
        for index in range(card.frames):
            if track and index % card.fps == 0:
                track.write(index // card.fps + 1)
            if index in halves:
                whole = _drawn(card, halves[index])
                frame = av.VideoFrame.from_image(whole).reformat(format="yuv420p")  # type: ignore[no-untyped-call]
                strip = _Strip(card, frame)
            strip.show(index)
            frame.pts, frame.time_base = index, Fraction(1, card.fps)
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
        if track:
            track.close()
    os.replace(unfinished, clip)


class _Strip:
    """The bottom of a frame: the time as seconds:frames above a growing bar, painted into its plane of brightness."""

    def __init__(self, card: Card, frame: av.VideoFrame) -> None:
        self.card = card
        self.plane = memoryview(frame.planes[0])
        self.stride = frame.planes[0].line_size
        self.top = card.height - 4 * card.unit
        rows = (self.plane[row * self.stride :][: card.width] for row in range(self.top, card.height))
        self.empty = Image.frombytes("L", (card.width, card.height - self.top), b"".join(rows))
        unit = card.unit
        self.left, self.right, self.bar = 2 * unit, card.width - 2 * unit, 2 * unit
        pen = ImageDraw.Draw(self.empty)
        pen.rounded_rectangle((self.left, self.bar, self.right, self.bar + unit // 2), unit // 4, FAINT)

    def show(self, index: int) -> None:
        """Paint the time of frame number *index*, counted from 0, into the frame."""
        card, unit = self.card, self.card.unit
        now = self.empty.copy()
        pen = ImageDraw.Draw(now)
        pen.text((self.left, 0), f"{index // card.fps:02d}:{index % card.fps:02d}", BRIGHT, font(unit * 5 // 4))
        reached = self.left + (self.right - self.left) * (index + 1) // card.frames
        pen.rounded_rectangle((self.left, self.bar, reached, self.bar + unit // 2), unit // 4, BRIGHT)
        pixels, width = now.tobytes(), card.width
        for row in range(card.height - self.top):
            start = (self.top + row) * self.stride
            self.plane[start : start + width] = pixels[row * width : (row + 1) * width]


def _drawn(card: Card, half: int) -> Image.Image:
    """All of *card* that does not move, over the picture of its first (0) or second (1) half."""
    unit, width, height = card.unit, card.width, card.height
    words, name = drawable(card.prompt)
    text, size = _fitted(words, name, width - 8 * unit, height - 15 * unit, unit)
    block: dict[str, Any] = {"font": font(size, name), "anchor": "mm", "align": "center", "spacing": size // 3}
    middle = (width // 2, height // 2)
    image = _background(card, half)
    if card.pictures:
        left, top, right, bottom = ImageDraw.Draw(image).multiline_textbbox(middle, text, **block)
        _frost(image, (0, 0, width, 5 * unit), unit)
        _frost(image, (left - 2 * unit, top - unit, right + 2 * unit, bottom + unit), unit)
        _frost(image, (0, height - 5 * unit, width, height), unit)
    pen = ImageDraw.Draw(image)
    pen.multiline_text(middle, text, INK, **block)
    pen.text((2 * unit, 3 * unit // 2), f"No. {card.number}", INK, font(2 * unit))
    right_side = f"{card.model}\n{width} x {height} · {card.seconds} s · {card.fps} fps"
    corner = (width - 2 * unit, 3 * unit // 2)
    pen.multiline_text(corner, right_side, QUIET, font(unit), anchor="ra", align="right")
    pen.text((width - 2 * unit, height - 4 * unit), "pretend clip · cost nothing", QUIET, font(unit), anchor="ra")
    return image


def _background(card: Card, half: int) -> Image.Image:
    size = (card.width, card.height)
    if card.pictures:
        with Image.open(card.pictures[half]) as picture:
            return ImageEnhance.Brightness(ImageOps.fit(picture.convert("RGB"), size)).enhance(0.8)
    hue = hashlib.sha256(card.prompt.encode()).digest()[0] / 256
    light, dark = _colour(hue, 0.55, 0.42), _colour(hue + 0.06, 0.7, 0.16)
    slope = Image.linear_gradient("L").resize(size)
    return Image.composite(Image.new("RGB", size, dark), Image.new("RGB", size, light), slope)


def _frost(image: Image.Image, box: tuple[float, float, float, float], unit: int) -> None:
    """Make a pane of dark frosted glass, so that text can be read on any picture, even on one with text."""
    left, top, right, bottom = map(int, box)
    pane = (max(left, 0), max(top, 0), min(right, image.width), min(bottom, image.height))
    glass = image.crop(pane).filter(ImageFilter.BoxBlur(3 * unit))
    image.paste(ImageEnhance.Brightness(glass).enhance(0.45), pane[:2])


def _colour(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _fitted(prompt: str, name: str | None, width: int, height: int, unit: int) -> tuple[str, int]:
    """The prompt, wrapped, and the largest size of type that it fits in; its end is left out where none is."""
    for size in range(3 * unit, unit * 3 // 4, -max(1, unit // 4)):
        drawn, fitting = font(size, name), height // (size * 3 // 2)
        letter = drawn.getlength(prompt) / max(1, len(prompt))
        lines = textwrap.wrap(prompt, max(1, int(width / max(1, letter) * 0.95)))
        if len(lines) <= fitting and all(drawn.getlength(line) <= width for line in lines):
            return "\n".join(lines), size
    return "\n".join([*lines[: fitting - 1], "..."] if len(lines) > fitting else lines), size
