"""The review page: one self-contained file that plays a production and says what became of every shot.

The page itself is `review.html` beside this file; here is what it is filled with. Whatever comes from a storyboard or
an error is escaped, and its Content-Security-Policy lets the browser run and load only what this module wrote.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from prefect_seedance.production.manifest import Manifest, NarrationResult, ShotResult, words_of
from prefect_seedance.text import dollars

DOWNLOADS = ("timeline.otio", "timeline.edl", "manifest.json")
"""The files of a production that the page offers beside the videos."""

REMEDIES = {
    "running": "The job goes on. This brings the clip home once it is done, and spends nothing:",
    "failed": "Rendering again leaves it as it is.",
    "refused": "Correct what the message names and render again; the stored shots are not paid again.",
    "unclear": "The job may have been accepted and charged, so it is never sent again by itself. List what is open with"
    " its number N, look into your Runpod account, then say what happened (--not-charged, --charged or --job-id ID):",
    "lost": "It may have been charged. A raised take asks, and pays, for it anew.",
    "blocked": "Nothing was submitted for this shot. Clear what stands in its way and render again.",
}

RETRY = "--retry-failed 1"
"""What the error of a job that may be tried again names; one that was refused for its prompt or picture never is."""


class Remedy(NamedTuple):
    """What a person can do about a shot that has no clip."""

    sentence: str
    commands: tuple[str, ...] = ()


def page(
    manifest: Manifest,
    *,
    names: Sequence[str],
    prompts: Mapping[str, str],
    videos: Mapping[str, str],
    posters: Mapping[str, str],
    film: str | None,
    downloads: Mapping[str, str],
    made: datetime,
    store_url: str,
    notes: Sequence[str],
    captions: str | None = None,
    film_seconds: float | None = None,
) -> str:
    """The review page of *manifest*. *names* stand beside its shots; videos and posters are addresses by name.

    *captions*, as WebVTT, are part of the page: no browser lets a page from disk read the file beside it.
    """
    shots = list(zip(names, manifest.shots, strict=True))
    addresses = [*videos.values(), *posters.values(), *([film] if film else []), *downloads.values()]
    return template().render(
        manifest=manifest,
        shots=shots,
        prompts=prompts,
        videos=videos,
        posters=posters,
        film=film,
        film_poster=next((posters[name] for name in names if name in posters), None),
        film_seconds=film_seconds or sum(shot.seconds or 0 for name, shot in shots if name in videos),
        captions=captions and f"data:text/vtt;base64,{base64.b64encode(captions.encode()).decode()}",
        missing=[shot for name, shot in shots if name not in videos],
        downloads=downloads,
        made=made.astimezone(UTC),
        links_until=links_until(addresses),
        brief_credentials=signed_briefly(addresses),
        sources=" ".join(_sources(addresses)),
        notes=notes,
        remedy_for=lambda shot: remedy_for(shot, store_url),
        cost_words=cost_words,
        words_of=words_of,
    )  # fmt: skip


def remedy_for(shot: ShotResult, store_url: str) -> Remedy | None:
    """What to do about *shot*; None where its clip is stored."""
    if shot.status == "stored":
        return None
    sentence = REMEDIES[shot.status]
    if shot.status == "failed" and RETRY in (shot.error or ""):
        sentence = f"Rendering again leaves it as it is; with {RETRY} it makes, and pays for, another attempt."
    store = shlex.quote(store_url)
    if shot.status == "running":
        return Remedy(sentence, (f"prefect-seedance collect --store {store}",))
    if shot.status == "unclear":
        return Remedy(sentence, (f"prefect-seedance settle --store {store}",))
    return Remedy(sentence)


def cost_words(shot: ShotResult | NarrationResult) -> str:
    """What a shot or its narration cost or may have cost, for people."""
    if shot.cost_usd is not None:
        when = "paid by this run" if shot.paid_this_run else "paid by an earlier run"
        return f"{dollars(shot.cost_usd)} {when}, estimated {dollars(shot.estimated_usd)}"
    estimate = dollars(shot.estimated_usd)
    match shot.status:
        case "refused" | "blocked":
            return f"nothing charged, estimated {estimate}"
        case "unclear" | "lost":
            return f"perhaps charged, estimated {estimate}"
        case "running":
            return f"known when it is done, estimated {estimate}"
        case "failed" | "stored":
            return f"none reported, estimated {estimate}"


def links_until(addresses: Iterable[str]) -> datetime | None:
    """When the first of the presigned links among *addresses* ends; None if none of them ever does."""
    ends = []
    for address in addresses:
        query = parse_qs(urlsplit(address).query)
        if "X-Amz-Date" in query and "X-Amz-Expires" in query:
            signed = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            ends.append(signed + timedelta(seconds=int(query["X-Amz-Expires"][0])))
    return min(ends, default=None)


def signed_briefly(addresses: Iterable[str]) -> bool:
    """Whether a link among *addresses* ends with the temporary credentials that signed it, nobody knows when."""
    return any("X-Amz-Security-Token=" in address for address in addresses)


def _sources(addresses: Iterable[str]) -> list[str]:
    """Where pictures and videos may come from: the hosts of the links; beside the page for relative ones."""
    hosts = set()
    for address in addresses:
        parts = urlsplit(address)
        hosts |= {f"{parts.scheme}://{parts.netloc}"} if parts.netloc else {"'self'", "file:"}
    return sorted(hosts)


@functools.cache
def template() -> Template:
    """The page without its production. To compile it takes a tenth of a second."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"dollars": dollars, "clock": _clock, "number": _number, "policy_hash": _policy_hash}
    environment.filters["compact_json"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.get_template("review.html")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _policy_hash(text: str) -> str:
    """Lets the browser run exactly *text* and nothing else, also from disk."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
