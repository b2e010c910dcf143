"""Requests rendered by the loop that production runs, without a storyboard around them."""

from __future__ import annotations

from decimal import Decimal

from prefect_seedance.generation.session import RenderSession
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.rules import History
from prefect_seedance.models import Request
from prefect_seedance.rendering.board_run import BoardRun
from prefect_seedance.rendering.plan import make_plan
from prefect_seedance.rendering.steps import DirectSteps, Steps
from prefect_seedance.storyboard.board import Board, BoardShot


def board_of(*requests: Request) -> Board:
    """A board whose shots are *requests*."""
    shots = tuple(
        BoardShot(
            id=f"shot-{number}",
            take=request.take,
            line=None,
            prompt=request.prompt,
            request=request,
            key=key_of(request),
            estimated_usd=Decimal("0.1"),
            continue_from=None,
            image=None,
            last_image=None,
        )
        for number, request in enumerate(requests, start=1)
    )
    return Board("Requests", shots, (), (), "requests")


async def run_of(session: RenderSession, board: Board, steps: Steps) -> BoardRun:
    """The run of *board* by *steps*, done."""
    account, retries = session.client.account, session.retry_failed
    planned = await make_plan(board, session.ledger, account=account, catalog=session.catalog, retry_failed=retries)
    run = BoardRun(board, planned, session, steps, _unheard)
    await run.render()
    return run


async def rendered(session: RenderSession, *requests: Request) -> BoardRun:
    """The run of a board of *requests*, done."""
    return await run_of(session, board_of(*requests), DirectSteps(session))


async def generate(session: RenderSession, request: Request) -> History:
    """The history of *request* after a board run of it alone; raises what stopped its shot."""
    run = await rendered(session, request)
    for error in run.errors.values():
        raise error
    return await session.ledger.load(key_of(request))


async def _unheard(line: str) -> None:
    """Nobody watches."""
