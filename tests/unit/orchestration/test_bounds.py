"""What the command line takes, its flows take; what it refuses, they refuse."""

from __future__ import annotations

from typing import Any

import pytest
from prefect import Flow
from prefect.exceptions import ParameterTypeError
from pydantic import SecretStr

from prefect_seedance import RunpodCredentials, VideoStore, image_sequence_animation, process_inbox, storyboard_to_shots
from prefect_seedance.cli.options import Money
from prefect_seedance.flows.campaign import campaign
from prefect_seedance.rendering.options import MOST_IN_FLIGHT, MOST_RETRIES

FLOWS: list[Flow[..., Any]] = [storyboard_to_shots, image_sequence_animation, process_inbox, campaign]
COMMON = {"storyboard": "board.yaml", "table": "rows.csv", "images": "frames", "prompt": "Gulls."}


def validated(flow: Flow[..., Any], **chosen: Any) -> dict[str, Any]:
    credentials = RunpodCredentials(api_key=SecretStr("k"), base_url="http://127.0.0.1:9/v2")
    given = COMMON | {"credentials": credentials, "store": VideoStore(url="/nowhere")} | chosen
    return flow.validate_parameters(
        {name: value for name, value in given.items() if name in flow.parameters.properties}
    )


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
@pytest.mark.parametrize("chosen", [{"budget": 0}, {"retry_failed": MOST_RETRIES}, {"max_in_flight": MOST_IN_FLIGHT}])
def test_a_flow_takes_what_the_command_line_takes(flow: Flow[..., Any], chosen: dict[str, Any]) -> None:
    Money(**chosen).options()
    validated(flow, **chosen)


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
@pytest.mark.parametrize(
    "chosen",
    [{"budget": -1}, {"retry_failed": MOST_RETRIES + 1}, {"max_in_flight": MOST_IN_FLIGHT + 1}, {"max_in_flight": 0}],
)
def test_a_flow_refuses_what_the_command_line_refuses(flow: Flow[..., Any], chosen: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(chosen))):
        Money(**chosen).options()
    with pytest.raises(ParameterTypeError):
        validated(flow, **chosen)
