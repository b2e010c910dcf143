"""Reading what the API answers, leniently: the live answers differ from the documented ones.

Job states, output shapes and error bodies are those of Runpod's documentation (August 2026) and of published clients;
only what is sure is called sure.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from prefect_seedance.text import printable

Ended = Literal["completed", "failed", "cancelled"]
REASONS = ("error", "message", "detail", "title")
LINKS = ("video_url", "audio_url", "result", "url")
LARGEST_KEPT, LARGEST_OUTPUT, LONGEST_WORD = 64 * 1024, 32 * 1024, 2000
"""Characters of JSON in an answer, in its output and in each of the rest; an honest answer has some hundreds."""
LONGEST_LINK = 65_536
"""No longer one can be asked for."""
SHORTEST_KEY = 8
"""Characters; a shorter one, such as a pretend account may have, could be part of any word."""
SIGNED = re.compile(r"""(https?:[^\s"'?]+\?)[^\s"']+""")
"""A link whose end is a secret while it lives."""


@dataclass(frozen=True)
class Answer:
    """What the API says of a job. `ended` is None while it goes on."""

    job_id: str
    ended: Ended | None
    body: dict[str, Any]
    retry_after: float | None = None


def classify(word: object) -> Ended | None:
    """How a job has ended by its status word; None for words that mean it goes on, and for unknown ones."""
    match word.upper() if isinstance(word, str) else word:
        case "COMPLETED":
            return "completed"
        case "FAILED" | "TIMED_OUT":
            return "failed"
        case "CANCELLED":
            return "cancelled"
        case _:
            return None


def without_input(body: dict[str, Any]) -> dict[str, Any]:
    """An answer without what it echoes of the request: pictures' links are secrets while they live."""
    echoed = ("input", "webhook", "webhookV2", "s3Config")
    return {name: _shallow(value) for name, value in body.items() if name not in echoed}


def as_kept(body: dict[str, Any]) -> dict[str, Any]:
    """An answer for the records, each of which repeats it: without the input, and not whole where it is out of measure.

    What is left then still says how the job has ended and why, what it cost and where its clip is.
    """
    whole = without_input(body)
    if _size(whole) <= LARGEST_KEPT:
        return whole
    kept = {name: _short(whole[name]) for name in ("id", "status", "code", "cost", *REASONS) if name in whole}
    if "output" in whole:
        kept["output"] = _kept_output(whole)
    return kept


def _kept_output(body: dict[str, Any]) -> Any:
    output, link = body["output"], link_in(body, http=True)
    if _size(output) <= LARGEST_OUTPUT:
        return output
    links = [known for known in (link, link_in(body)) if known and len(known) <= LONGEST_LINK]
    if isinstance(output, dict):
        kept = {name: _short(output[name]) for name in ("status", "code", "cost", "reason", *REASONS) if name in output}
        return kept | {name: output[name] for name in LINKS if output.get(name) in links}
    if link is None:
        return _short(output)
    return link if links else "…"


def _short(value: Any) -> Any:
    """*value*, or both ends of its text, as a traceback says last what was wrong.

    A cost that is cut can't be read, and so is no "no cost".
    """
    if _size(value) <= LONGEST_WORD:
        return value
    text = value if isinstance(value, str) else json.dumps(value)
    return f"{text[: LONGEST_WORD // 2]}…{text[-LONGEST_WORD // 2 :]}"


def _size(value: Any) -> int:
    return len(json.dumps(value))


def _shallow(value: Any, levels: int = 20) -> Any:
    """*value* without what is nested deeper than any honest answer, which could not be written down."""
    if isinstance(value, dict):
        return {name: _shallow(inner, levels - 1) for name, inner in value.items()} if levels else "…"
    if isinstance(value, list):
        return [_shallow(inner, levels - 1) for inner in value] if levels else "…"
    return value


def link_in(body: dict[str, Any], *, http: bool = False) -> str | None:
    """The link in a final answer: `video_url`, `audio_url`, `result`, `url` or a bare string, only inside `output`.

    The documented keys are video_url for clips and audio_url for speech; live endpoints answer with the others too.
    https only, unless *http* (emulator).
    """
    output = body.get("output")
    found: list[Any] = [output] if isinstance(output, str) else []
    if isinstance(output, dict):
        found = [output.get(name) for name in LINKS]
    schemes = ("https://", "http://") if http else ("https://",)
    return next((link for link in found if isinstance(link, str) and link.startswith(schemes)), None)


def failure_of(body: dict[str, Any]) -> tuple[str, str]:
    """(kind, message) of a failed job: moderated input, moderated output, bad parameter, timeout or other."""
    message = message_of(body, None)
    lowered = json.dumps(without_input(body)).lower()
    if re.search(r"outputvideosensitive|outputaudiosensitive", lowered):
        return "moderated output", message
    if re.search(r"sensitivecontent|moderat|content policy|inappropriate|nsfw", lowered):
        return "moderated input", message
    if body.get("status") == "TIMED_OUT" or re.search(r"timed? ?out|executiontimeout", lowered):
        return "timeout", message
    if re.search(r"invalid|must be|\b400\b|unsupported", lowered):
        return "bad parameter", message
    return "other", message


def message_of(body: Any, response: httpx.Response | None) -> str:
    """The text of an error, however deep: a string, a JSON string (with words before it), or an object."""
    for _ in range(5):
        if isinstance(body, dict):
            code, said = body.get("code"), body.get("message")
            if isinstance(code, str) and isinstance(said, str):
                body = f"{code} {said}"
                break
            body = next((body[name] for name in (*REASONS, "output") if body.get(name)), "")
        elif isinstance(body, list):
            body = body[0] if body else ""
        elif isinstance(body, str) and (start := body.find("{")) >= 0:
            try:
                body = json.loads(body[start:])
            except (ValueError, RecursionError):
                break
        else:
            break
    text = " ".join(str(_shallow(body or "")).split())
    if not text and response is not None:
        page = response.content[:2000].decode(errors="replace")  # whatever charset it names: some raise
        text = " ".join(re.sub(r"<[^>]*>", " ", page).split())
    return text[:300] or "no reason given"


def what_came(content: bytes) -> str:
    """For a person, the beginning of an answer that names no job where it should: it may name one elsewhere."""
    body = _json(content)
    if isinstance(body, dict):
        text = json.dumps(without_input(body), ensure_ascii=False)
    else:
        text = content.decode(errors="replace")
    text = SIGNED.sub(r"\1…", text[:2000])
    if text.lstrip().startswith("<"):
        text = re.sub(r"<[^>]*>", " ", text)
    text = printable(" ".join(text.split()), 300)
    return f"; what came: {text}" if text else ""


def without_key(content: bytes, api_key: str) -> bytes:
    """A body as it may be repeated: without the key, however its JSON spells it, should a server send it back."""
    if len(api_key) < SHORTEST_KEY or (api_key.encode() not in content and b"\\" not in content):
        return content
    body = _json(content)
    text = content.decode(errors="replace") if body is None else json.dumps(_shallow(body), ensure_ascii=False)
    return hidden(text, api_key).encode(errors="surrogatepass")


def hidden(text: str, api_key: str) -> str:
    """*text* with an ellipsis in place of the key."""
    return text.replace(api_key, "…") if len(api_key) >= SHORTEST_KEY else text


def json_of(response: httpx.Response) -> Any:
    return _json(response.content)


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def retry_after(response: httpx.Response) -> float | None:
    """Seconds of a Retry-After header; dates are not used by this API and are ignored."""
    try:
        seconds = float(response.headers.get("Retry-After", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < 86400 else None


def continues(response: httpx.Response, have: int) -> bool:
    """Is this the rest of a file of which *have* bytes are there?"""
    return response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")


def strong_tag(response: httpx.Response) -> str | None:
    tag: str | None = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else None
