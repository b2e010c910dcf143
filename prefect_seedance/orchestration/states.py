"""How flow runs end: in Prefect's own states, which keep what a run made also where it failed."""

from __future__ import annotations

from typing import Any, TypeVar

from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.states import Completed, Failed
from pydantic import PrivateAttr

from prefect_seedance.errors import NotDone

R = TypeVar("R")


def final_state(result: R, message: str, *, failed: bool) -> State[R]:
    """The end of a run that made *result*; where it *failed*, whoever awaits its flow gets `NotDone` with that.

    Raises it where the flow has retries left: Prefect runs a flow again that raises, and not one that returns a state.
    """
    if not failed:
        return Completed(message=message, data=result)
    state: State[R] = Failed(cls=FailedState, message=message, data=result)
    if _will_be_tried_again():
        state.result()  # raises it
    return state


def _will_be_tried_again() -> bool:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return False
    return context.flow_run.run_count <= (context.flow_run.empirical_policy.retries or 0)


class FailedState(State[Any]):
    """A failed state with a result that is no exception, for which Prefect's own raises a `TypeError`."""

    _error: NotDone = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self._error = NotDone(
            f"{self.message}; `result` of this error says what became of each, and running it again pays for nothing "
            "that is there.",
            self.data,
        )

    async def aresult(self, raise_on_failure: bool = True, retry_result_failure: bool = True) -> Any:
        if raise_on_failure:
            raise self._error
        return await super().aresult(raise_on_failure=False, retry_result_failure=retry_result_failure)

    def result(self, raise_on_failure: bool = True, retry_result_failure: bool = True, **dispatch: Any) -> Any:
        """*dispatch* is Prefect's own word for whether it is to wait."""
        if raise_on_failure:
            raise self._error
        return super().result(raise_on_failure=False, retry_result_failure=retry_result_failure, **dispatch)
