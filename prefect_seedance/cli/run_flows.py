"""Runs the flows for the command line, on the Prefect API that `prepare_prefect` has seen to."""

from __future__ import annotations

import functools
import logging
from importlib import import_module
from typing import Any

import httpx
from prefect import Flow
from prefect.client.schemas.objects import State
from prefect.exceptions import PrefectException
from pydantic import SecretStr

from prefect_seedance.campaign.prefect_made import CampaignMade
from prefect_seedance.cli import prefect_api, temporary_server, terminal
from prefect_seedance.cli.options import Money, Place
from prefect_seedance.cli.saved_blocks import load_credentials, load_store
from prefect_seedance.cli.stopping import run_stoppable
from prefect_seedance.errors import SeedanceError
from prefect_seedance.orchestration.blocks import RunpodCredentials, SpendingLimits, VideoStore
from prefect_seedance.orchestration.display import watching
from prefect_seedance.orchestration.logs import TERMINAL
from prefect_seedance.orchestration.production import Production
from prefect_seedance.production.manifest import Manifest


def render_with(name: str, parameters: dict[str, Any], place: Place, money: Money) -> Manifest:
    """Run the rendering flow *name* here and return its manifest, or raise what stopped it."""
    production: Production = _made_by(name, parameters | _blocks(place) | _money(money))
    return production.load()


def collect_with(place: Place) -> dict[str, Any]:
    """Run the flow `collect_finished` here; returns what `Collected.as_json` makes."""
    collected: dict[str, Any] = _made_by("collect_finished", _blocks(place))
    return collected


def process_inbox_with(place: Place, money: Money) -> dict[str, Any]:
    """Run the flow `process_inbox` here; returns the JSON of `inbox.report.Report`."""
    report: dict[str, Any] = _made_by("process_inbox", _blocks(place) | _money(money))
    return report


def campaign_with(parameters: dict[str, Any], place: Place, money: Money) -> CampaignMade:
    """Run the flow `campaign` here and return how it has ended, or raise what stopped it."""
    ended: CampaignMade = _made_by("campaign", parameters | _blocks(place) | _money(money))
    return ended


def _made_by(name: str, parameters: dict[str, Any]) -> Any:
    """What the flow *name* makes, even where the Prefect server has died before the flow ended; or what stopped it."""
    with watching() as made:
        try:
            return _run(name, parameters)
        except Exception as error:
            if not made:
                raise
            terminal.say(f"The Prefect server has not heard how this run ended ({type(error).__name__}); here it is.")
            return made[-1]


def _blocks(place: Place) -> dict[str, Any]:
    if place.account is not None:
        credentials = load_credentials(place.account)
    else:
        who = place.who()
        credentials = RunpodCredentials(api_key=SecretStr(who.api_key), base_url=who.base_url)
    if place.store.startswith("block:"):
        store = load_store(place.store, place.public_base_url)
    else:
        store = VideoStore(url=place.open().url, public_base_url=place.public_base_url)
    return {"credentials": credentials, "store": store}


def _money(money: Money) -> dict[str, Any]:
    limits = {"per_day": money.per_day, "per_month": money.per_month, "approve_above": money.approve_above}
    given = {name: float(usd) for name, usd in limits.items() if usd is not None}
    return {
        "limits": SpendingLimits(**given) if given else None,
        "budget": None if money.budget is None else float(money.budget),
        "approve": money.approve,
        "max_in_flight": money.max_in_flight,
        "retry_failed": money.retry_failed,
    }


def _run(name: str, parameters: dict[str, Any]) -> Any:
    _begin()
    try:
        state = run_stoppable(_state_of(_flow(name), parameters))
    except (PrefectException, httpx.HTTPError, RuntimeError) as error:
        raise SeedanceError(
            f"Prefect did not run this to its end ({type(error).__name__}: {error}); what was submitted is in the "
            f"ledger, so running it again pays nothing twice; see that the API at {prefect_api.url()} answers."
        ) from error
    answer = state.result(raise_on_failure=False)
    if isinstance(answer, BaseException):
        raise answer
    return answer


@functools.cache
def _begin() -> None:
    """Once per process: wait for the server that was started for it, and have progress printed."""
    temporary_server.wait_until_ready()
    logging.raiseExceptions = False  # lines that a dead server does not take: the run says once that it is gone
    TERMINAL.addHandler(terminal.Progress())
    TERMINAL.setLevel(logging.INFO)


async def _state_of(flow: Flow[..., Any], parameters: dict[str, Any]) -> State[Any]:
    running: Any = flow(**parameters, return_state=True)
    state: State[Any] = await running
    return state


def _flow(name: str) -> Flow[..., Any]:
    flow: Flow[..., Any] = getattr(import_module(f"prefect_seedance.flows.{name}"), name)
    return flow
