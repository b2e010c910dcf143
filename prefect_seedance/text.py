"""Words for people: dollars, what a terminal can show, a place without its secrets."""

from __future__ import annotations

import re
from decimal import Decimal

CENT = Decimal("0.01")


def dollars(amount: Decimal) -> str:
    """For people: two decimals, or as many as the amount has."""
    places = max(2, -int(amount.normalize().as_tuple().exponent)) if amount else 2
    return f"${amount:,.{places}f}"


CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


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
