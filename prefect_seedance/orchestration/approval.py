"""A person's yes to a plan: bound to its hash, good for one attempt, asked for above a price."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from prefect.context import FlowRunContext
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from pydantic import Field

from prefect_seedance.errors import NotApproved
from prefect_seedance.orchestration.markdown import plan_markdown
from prefect_seedance.rendering.plan import Planned

APPROVAL_SECONDS = 24 * 3600


class Approval(RunInput):
    """The form that a paused run shows."""

    approved: bool = Field(False, title="Approve", description="Spend what the plan says, once.")


async def approve_or_refuse(
    planned: Planned, approve_above: Decimal | None, approved_hash: str | None, money: Sequence[str] = ()
) -> None:
    """Return if *planned* may be spent; pause a deployed run until a person says so; else raise `NotApproved`.

    A plan that has changed has another hash and is asked about again. An attempt moves the hash too, so that no
    approval is used twice. *money* says what is left of the limits.
    """
    plan = planned.plan
    if approved_hash is not None and approved_hash != plan.plan_hash:
        raise NotApproved(
            f"The plan has the hash {plan.plan_hash} and not {approved_hash}: something changed, or that approval was "
            f"used; nothing was submitted; look at the plan and render with --approve {plan.plan_hash}."
        )
    if approve_above is None or plan.estimated_usd <= approve_above or approved_hash == plan.plan_hash:
        return
    if not _can_pause():
        raise NotApproved(
            f"The plan costs ${plan.estimated_usd:.2f}, above the ${approve_above:.2f} that need no approval; nothing "
            f"was submitted; approve it with --approve {plan.plan_hash}."
        )
    told = "\n".join([plan_markdown(planned), *(f"- {line}" for line in money)])
    form = Approval.with_initial_data(description=told, approved=False)
    pausing: Any = suspend_flow_run(wait_for_input=form, timeout=APPROVAL_SECONDS, key=f"plan-{plan.plan_hash}")
    answer: Approval = await pausing
    if not answer.approved:
        raise NotApproved(f"The plan for ${plan.estimated_usd:.2f} was declined; nothing was submitted.")


def _can_pause() -> bool:
    """Only the run of a deployment can: not a script, and not a flow that another flow calls."""
    context = FlowRunContext.get()
    return context is not None and context.flow_run is not None and context.flow_run.deployment_id is not None
