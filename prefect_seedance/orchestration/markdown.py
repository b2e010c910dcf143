"""The plan and the results of a run in words, tables and pictures, as both of Prefect's UIs can show them.

The newer UI shows a table artifact as it is, without links, and the older one takes each of its cells for markdown. So
what has links or long sentences is markdown, and what a team charts is a table. Neither breaks the lines of a table
well: what is longer than a word stands below it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any

from prefect_seedance.production.manifest import Manifest, ShotResult
from prefect_seedance.rendering.plan import Planned
from prefect_seedance.storage.store import Store
from prefect_seedance.text import dollars

LINKS_LIVE_SECONDS = 7 * 24 * 3600
"""The longest that a presigned link to S3 may live."""

POSTERS_SHOWN = 24
POSTERS_ABREAST = 3


def plan_markdown(planned: Planned) -> str:
    """The plan as a table, with below it what is to be said of some shots; also for an approval form."""
    plan = planned.plan
    rows = [
        f"| {escaped(s.id)} | {s.action} | {dollars(s.estimated_usd)} | {s.size or ''} | {s.take} | {s.key or ''} |"
        for s in plan.asked
    ]
    reused = f" Clips worth {dollars(plan.reused_usd)} are there already." if plan.reused_usd else ""
    summary = f"**{escaped(plan.title)}** would spend **{dollars(plan.estimated_usd)}**."
    return "\n".join(
        [
            f"{summary}{reused} The hash of this plan is `{plan.plan_hash}`.",
            "",
            "| shot | action | estimate | size | take | key |",
            "| --- | --- | ---: | --- | ---: | --- |",
            *rows,
            "",
            *(
                f"- **{escaped(s.id)}**: {escaped(s.problem)}"
                for s in plan.asked
                if s.problem and s.action != "blocked"
            ),
        ]
    )


async def shots_markdown(manifest: Manifest, folder: str, store: Store) -> str:
    """What became of each shot, what needs attention, and a sheet of posters; all of it leads to the clips."""
    links = {path: await store.link(path, LINKS_LIVE_SECONDS) for shot in manifest.shots if (path := shot.clip)}
    rows = [
        f"| {_linked(escaped(shot.id), links.get(shot.clip or ''))} | {shot.status} "
        f"| {'' if shot.cost_usd is None else dollars(shot.cost_usd)} | {_when_paid(shot)} "
        f"| {'' if shot.seconds is None else f'{shot.seconds:.1f} s'} | {shot.key or ''} |"
        for shot in manifest.shots
    ]
    lines = [
        await _ways_in(manifest, folder, store),
        "",
        "| shot | status | cost | paid | length | key |",
        "| --- | --- | ---: | --- | ---: | --- |",
        *rows,
        "",
        *(f"- **{escaped(name)}** is {s.status}: {escaped(s.error)}" for name, s in manifest.asked if s.error),
        "",
        *await _contact_sheet(manifest.shots, links, store),
    ]
    return "\n".join(lines)


def _when_paid(shot: ShotResult) -> str:
    return "" if shot.cost_usd is None else "now" if shot.paid_this_run else "before"


def costs_markdown(manifest: Manifest, money: Sequence[str]) -> str:
    """What a run and its production have cost, and what is left of its limits."""
    return "\n".join(
        [
            "| | USD |",
            "| --- | ---: |",
            f"| Estimated before this run | {dollars(manifest.estimated_usd)} |",
            f"| Spent by this run | {dollars(manifest.spent_usd)} |",
            f"| Worth of the clips that were there already | {dollars(manifest.reused_usd)} |",
            f"| What all clips of this production have cost | {dollars(worth(manifest))} |",
            "",
            *(f"- {line}" for line in money),
        ]
    )


def worth(manifest: Manifest) -> Decimal:
    """What the clips of a production have cost, by whichever run; a clip that is shown twice was paid once."""
    costs = {one.key: one.cost_usd for _, one in manifest.asked if one.status == "stored" and one.cost_usd}
    return sum(costs.values(), Decimal(0))


async def _ways_in(manifest: Manifest, folder: str, store: Store) -> str:
    """Links to what people open first, or where it lies in a store that is not served."""
    ways = {"Review page": f"{folder}/index.html", "Film": manifest.film}
    found = {name: await store.link(path, LINKS_LIVE_SECONDS) for name, path in ways.items() if path}
    if None in found.values():
        return f"The production lies in `{store.url}/{folder}`; open its `index.html`."
    return " · ".join(_linked(name, link) for name, link in found.items())


async def _contact_sheet(shots: Sequence[ShotResult], links: Mapping[str, str | None], store: Store) -> list[str]:
    """A table of posters. Only pictures stand in it: the newer UI gives them no room beside text."""
    sheet: dict[str, str] = {}
    for shot in islice((shot for shot in shots if shot.sha256 and shot.clip), POSTERS_SHOWN):
        poster = await store.link(f"posters/{(shot.sha256 or '')[:16]}.jpg", LINKS_LIVE_SECONDS)
        link = links.get(shot.clip or "")
        if poster and link:
            picture = f'<img src="{html.escape(poster)}" width="200">'
            sheet[_linked(escaped(shot.id), link)] = f'<a href="{html.escape(link)}">{picture}</a>'
    lines: list[str] = []
    for first in range(0, len(sheet), POSTERS_ABREAST):
        row = [*islice(sheet.items(), first, first + POSTERS_ABREAST), *[("", "")] * POSTERS_ABREAST][:POSTERS_ABREAST]
        names, pictures = (f"| {' | '.join(cells)} |" for cells in zip(*row, strict=True))
        lines += [names, pictures] if lines else [names, "| --- " * POSTERS_ABREAST + "|", pictures]
    return lines


def _linked(words: str, link: str | None) -> str:
    return f"[{words}](<{link}>)" if link else words


def escaped(text: str) -> str:
    """Text of a storyboard, which may come from a stranger, as plain words inside markdown."""
    return re.sub(r"([\\|<>\[\]()*_`!#~&])", r"\\\1", " ".join(text.split()))


def inert(value: Any) -> Any:
    """Text of a stranger for a cell of a table, which may or may not be taken for markdown: nothing in it is active."""
    return re.sub(r"([<\]])", "\\1\u200b", value) if isinstance(value, str) else value
