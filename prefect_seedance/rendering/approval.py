"""A person's yes to a plan: bound to its hash, good for one attempt, asked for above a price."""

from __future__ import annotations

from decimal import Decimal

from prefect_seedance.errors import NotApproved
from prefect_seedance.rendering.plan import Plan
from prefect_seedance.text import dollars


def needs_approval(plan: Plan, approve_above: Decimal | None, approved_hash: str | None) -> bool:
    """Whether a person has to approve *plan* before it may spend; raises `NotApproved` for the hash of another plan.

    A plan that has changed has another hash and is asked about again. An attempt moves the hash too, so that no
    approval is used twice.
    """
    if approved_hash is not None and approved_hash != plan.plan_hash:
        raise NotApproved(
            f"The plan has the hash {plan.plan_hash} and not {approved_hash}: something changed, or that approval was "
            f"used; nothing was submitted; look at the plan and render with --approve {plan.plan_hash}."
        )
    return approve_above is not None and plan.estimated_usd > approve_above and approved_hash is None


def not_approved(plan: Plan) -> NotApproved:
    """Nobody can be asked here."""
    return NotApproved(
        f"The plan costs {dollars(plan.estimated_usd)}, above what needs no approval; nothing was submitted; approve "
        f"it with --approve {plan.plan_hash}."
    )
