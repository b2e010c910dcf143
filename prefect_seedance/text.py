"""Words for people: dollars, what a terminal can show, a place without its secrets, what can name a file."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from decimal import Decimal

CENT = Decimal("0.01")


def dollars(amount: Decimal | float) -> str:
    """For people: two decimals, or as many as the amount has; a float, as JSON has it, is read to its sixth."""
    exact = amount if isinstance(amount, Decimal) else Decimal(str(round(amount, 6)))
    places = max(2, -int(exact.normalize().as_tuple().exponent)) if exact else 2
    return f"${exact:,.{places}f}"


CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]")
"""Marks without width that are neither format characters nor blanks."""


def printable(text: object, longest: int = 80) -> str:
    """*text* for a message: short, on one line, and without anything that a terminal would obey."""
    clean = CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text))
    return clean if len(clean) <= longest else f"{clean[: longest - 1]}…"


def harmless(text: object) -> str:
    """*text* as long as it is, without anything that a terminal would obey; its further lines are set in.

    So that no line of a prompt or of an answer can pass for one of ours.
    """
    return "\n    ".join(CONTROL.sub("\N{REPLACEMENT CHARACTER}", line) for line in _lines(str(text)))


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\t", " ").split("\n")


def without_credentials(location: str) -> str:
    """*location* for people and records: a link without the credentials, tokens and signatures that links carry."""
    if not location.lower().startswith(("http://", "https://")):
        return location
    return re.sub(r"(?<=//)[^/]*@", "", re.split(r"[?#]", location, maxsplit=1)[0])


def folded(text: str) -> str:
    """*text* in the one form of all its spellings: without case, width, composition, unseen marks and spare blanks."""
    together = _taken_apart(text)
    for _ in range(2):  # some letters fold only once they were taken apart
        together = unicodedata.normalize("NFKC", together).casefold()
    seen = (mark for mark in UNSEEN.sub("", together) if unicodedata.category(mark) != "Cf")
    return " ".join("".join(seen).split())


def _taken_apart(text: str) -> str:
    return unicodedata.normalize("NFKD", UNSEEN.sub("", text).casefold())


def file_words(text: str) -> str:
    """The letters and digits of *text* in any script, small and joined by dashes; nothing where it has none.

    All spellings of one text give the same, whatever their case, composition and width, and no mark that steers the
    direction of writing, joins letters or has no width is left. Latin letters lose their accents, as they always did.
    """
    if text.isascii():
        return "-".join(re.findall("[a-z0-9]+", text.lower()))
    apart = _taken_apart(text)
    if not any(mark.isalnum() and not mark.isascii() for mark in apart):
        return "-".join(re.findall("[a-z0-9]+", apart.encode("ascii", "ignore").decode()))
    words = "".join(mark if unicodedata.category(mark)[0] in "LMN" else " " for mark in folded(text)).split()
    return unicodedata.normalize("NFC", "-".join(filter(None, map(_from_first_letter, words))))


def _from_first_letter(word: str) -> str:
    """*word* without marks that have no letter to stand on."""
    return next((word[place:] for place, mark in enumerate(word) if unicodedata.category(mark)[0] != "M"), "")


LONGEST_SLUG = 48
LONGEST_BYTES = 120
"""The shortest limit among the file systems that people use is 143 bytes; place and ending are added to it."""
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
"""Windows opens a device in the place of a folder of this name."""


def slug(text: str) -> str:
    """A safe, short, never empty name for a file or folder: "Über den Wolken!" becomes uber-den-wolken, "灯塔" stays.

    One text has one name however it is spelled. Where a name is cut or can't be had, a piece of a hash keeps apart what
    would otherwise become one.
    """
    words = file_words(text)
    if words and words not in RESERVED and _fits(words, 0):
        return words
    digest = hashlib.sha256((words if words and not text.isascii() else text).encode()).hexdigest()[:6]
    kept = words[: LONGEST_SLUG - 7]
    while not _fits(kept, 7):
        kept = kept[:-1]
    return f"{kept.strip('-') or 'untitled'}-{digest}"


def _fits(name: str, spare: int) -> bool:
    return len(name) <= LONGEST_SLUG - spare and len(name.encode()) <= LONGEST_BYTES - spare
