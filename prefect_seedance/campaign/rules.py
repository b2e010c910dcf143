"""When a campaign is not to go on: too much refused or failed, or too dear a clip, over all that has ended so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal

from pydantic import Field

from prefect_seedance.campaign.results import ShardResult
from prefect_seedance.models import Frozen, Usd
from prefect_seedance.text import dollars

FAILED = ("failed", "lost", "unclear")


class StopRules(Frozen):
    """What stops new shards. Nothing does unless it is said. What may have been charged counts as cost."""

    failed_percent: float | None = Field(None, ge=0, le=100)
    refused_percent: float | None = Field(None, ge=0, le=100)
    usd_per_clip: Usd | None = Field(None, gt=0)

    def broken_by(self, results: Iterable[ShardResult]) -> str | None:
        """Why no new shard may begin after *results*; None where one may."""
        statuses: Counter[str] = Counter()
        usd = at_risk = Decimal(0)
        for result in results:
            statuses.update(result.statuses)
            usd += result.clips_usd + result.at_risk_usd
            at_risk += result.at_risk_usd
        ended, stored = statuses.total(), statuses["stored"]
        failed = sum(statuses[status] for status in FAILED)
        for count, word, most in (
            (failed, "failed", self.failed_percent),
            (statuses["refused"], "were refused", self.refused_percent),
        ):
            if most is not None and ended and count * 100 > most * ended:
                return f"{count} of {ended} clips {word}, more than the {most:g} % that were allowed"
        if self.usd_per_clip is not None and usd > self.usd_per_clip * stored:
            cost = f"it {'may have' if at_risk else 'has'} cost {dollars(usd)} for {stored} clips that are stored"
            return f"{cost}, more than the {dollars(self.usd_per_clip)} per clip that were allowed"
        return None
