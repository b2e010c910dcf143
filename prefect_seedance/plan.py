"""What a render would do and cost, before it does anything: reads the ledger, writes nothing, asks the API nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from prefect_seedance import lifecycle
from prefect_seedance.catalog import KNOWN, Catalog
from prefect_seedance.errors import BadStore
from prefect_seedance.fingerprint import plan_hash_of
from prefect_seedance.ledger import Ledger
from prefect_seedance.lifecycle import History, Sighting, Step, remedy
from prefect_seedance.models import Action, LastFrame, Plan, PlannedShot, Problem
from prefect_seedance.pricing import dollars, upper
from prefect_seedance.store import Store
from prefect_seedance.storyboard import Board, BoardShot

READS_AT_ONCE = 64
ZERO = Decimal(0)


@dataclass(frozen=True)
class Planned:
    """A plan, with the histories it was made from."""

    plan: Plan
    histories: Mapping[str, History]
    to_pay: Mapping[str, Decimal]
    """The upper price of every key that would be submitted."""
    models: frozenset[str]
    """The endpoints that would be asked."""
    warnings: tuple[str, ...]


async def refuse_other_kind(store: Store, kind: str) -> None:
    """A store of the emulator takes no real run and the other way round; asked before anything is written."""
    known = await store.kind()
    if known not in (None, kind):
        raise BadStore(
            f"{store.url} belongs to {'an emulator' if known == 'pretend' else 'the real API'}, this run to "
            f"{'an emulator' if kind == 'pretend' else 'the real API'}; nothing was submitted; use another store."
        )


async def make_plan(board: Board, ledger: Ledger, *, catalog: Catalog = KNOWN, retry_failed: int = 0) -> Planned:
    """The plan of *board* over what *ledger* knows. Raises `LedgerUnreadable` rather than guess."""
    keys = sorted({shot.key for shot in board.shots if shot.key})
    at_once = asyncio.Semaphore(READS_AT_ONCE)

    async def load(key: str) -> History:
        async with at_once:
            return await ledger.load(key)

    histories = dict(zip(keys, await asyncio.gather(*map(load, keys)), strict=True))
    reachable = await ledger.store.link("stills/probe.png", 60) is not None
    shots: dict[str, PlannedShot] = {}
    problems = list(board.problems)
    for shot in _predecessors_first(board):
        planned = _plan_shot(shot, histories, shots, retry=retry_failed > 0, reachable=reachable)
        if planned.action == "blocked" and shot.request is not None and planned.problem:
            problems.append(Problem(file=board.file, line=shot.line, shot=shot.id, message=planned.problem))
        shots[shot.id] = planned
    in_order = tuple(shots[shot.id] for shot in board.shots)
    paid = {s.key: s.estimated_usd for s in in_order if s.key and s.estimated_usd}
    requests = {shot.key: shot.request for shot in board.shots if shot.key and shot.request}
    reused = {s.key for s in in_order if s.key and s.action == "reuse"}
    plan = Plan(
        title=board.title,
        plan_hash=plan_hash_of({key: _priced(price, histories[key].number) for key, price in paid.items()}),
        estimated_usd=sum(paid.values(), ZERO),
        reused_usd=sum((histories[key].spent_usd for key in reused), ZERO),
        shots=in_order,
        problems=tuple(problems),
    )
    to_pay = {key: upper(requests[key], catalog[requests[key].model]) for key in paid}
    warnings = (*map(str, board.warnings), *_chain_costs(board))
    models = frozenset(requests[key].model for key in to_pay)
    return Planned(plan, histories, to_pay, models, warnings)


def _priced(price: Decimal, number: int) -> str:
    """A key's part of the plan hash. An attempt moves the number: an approval is good for one."""
    return f"{price}@{number}" if number else str(price)


def _plan_shot(
    shot: BoardShot,
    histories: Mapping[str, History],
    earlier: Mapping[str, PlannedShot],
    *,
    retry: bool,
    reachable: bool,
) -> PlannedShot:
    def planned(action: Action, problem: str | None = None, price: Decimal = ZERO) -> PlannedShot:
        return PlannedShot(
            id=shot.id, key=shot.key, take=shot.take, action=action, estimated_usd=price, problem=problem
        )

    if shot.request is None or shot.key is None:
        return planned("blocked", "see the problems below")
    history = histories[shot.key]
    twin = next((other for other in earlier.values() if other.key == shot.key), None)
    if twin is not None:
        return planned(twin.action, twin.problem or f"the same request as {twin.id}: one clip, paid once")
    last = history.last
    match lifecycle.decide(history, last.claimed_at, Sighting(), retry=retry) if last else lifecycle.Claim():
        case lifecycle.Done():
            return planned("reuse")
        case lifecycle.Held(why):
            return planned("held", why)
        case lifecycle.Claim():
            pass
        case _:
            return planned("resume")
    before = earlier.get(shot.continue_from) if shot.continue_from else None
    if before and before.action in ("held", "blocked") and before.estimated_usd == 0:
        return planned(before.action, f"it continues from {before.id}, which is {before.action}")
    if not reachable and _needs_link(shot):
        return planned("blocked", _UNREACHABLE)
    if last is not None and last.step is Step.REFUSED and last.kind in ("request", "account"):
        return planned("held", remedy(last), shot.estimated_usd)
    return planned("generate", price=shot.estimated_usd)


_UNREACHABLE = (
    "its first frame has to be fetched by the provider, which can't reach a local store; use an s3:// store, or say "
    "where the folder is served from with --public-base-url"
)


def _needs_link(shot: BoardShot) -> bool:
    """Must the store itself serve a picture for this shot? An uncropped https picture is fetched where it is."""
    if shot.request is not None and isinstance(shot.request.image, LastFrame):
        return True
    pictures = (shot.image, shot.last_image)
    return any(picture is not None and (picture.public_url is None or picture.picture.crop) for picture in pictures)


def _predecessors_first(board: Board) -> list[BoardShot]:
    by_id = {shot.id: shot for shot in board.shots}
    done: dict[str, BoardShot] = {}
    for shot in board.shots:
        chain: list[BoardShot] = []
        step: BoardShot | None = shot
        while step is not None and step.id not in done and step not in chain:
            chain.append(step)
            step = by_id.get(step.continue_from) if step.continue_from else None
        done.update({link.id: link for link in reversed(chain)})
    return list(done.values())


def _chain_costs(board: Board) -> list[str]:
    """What changing the first shot of each chain would pay again down that chain."""
    followers: dict[str, list[BoardShot]] = {}
    for shot in board.shots:
        if shot.continue_from:
            followers.setdefault(shot.continue_from, []).append(shot)
    lines = []
    for shot in board.shots:
        if shot.continue_from is None and shot.id in followers:
            below = _below(shot.id, followers)
            cost = dollars(sum((s.estimated_usd for s in below), ZERO))
            lines.append(f"A change of {shot.id} also pays again for {', '.join(s.id for s in below)}: {cost}.")
    return lines


def _below(root: str, followers: Mapping[str, list[BoardShot]]) -> list[BoardShot]:
    found, queue = [], [root]
    while queue:
        for shot in followers.get(queue.pop(0), []):
            found.append(shot)
            queue.append(shot.id)
    return found
