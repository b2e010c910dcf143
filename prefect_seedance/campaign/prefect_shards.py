"""The shards of a campaign as runs of a deployment of `campaign-shard`, on whatever work pool it has."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelled, Crashed

from prefect_seedance.campaign.document import Campaign
from prefect_seedance.campaign.runs import Away, Seen
from prefect_seedance.errors import BadInput, SeedanceError
from prefect_seedance.orchestration.blocks import RunpodCredentials, VideoStore
from prefect_seedance.rendering.options import Options
from prefect_seedance.text import printable

Reference = dict[str, Any]
"""The name of a saved block, as a parameter of a flow run."""
FLOW = "campaign-shard"
PAGE = 200
"""Flow runs in one answer of Prefect's API."""

STATES: Mapping[StateType, Literal["waiting", "starting", "running", "ended"]] = {
    StateType.SCHEDULED: "waiting",
    StateType.PAUSED: "waiting",
    StateType.PENDING: "starting",
    StateType.RUNNING: "running",
    StateType.CANCELLING: "running",
    StateType.COMPLETED: "ended",
    StateType.FAILED: "ended",
    StateType.CRASHED: "ended",
    StateType.CANCELLED: "ended",
}


async def deployment_of(name: str) -> UUID:
    """The deployment of `campaign-shard` of that name; `BadInput` for one that is not there or has no work pool."""
    full, shown = name if "/" in name else f"{FLOW}/{name}", printable(name)
    try:
        async with _asking() as client:
            deployment = await client.read_deployment_by_name(full)
    except ObjectNotFound:
        raise BadInput(
            f"There is no deployment {printable(full)}; nothing was submitted; deploy it as deployments/README.md "
            "says, or name none to render the shards in this process."
        ) from None
    except Away as away:
        raise SeedanceError(f"The Prefect server does not answer ({away}); nothing was submitted; try again.") from away
    if not full.startswith(f"{FLOW}/"):
        raise BadInput(f"The deployment {shown} is not one of {FLOW}; nothing was submitted; name one that is.")
    if deployment.work_pool_name is None and getattr(deployment.status, "value", None) != "READY":
        raise BadInput(
            f"The deployment {shown} has no work pool, so that nobody would render its shards; nothing was submitted; "
            "make the pool and deploy it again."
        )
    return deployment.id


def reference_to(block: RunpodCredentials | VideoStore) -> Reference:
    """How a shard's run is given a saved *block*: by its name, never what is in it. `BadInput` for one not saved."""
    name = block._block_document_name
    if name is None:
        what = "credentials are" if isinstance(block, RunpodCredentials) else "store is"
        raise BadInput(
            f"The {what} no saved block, and workers are told its name only, never a key; nothing was submitted; "
            f"save it with .save('NAME') and load it, or name no deployment to render the shards in this process."
        )
    return {"$ref": {"block_document_slug": f"{type(block).get_block_type_slug()}/{name}"}}


def tag_of(campaign: Campaign) -> str:
    return f"campaign:{campaign.id}"


class PrefectRuns:
    """Runs of one deployment of `campaign-shard`; see the protocol `Runs`."""

    def __init__(
        self, campaign: Campaign, deployment: UUID, credentials: Reference, store: Reference, *, at_once: int
    ) -> None:
        self._campaign = campaign
        self._deployment = deployment
        self._common = {"campaign": campaign.id, "at_once": at_once, "credentials": credentials, "store": store}

    async def of_campaign(self) -> Sequence[Seen]:
        found: list[Seen] = []
        wanted = FlowRunFilter(tags=FlowRunFilterTags(all_=[tag_of(self._campaign)]))
        async with _asking() as client:
            while True:
                runs = await client.read_flow_runs(
                    flow_run_filter=wanted, sort=FlowRunSort.ID_DESC, limit=PAGE, offset=len(found)
                )
                found += map(_seen, runs)
                if len(runs) < PAGE:
                    return [run for run in found if run.attempt]

    async def begin(self, shard: int, attempt: int, options: Options) -> Seen:
        limits = {name: None if usd is None else float(usd) for name, usd in options.limits}
        given = {
            **self._common,
            "shard": shard,
            "limits": limits if any(limits.values()) else None,
            "budget": None if options.budget is None else float(options.budget),
            "max_in_flight": options.max_in_flight,
            "retry_failed": options.retry_failed,
            "wait_minutes": options.wait_seconds / 60,
        }
        try:
            async with _asking() as client:
                run = await client.create_flow_run_from_deployment(
                    self._deployment,
                    parameters=given,
                    tags=[tag_of(self._campaign)],
                    idempotency_key=f"{self._campaign.id}:{shard}:{attempt}",
                )
        except ObjectNotFound:
            raise BadInput(
                "The deployment that renders the shards is gone; those that are out go on; deploy it again, and run "
                "the campaign again."
            ) from None
        return _seen(run)

    async def look(self, ids: Collection[str]) -> Sequence[Seen]:
        wanted = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(one) for one in ids]))
        async with _asking() as client:
            return [_seen(run) for run in await client.read_flow_runs(flow_run_filter=wanted, limit=PAGE)]

    async def is_dead(self, run: str, why: str) -> None:
        await self._set(run, Crashed(message=f"The campaign no longer waits for it: {why}."), force=True)

    async def call_back(self, ids: Collection[str]) -> None:
        for run in await self.look(ids):
            if run.state == "waiting":
                await self._set(run.id, Cancelled(message="The campaign no longer waits for it."), force=False)

    async def _set(self, run: str, state: Any, *, force: bool) -> None:
        with contextlib.suppress(ObjectNotFound):
            async with _asking() as client:
                await client.set_flow_run_state(UUID(run), state, force=force)


def _seen(run: FlowRun) -> Seen:
    """Attempt 0 is a run that somebody else began, without the key of an attempt."""
    _, _, numbers = (run.idempotency_key or "").partition(":")
    shard, _, attempt = numbers.partition(":")
    known = (int(shard), int(attempt)) if shard.isdecimal() and attempt.isdecimal() else (0, 0)
    state = run.state
    message = f"{state.name}: {state.message}" if state and state.message else (state.name or "") if state else ""
    places = (("the work pool", run.work_pool_name), ("queue", run.work_queue_name))
    place = ", ".join(f"{kind} {name}" for kind, name in places if name)
    return Seen(str(run.id), *known, STATES[state.type] if state else "waiting", message, place)


@asynccontextmanager
async def _asking() -> AsyncIterator[PrefectClient]:
    """Prefect's client; `Away` where the server can't be asked now, and one sentence for what it refuses."""
    try:
        async with get_client() as client:
            yield client
    except ObjectNotFound:
        raise
    except PrefectHTTPStatusError as error:
        status = error.response.status_code
        if status >= 500 or status in (408, 429):
            raise Away(f"HTTP {status}") from error
        said = printable(error.response.text, 200)
        raise SeedanceError(
            f"The Prefect server refused what the campaign asked of it (HTTP {status}: {said}); shards that are out go "
            "on, and nothing is paid twice; look at its address and its version, and run the campaign again."
        ) from error
    except Exception as error:  # whatever a connection can die of
        raise Away(type(error).__name__) from error
