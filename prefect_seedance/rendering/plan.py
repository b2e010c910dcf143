"""What a render would do and cost, before it does anything: reads the ledger, writes nothing, asks the API nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from pydantic import ConfigDict, Field

from prefect_seedance.catalog.alternatives import why_withdrawn
from prefect_seedance.catalog.endpoints import KNOWN, Catalog
from prefect_seedance.catalog.pricing import upper
from prefect_seedance.ledger import rules
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.ledger.rules import ClaimObservation, History
from prefect_seedance.models import Frozen, LastFrame, Problem, Usd
from prefect_seedance.rendering.remarks import chain_costs, longer_sounds, longer_speech
from prefect_seedance.runpod.account import Account
from prefect_seedance.storyboard.reading import Board, BoardShot

ZERO = Decimal(0)


@dataclass(frozen=True)
class Planned:
    """A plan, with the histories it was made from."""

    plan: Plan
    histories: Mapping[str, History]
    to_pay: Mapping[str, Decimal]
    """The upper price of every key that may be submitted in this run; no other can be."""
    models: frozenset[str]
    """The endpoints that may be asked to make something."""
    warnings: tuple[str, ...]

    def claimed_before(self, flow_run_id: str | None) -> list[Record]:
        """What a retried flow run has claimed already among the board's keys: the last record of each claim."""
        if flow_run_id is None:
            return []
        final: dict[str, Record] = {}
        for history in self.histories.values():
            final |= {r.claim_id: r for r in history.records if r.writer.flow_run_id == flow_run_id}
        return list(final.values())


async def make_plan(
    board: Board, ledger: Ledger, *, account: Account, catalog: Catalog = KNOWN, retry_failed: int = 0
) -> Planned:
    """The plan of *board* over what *ledger* knows, paid by *account*. Raises `LedgerUnreadable`, never guesses."""
    keys = sorted({shot.key for shot in board.asked if shot.key})
    histories = dict(zip(keys, await ledger.load_many(keys), strict=True))
    requests = {shot.key: shot.request for shot in board.asked if shot.key and shot.request}
    uppers = {key: upper(request, catalog[request.model]) for key, request in requests.items()}
    reachable = await ledger.store.link("stills/probe.png", 60) is not None
    shots: dict[str, PlannedShot] = {}
    first_of_key: dict[str, PlannedShot] = {}
    problems = list(board.problems)

    def plan(shot: BoardShot) -> PlannedShot:
        if (twin := first_of_key.get(shot.key or "")) is not None:
            planned = _as_its_twin(shot, twin)
        else:
            planned = _plan_shot(
                shot, histories, uppers, shots, catalog=catalog, retry=retry_failed > 0, reachable=reachable
            )
        if planned.action == "blocked" and shot.request is not None and planned.problem:
            problems.append(Problem(file=board.file, line=shot.line, shot=shot.id, message=planned.problem))
        if planned.key:
            first_of_key.setdefault(planned.key, planned)
        return planned

    for shot in _predecessors_first(board):
        shots[shot.id] = plan(shot)
    in_order = tuple(shots[shot.id] for shot in board.shots)
    remarks = longer_speech(board, histories)
    narrations = tuple(_with_remark(plan(spoken), remarks.get(spoken.id)) for spoken in board.narrations)
    paid = {s.key: s.estimated_usd for s in (*in_order, *narrations) if s.key and s.estimated_usd}
    reused = {s.key for s in (*in_order, *narrations) if s.key and s.action == "reuse"}
    made = Plan(
        title=board.title,
        plan_hash=plan_hash_of(
            {key: _priced(price, histories[key].number) for key, price in paid.items()},
            store=ledger.store.url,
            account=account.fingerprint,
        ),
        estimated_usd=sum(paid.values(), ZERO),
        reused_usd=sum((histories[key].spent_usd for key in reused), ZERO),
        shots=in_order,
        narrations=narrations,
        problems=tuple(problems),
    )
    to_pay = {key: uppers[key] for key in paid}
    warnings = (*map(str, board.warnings), *chain_costs(board), *longer_sounds(board))
    models = frozenset(requests[key].model for key in to_pay)
    return Planned(made, histories, to_pay, models, warnings)


def _priced(price: Decimal, number: int) -> str:
    """A key's part of the plan hash. An attempt moves the number: an approval is good for one."""
    return f"{price}@{number}" if number else str(price)


def _as_its_twin(shot: BoardShot, twin: PlannedShot) -> PlannedShot:
    why = twin.problem or f"the same request as {twin.id}: one clip, paid once"
    return twin.model_copy(update={"id": shot.id, "take": shot.take, "estimated_usd": ZERO, "problem": why})


def _with_remark(planned: PlannedShot, remark: str | None) -> PlannedShot:
    if remark is None or planned.why_not:
        return planned
    return planned.model_copy(update={"problem": "; ".join(filter(None, (planned.problem, remark)))})


