"""What is left of a campaign and what it costs: the plan of each shard that has no results yet. Writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable
from dataclasses import dataclass, field
from decimal import Decimal

from prefect_seedance.catalog.endpoints import Catalog
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.models import Problem
from prefect_seedance.rendering.plan import Action, Planned, make_plan
from prefect_seedance.runpod.account import Account
from prefect_seedance.storyboard.board import Board

ZERO = Decimal(0)


@dataclass
class Survey:
    """The plans of several shards together. A clip that several of them ask for counts once."""

    left: list[int] = field(default_factory=list)
    """The numbers of the shards."""
    shares: dict[int, Decimal] = field(default_factory=dict)
    """The most that each of them may cost, whatever its siblings do."""
    actions: dict[str, Action] = field(default_factory=dict)
    """What will be done for each key: generated, reused, resumed …"""
    problems: list[Problem] = field(default_factory=list)
    paid: dict[str, Decimal] = field(default_factory=dict)
    uppers: dict[str, Decimal] = field(default_factory=dict)
    reused: dict[str, Decimal] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """How many clips each action is for; one that several rows ask for counts once."""
        return dict(Counter(self.actions.values()))

    @property
    def estimated_usd(self) -> Decimal:
        return sum(self.paid.values(), ZERO)

    @property
    def upper_usd(self) -> Decimal:
        """The most that what is left may cost: what a budget must have room for."""
        return sum(self.uppers.values(), ZERO)

    @property
    def reused_usd(self) -> Decimal:
        """What the clips that are there already had cost."""
        return sum(self.reused.values(), ZERO)

    def add(self, number: int, planned: Planned) -> None:
        """Count the plan of shard *number*."""
        self.left.append(number)
        self.shares[number] = sum(planned.to_pay.values(), ZERO)
        self.problems += planned.plan.problems
        for shot in planned.plan.asked:
            if not shot.key:
                continue
            self.actions.setdefault(shot.key, shot.action)
            if shot.estimated_usd:
                self.paid.setdefault(shot.key, shot.estimated_usd)
            if shot.action == "reuse":
                self.reused[shot.key] = planned.histories[shot.key].spent_usd
        self.uppers |= planned.to_pay


async def survey(
    boards: AsyncIterable[tuple[int, Board]], ledger: Ledger, account: Account, catalog: Catalog, retry_failed: int = 0
) -> Survey:
    """The plans of the shards whose *boards* come by number, one in memory at a time."""
    found = Survey()
    async for number, board in boards:
        planned = await make_plan(board, ledger, account=account, catalog=catalog, retry_failed=retry_failed)
        found.add(number, planned)
    return found
