"""The texts of a storyboard: prompts with their variables and style, titles, and ids that become file names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from prefect_seedance.text import UNSEEN, file_words, printable

LONGEST_PROMPT = 20_000
LONGEST_FILLED = 100_000
LONGEST_TITLE = 200
LONGEST_ID, LONGEST_ID_BYTES = 80, 240  # as part of a file name, which has 255 bytes
VARIABLE = re.compile(r"\{(\w+)\}")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
# ByteDance's text commands, which can change the length and so the bill, searched for in `_plain` text. Two dashes are
# one beside any letter or digit. One long dash, or a pair as in Chinese prose, is one only where a command follows.
COMMANDS = "rs|rt|dur|fps|fs|seed|cf|wm|ratio|resolution|duration|frames|camerafixed|watermark"
FLAG = re.compile(
    rf"""
    (?<![-—])(?=—*-)[-—]{{2,}}\w+ | (?<![-—])[-—]{{2,}}\s*(?:{COMMANDS})(?![^\W\d_]) | (?<=\w)(?=—*-)[-—]{{2,}}
    | (?<!—)——+[a-z0-9]+ | (?<=[a-z0-9])——+
    | (?<!\S)—(?:{COMMANDS}|\d+p)\b | (?<!\S)—\s*(?:{COMMANDS})\s?[=:]?\s?\d
    """,
    re.IGNORECASE | re.VERBOSE,
)
JOINERS = dict.fromkeys(map(ord, "\u200c\u200d\u00b7\u30fb\u2019\u05f3\u05f4"))
"""What stands inside words of some scripts: joiners, middle dots, the apostrophe, geresh and gershayim."""
LONG_DASHES = dict.fromkeys(map(ord, "–―⸺⸻─━"), "—")
SHORT_DASHES = dict.fromkeys(map(ord, "−⁃˗"), "-")


def filled(text: str, variables: Mapping[str, str]) -> str:
    """*text* with values in the place of {names}. Values are not searched for further names.

    Breaks off once it is far too long for any use: ten names and ten long values must not make gigabytes.
    """
    pieces = VARIABLE.split(text)  # text and names by turns
    length = 0
    for place in range(1, len(pieces), 2):
        pieces[place] = variables.get(pieces[place], f"{{{pieces[place]}}}")
        length += len(pieces[place])
        if length > LONGEST_FILLED:
            return "".join(pieces[:place])[:LONGEST_FILLED] + pieces[place][:LONGEST_FILLED]
    return "".join(pieces)


def unset(text: str, variables: Mapping[str, str]) -> list[str]:
    """The {names} in *text* that have no value; the first ten, which are enough for a message."""
    return [name for name in dict.fromkeys(VARIABLE.findall(text)) if name not in variables][:10]


def joined(prompt: str, style: str) -> str:
    """The prompt that is sent: the text of the shot, a space, the style. It is part of the key."""
    return f"{prompt.strip()} {style.strip()}".strip()


def title_of(text: str, variables: Mapping[str, str]) -> str:
    """The title as it is shown: filled, on one line."""
    return " ".join(filled(text, variables).split())


def text_problem(text: str, name: str) -> str | None:
    """Why *text*, with its variables filled, can't be sent as the prompt or style that it is, and the remedy."""
    if len(text) > LONGEST_PROMPT:
        return f"the {name} has {len(text):,} characters; the most is {LONGEST_PROMPT:,}, so shorten it"
    if CONTROL.search(text):
        return f"the {name} holds a control character; write plain text"
    if flag := FLAG.search(_plain(text)):
        dashes = "--" if "-" in flag[0] else "the dash"
        shown = printable(flag[0])
        return f"`{shown}` in the {name} can change the bill; use the fields, or write it without {dashes}"
    return None


def _plain(text: str) -> str:
    """*text* as a lenient reader may see it: without what has no width, and with dashes of two kinds only."""
    seen = (mark for mark in unicodedata.normalize("NFKC", text) if unicodedata.category(mark) != "Cf")
    plain = UNSEEN.sub("", "".join(seen)).translate(LONG_DASHES | SHORT_DASHES)
    return "".join("-" if mark != "—" and unicodedata.category(mark) == "Pd" else mark for mark in plain)


def id_problem(name: str) -> str | None:
    """Why *name* can't be the id of a shot, and the remedy."""
    if not name:
        return "the id is empty; give the shot a name of its own"
    if len(name) > LONGEST_ID or len(name.encode()) > LONGEST_ID_BYTES:
        return f"the id `{printable(name, 30)}` is too long for a file name; shorten it to {LONGEST_ID} characters"
    if name.replace("-", "").replace("_", "").isalnum():
        return None
    seen = name.translate(JOINERS)
    if seen and all(_is_letter(mark) or mark in " -_." for mark in seen) and not {seen[0], seen[-1]} & {" ", "."}:
        return None
    return (
        f"the id `{printable(name)}` can't be a file name; use letters, digits, and inside it spaces, dashes and dots"
    )


def file_name(name: str) -> str:
    """What is left of an id in the name of a file: equal for "Dusk 1" and "dusk-1"."""
    return file_words(name) or name


def _is_letter(mark: str) -> bool:
    return unicodedata.category(mark)[0] in "LMN"  # M: the vowel signs of many scripts
