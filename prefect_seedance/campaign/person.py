"""Who is asked for a price and for a look at the canary, and what is said where nobody can be asked."""

from __future__ import annotations

from typing import Protocol

from prefect_seedance.campaign.document import Campaign
from prefect_seedance.campaign.survey import Survey
from prefect_seedance.errors import NotApproved
from prefect_seedance.text import dollars


class Person(Protocol):
    """Who is asked. Returns once somebody has agreed; raises `NotApproved` for a no, and where nobody can be asked."""

    async def plan_made(self, campaign: Campaign, found: Survey) -> None:
        """What is left of *campaign*, as it was *found*, before anything is spent."""

    async def approve(self, campaign: Campaign, found: Survey) -> None:
        """May *campaign* spend what was *found*?"""

    async def look(self, campaign: Campaign, page: str) -> None:
        """Are the clips of the canary, on *page*, as they should be?"""

    def budget_refused(self, why: str) -> None:
        """A budget refused the whole campaign; the error that follows says *why* too."""


class Nobody:
    """Nobody can be asked here: says how to agree."""

    async def plan_made(self, campaign: Campaign, found: Survey) -> None:
        """Shows nothing."""

    async def approve(self, campaign: Campaign, found: Survey) -> None:
        raise NotApproved(
            f"The campaign costs about {dollars(found.estimated_usd)}, above what needs no approval; nothing was "
            f"submitted; approve it with --approve {campaign.hash}."
        )

    async def look(self, campaign: Campaign, page: str) -> None:
        raise NotApproved(
            f"The canary ({campaign.canary} of {campaign.rows} rows) is done; nothing else was submitted; look at "
            f"{page}, and run the campaign again with --go-on to render the others."
        )

    def budget_refused(self, why: str) -> None:
        """Says nothing: the error that follows does."""
