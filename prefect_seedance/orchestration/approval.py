"""The form that asks a person to approve a plan, while the flow run is suspended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from prefect.context import FlowRunContext
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run
from pydantic import Field

from prefect_seedance.errors import NotApproved
from prefect_seedance.orchestration import events
from prefect_seedance.orchestration.markdown import plan_markdown
from prefect_seedance.rendering.approval import not_approved
from prefect_seedance.rendering.plan import Planned
from prefect_seedance.text import dollars

APPROVAL_SECONDS = 24 * 3600


class Approval(RunInput):
    """The form that a paused run shows."""

    approved: bool = Field(False, title="Approve", description="Spend what the plan says, once.")


async def ask(planned: Planned, money: Sequence[str] = ()) -> None:
    """Pause a deployed run until a person approves *planned*; raises `NotApproved` for a no, and for a run that can't.

    *money* says what is left of the limits.
    """
    plan = planned.plan
    if not can_pause():
        raise not_approved(plan)
    text = "\n".join([plan_markdown(planned), *(f"- {line}" for line in money)])
    if not await says_yes(text, key=f"plan-{plan.plan_hash}"):
        raise NotApproved(f"The plan for {dollars(plan.estimated_usd)} was declined; nothing was submitted.")


async def says_yes(text: str, *, key: str) -> bool:
    """Suspend this run until a person has answered a form with *text*; one that is resumed has the answer of *key*.

    A run that is retried asks anew: Prefect counts its tries, a resumed one as the same, and keeps their forms.
    """
    form = Approval.with_initial_data(description=text, approved=False)
    key = f"{key}-{flow_run.run_count}"
    pausing: Any = suspend_flow_run(wait_for_input=form, timeout=APPROVAL_SECONDS, key=key)
    answer: Approval = await pausing
    return answer.approved


@contextmanager
def telling() -> Iterator[None]:
    """Tell automations where a person's yes is missing."""
    try:
        yield
    except NotApproved as error:
        events.budget_refused(str(error))
        raise


def can_pause() -> bool:
    """Only the run of a deployment can: not a script, and not a run that is part of another flow's."""
    context = FlowRunContext.get()
    return is_deployed() and bool(context and context.flow_run and context.flow_run.parent_task_run_id is None)


def is_deployed() -> bool:
    """Whether this is the run of a deployment, which may be begun again under the same id."""
    context = FlowRunContext.get()
    return bool(context and context.flow_run and context.flow_run.deployment_id)