def _plan_shot(
    shot: BoardShot,
    histories: Mapping[str, History],
    uppers: Mapping[str, Decimal],
    earlier: Mapping[str, PlannedShot],
    *,
    catalog: Catalog,
    retry: bool,
    reachable: bool,
) -> PlannedShot:
    def planned(action: Action, problem: str | None = None, price: Decimal = ZERO) -> PlannedShot:
        return PlannedShot(
            id=shot.id,
            key=shot.key,
            take=shot.take,
            action=action,
            estimated_usd=price,
            problem=problem,
            size=(shot.request and shot.request.size) or None,
        )

    if shot.request is None or shot.key is None:
        return planned("blocked", "see the problems below")
    history = histories[shot.key]
    last = history.last
    match rules.decide(history, last.claimed_at, ClaimObservation(), retry=retry) if last else rules.Claim():
        case rules.Done():
            return planned("reuse")
        case rules.Held(why):
            return planned("held", why)
        case rules.Claim():
            pass
        case rules.Fetch():
            return planned("resume")
        case rules.Poll() if not retry:
            return planned("resume")
        case rules.Poll():
            return planned("resume", "priced in case its job fails and is tried again", uppers[shot.key])
        case _:
            why = "another run is about to submit it; priced in case the API refuses that one"
            return planned("resume", why, uppers[shot.key])
    before = earlier.get(shot.continue_from) if shot.continue_from else None
    if before and before.action in ("held", "blocked"):
        return planned(before.action, f"it continues from {before.id}, which is {before.action}")
    if catalog[shot.request.model].withdrawn:
        return planned("blocked", why_withdrawn(shot.request.model, catalog))
    if not reachable and _needs_link(shot):
        return planned("blocked", _UNREACHABLE)
    if last is not None:
        because = f": {last.reason}" if last.reason else ""
        return planned(
            "retry", f"it has {_ENDED_AS[last.step]} before, which cost nothing{because}", shot.estimated_usd
        )
    return planned("generate", price=shot.estimated_usd)


_ENDED_AS = {Step.FAILED: "failed", Step.REFUSED: "been refused"}

_UNREACHABLE = (
    "its pictures have to be fetched by the provider, which can't reach a local store; use an s3:// store, or say "
    "where the folder is served from with --public-base-url"
)


def _needs_link(shot: BoardShot) -> bool:
    """Must the store itself serve a picture for this shot? An uncropped https picture is fetched where it is."""
    if shot.request is not None and isinstance(shot.request.image, LastFrame):
        return True
    pictures = (shot.image, shot.last_image, *shot.references)
    return any(picture is not None and (picture.public_url is None or picture.picture.crop) for picture in pictures)


def _predecessors_first(board: Board) -> list[BoardShot]:
    by_id = {shot.id: shot for shot in board.shots}
    done: dict[str, BoardShot] = {}
    for shot in board.shots:
        chain: dict[str, BoardShot] = {}  # in order, and quick to look into
        step: BoardShot | None = shot
        while step is not None and step.id not in done and step.id not in chain:
            chain[step.id] = step
            step = by_id.get(step.continue_from) if step.continue_from else None
        done.update(reversed(chain.items()))
    return list(done.values())


def plan_hash_of(paid: dict[str, str], *, store: str, account: str) -> str:
    """The hash of what a plan may pay, whole: its keys and their prices in any order, into which store, by whom."""
    text = json.dumps({"account": account, "paid": paid, "store": store}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"prefect-seedance plan\n{text}".encode()).hexdigest()


Action = Literal["reuse", "resume", "generate", "retry", "held", "blocked"]


class PlannedShot(Frozen):
    """What a render would do for one shot, and for how much."""

    id: str
    key: str | None
    take: int
    action: Action
    estimated_usd: Usd
    problem: str | None = None
    size: str | None = Field(None, description="The exact size, width x height, however it was asked for.")

    @property
    def why_not(self) -> str | None:
        """Why nothing is submitted for it; None where something may be."""
        return self.problem if self.action in ("held", "blocked") else None


class Plan(Frozen):
    """What a render would do, priced before anything is spent (schema `prefect-seedance/plan/1`)."""

    schema_: Literal["prefect-seedance/plan/1"] = Field("prefect-seedance/plan/1", alias="schema")
    title: str
    plan_hash: str
    estimated_usd: Usd
    reused_usd: Usd
    shots: tuple[PlannedShot, ...]
    narrations: tuple[PlannedShot, ...] = Field((), description="The texts that are spoken, each as SHOT.narration.")
    problems: tuple[Problem, ...] = ()

    @property
    def asked(self) -> tuple[PlannedShot, ...]:
        """All that is asked for: the shots, then what is spoken over them."""
        return (*self.shots, *self.narrations)

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)
