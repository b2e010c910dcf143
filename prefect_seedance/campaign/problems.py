"""What is wrong with the rows of a campaign: all of it in a file, the first hundred in words."""

from __future__ import annotations

from collections.abc import Sequence

from prefect_seedance.campaign.document import Campaign
from prefect_seedance.errors import BadInput
from prefect_seedance.models import Problem
from prefect_seedance.storage.store import Store

MOST_SHOWN = 100


async def write_problems(store: Store, campaign: Campaign, problems: Sequence[Problem]) -> str:
    """Write all *problems* into the store, and return where."""
    path = f"{campaign.folder}/problems.txt"
    await store.write(path, text_of(problems).encode(), "text/plain; charset=utf-8")
    return f"{store.url}/{path}"


def text_of(problems: Sequence[Problem]) -> str:
    return "".join(f"{problem}\n" for problem in problems)


def refusal_of(problems: Sequence[Problem], where: str) -> BadInput:
    """The first of *problems*, all of which are *where*, as an error; its last message says how many there are."""
    count = f"{len(problems)} problems" if len(problems) > 1 else "1 problem"
    they_are = "they are" if len(problems) > 1 else "it is"
    last = f"{count}, all of them in {where}; nothing is submitted until {they_are} mended."
    return BadInput(*(f"✗ {problem}" for problem in problems[:MOST_SHOWN]), last)
