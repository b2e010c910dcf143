"""Letters for the emulator's cards: which font draws a text, and what is written where no font here has its script.

Pillow brings a font with Latin letters, which draws the same on every machine. For other scripts the machine is asked
for a font that it may have; what still can't be drawn is told in Latin letters.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Sequence

from PIL import ImageFont
from text_unidecode import unidecode

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

FONTS = (
    *("DejaVuSans.ttf", "NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "wqy-zenhei.ttc", "DroidSansFallbackFull.ttf"),
    *("NotoSansDevanagari-Regular.ttf", "NotoSansTamil-Regular.ttf", "NotoSansThai-Regular.ttf", "FreeSans.ttf"),
    *("NotoSansArabic-Regular.ttf", "NotoSansHebrew-Regular.ttf", "unifont.otf"),
    *("Arial Unicode.ttf", "PingFang.ttc", "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc"),
    *("msyh.ttc", "YuGothM.ttc", "malgun.ttf", "Nirmala.ttc", "segoeui.ttf", "arial.ttf"),
)
"""Names by which Pillow finds fonts where Linux, macOS and Windows keep them; the widest first."""

PUNCTUATION = str.maketrans("–—’“”", '--\'""')


@functools.lru_cache(maxsize=64)
def font(size: int, name: str | None = None) -> Font:
    """The font *name* of this machine, or without one the font that Pillow brings."""
    return ImageFont.load_default(size) if name is None else ImageFont.truetype(name, size)


def drawable(text: str, fonts: Sequence[str] = FONTS) -> tuple[str, str | None]:
    """*text* as it can be drawn here, and the name of the font that does it; None is Pillow's own."""
    folded = unicodedata.normalize("NFKD", text.replace("ß", "ss").translate(PUNCTUATION))
    plain = "".join(mark for mark in folded if not unicodedata.combining(mark))
    if plain.isascii():
        return plain, None
    letters = {mark for mark in unicodedata.normalize("NFC", text) if mark.isalpha()}
    found = {name: len(letters - _missing(name, letters)) for name in fonts if _is_here(name)}
    best = max(found, key=lambda name: found[name], default=None)
    if best is None or 2 * found[best] < len(letters):
        return unidecode(text).strip() or "?", None
    marks = [mark for mark in unicodedata.normalize("NFC", text) if mark.isspace() or mark.isprintable()]
    missing = _missing(best, set(marks))
    return "".join(unidecode(mark) if mark in missing else mark for mark in marks), best


@functools.cache
def _is_here(name: str) -> bool:
    try:
        font(20, name)
    except OSError:
        return False
    return True


def _missing(name: str, marks: set[str]) -> set[str]:
    """Which of *marks* the font draws as the box that stands for what it does not have."""
    drawn, box = font(20, name), _picture(font(20, name), "\U0010ffff")
    return {mark for mark in marks if not mark.isspace() and _picture(drawn, mark) == box}


def _picture(drawn: Font, mark: str) -> tuple[tuple[int, int], bytes]:
    mask = drawn.getmask(mark)
    return mask.size, bytes(mask)
