"""Which of the names that we know somebody meant by one that we don't."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from itertools import islice

NEAR = 0.75
"""How much of two words must agree: szie is size, but notes is not shots and transition is not duration."""

MEANT = {
    **dict.fromkeys(("seconds", "secs", "length", "durationseconds", "durationsec", "durations"), "duration"),
    **dict.fromkeys(("resolution", "dimensions"), "size"),
    "ratio": "aspect_ratio",
    **dict.fromkeys(
        ("seed", "negativeprompt", "generateaudio", "saveaudio", "bgm", "draft", "camerafixed", "promptextend"),
        "inputs",
    ),
    **dict.fromkeys(("framerate", "framespersecond"), "fps"),
    **dict.fromkeys(("firstframe", "startframe", "startimage", "firstimage", "imageurl"), "image"),
    **dict.fromkeys(("lastframe", "endframe", "endimage"), "last_image"),
}
"""What others call our fields. Taken for a remark, one of them would pay for another clip than was meant."""

OF_THEIR_OWN = ("narration", "narrator")
"""Near to one another, and yet no slip of the pen where the other one is known."""
FOR_PEOPLE = ("notes", "dialogue", "camera", "transition")
"""Fields that ask for nothing: one of them with a further word, such as dialogue_en, is another remark and no slip."""
MOST_NAMES = 200
"""Names that one word is compared with."""
MOST_PAIRS = 2_000
"""Words of one storyboard times the names that each is compared with: as many take a second; nobody errs so often."""
PARTS = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z])")


class Hints:
    """`near` for all of a storyboard: once for each word, and for no more of them than can be compared in a moment."""

    def __init__(self) -> None:
        self._left = MOST_PAIRS
        self._told: dict[tuple[str, ...], str] = {}

    def near(self, word: str, known: Collection[str]) -> str:
        asked = (word, *islice(known, MOST_NAMES))
        if asked not in self._told:
            if len(asked) > self._left:
                return ""
            self._left -= len(asked)
            self._told[asked] = near(word, known)
        return self._told[asked]


def near(word: str, known: Collection[str]) -> str:
    """Which of the *known* names was meant; nothing where none comes near."""
    some = list(islice(known, MOST_NAMES))
    found = [name for name in some if plain(name) == plain(word)]
    found += [field for field in (MEANT.get(plain(word)),) if field in some]
    if plain(word) not in OF_THEIR_OWN:
        close = difflib.get_close_matches(word[:80].casefold(), some, 1, NEAR)
        parts = [part.casefold() for part in PARTS.split(word[:80])]
        found += [name for name in close if name not in FOR_PEOPLE or name not in parts]
    return f"; did you mean `{found[0]}`?" if found else ""


def plain(name: str) -> str:
    """*name* without what people part words with: `Aspect Ratio`, `aspect_ratio` and `aspectRatio` are one."""
    return "".join(mark for mark in name[:80].casefold() if mark.isalnum())
