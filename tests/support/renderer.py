"""A process to be killed: brings one clip home, and says at the end what it did. Also a store that can be looked into.

    python -m tests.support.renderer BASE_URL STORE PROMPT ["before create 2"]

With a moment it ends itself there by SIGKILL. Without one it prints every moment that it came by.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from prefect_seedance.budget.limits import Limits
from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.budget.run_budget import Priced, RunBudget
from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.catalog.loading import load_catalog
from prefect_seedance.catalog.pricing import upper
from prefect_seedance.errors import OverBudget
from prefect_seedance.generation.collect import collect
from prefect_seedance.generation.poll_times import Waiting
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.ledger.writer import this_writer
from prefect_seedance.models import Request
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.runpod.responses import Answer
from prefect_seedance.storage import open_store
from prefect_seedance.storage.store import Leftover, Store
from tests.support.generating import generate, rendered

T = TypeVar("T")
Moment = Callable[[str, str], Awaitable[None]]
"""What happens at a moment such as ("before create", its path). What it raises, the caller of the store sees."""

Rendering = Callable[[str, Store, str, "Killer"], Awaitable[dict[str, Any]]]

QUICK = Waiting(first=0.05, pause=0.05, longest=0.3, grace=1.0, deadline=60)
API_KEY = "key-of-the-tests"


def small(prompt: str, **changed: Any) -> Request:
    """The cheapest clip there is."""
    return Request(model="seedance-1-0-pro", prompt=prompt, size="480x864", duration=2, fps=24, **changed)


def accepted(prompt: str, age: float = 0) -> Record:
    """A job that is out, accepted *age* seconds ago."""
    now, request = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=age), small(prompt)
    return Record(
        key=key_of(request),
        number=2,
        step=Step.ACCEPTED,
        at=now,
        request=request,
        estimated_usd="0.05",
        attempt=1,
        claim_id="c",
        claimed_at=now,
        submit_timeout_seconds=90,
        writer=this_writer(),
        base_url="http://127.0.0.1/v2",
        account="a",
        job_id="j",
        accepted_at=now,
    )


class HookedStore(Store):
    """A store, with something else happening before and after what is asked of it."""

    def __init__(self, inner: Store, moment: Moment) -> None:
        self.url, self.public_base_url = inner.url, inner.public_base_url
        self.inner = inner
        self.moment = moment

    async def _asked(self, kind: str, path: str, work: Callable[[], Awaitable[T]]) -> T:
        await self.moment(f"before {kind}", path)
        answer = await work()
        await self.moment(f"after {kind}", path)
        return answer

    async def _create(self, path: str, content: bytes) -> None:
        await self._asked("create", path, lambda: self.inner._create(path, content))

    async def write(self, path: str, content: bytes, content_type: str | None = None) -> None:
        await self._asked("write", path, lambda: self.inner.write(path, content, content_type))

    async def read(self, path: str, most_bytes: int = -1) -> bytes:
        return await self._asked("read", path, lambda: self.inner.read(path, most_bytes))

    async def exists(self, path: str) -> bool:
        return await self._asked("exists", path, lambda: self.inner.exists(path))

    async def names(self, folder: str) -> list[str]:
        return await self._asked("names", folder, lambda: self.inner.names(folder))

    async def delete(self, path: str) -> None:
        await self._asked("delete", path, lambda: self.inner.delete(path))

    async def put(
        self, local: Path, path: str, content_type: str | None = None, *, on_turn: Callable[[], None] | None = None
    ) -> None:
        await self._asked("put", path, lambda: self.inner.put(local, path, content_type, on_turn=on_turn))

    async def fetch(self, path: str, local: Path) -> None:
        await self._asked("fetch", path, lambda: self.inner.fetch(path, local))

    async def copy(self, source: str, target: str) -> None:
        await self._asked("copy", source, lambda: self.inner.copy(source, target))

    async def link(self, path: str, seconds: int) -> str | None:
        return await self._asked("link", path, lambda: self.inner.link(path, seconds))

    async def age(self, path: str) -> float:
        return await self._asked("age", path, lambda: self.inner.age(path))

    def scratch(self) -> Path:
        return self.inner.scratch()

    async def leftovers(self) -> list[Leftover]:
        return await self.inner.leftovers()

    async def delete_folder(self, folder: str) -> None:
        await self._asked("delete", folder, lambda: self.inner.delete_folder(folder))

    async def aclose(self) -> None:
        await self.inner.aclose()


class HookedClient(RunpodClient):
    """A client, with something else happening before and after each call."""

    def __init__(self, account: Account, moment: Moment) -> None:
        super().__init__(account)
        self.moment = moment

    async def submit(self, slug: str, fields: dict[str, Any], **more: Any) -> Answer:
        await self.moment("before submit", slug)
        answer = await super().submit(slug, fields, **more)
        await self.moment("after submit", slug)
        return answer

    async def status(self, slug: str, job_id: str) -> Answer | None:
        await self.moment("before status", job_id)
        answer = await super().status(slug, job_id)
        await self.moment("after status", job_id)
        return answer

    async def download(self, link: str, path: Path, **within: Any) -> str:
        await self.moment("before download", link)
        sha256 = await super().download(link, path, **within)
        await self.moment("after download", link)
        return sha256


def age_the_notes(store: Store, seconds: float) -> int:
    """Let what a folder's runs have noted be *seconds* older by the store's clock; how many notes that were."""
    notes = list((Path(store.url) / "ledger-seen").glob("*.json"))
    for note in notes:
        then = note.stat().st_mtime - seconds - 0.1  # a file system dates coarsely
        os.utime(note, (then, then))
    return len(notes)


class Killer:
    """Counts the moments that it is told of, and ends the process without a word at one of them."""

    def __init__(self, die_at: str | None) -> None:
        self.die_at = die_at
        self.passed: Counter[str] = Counter()

    async def __call__(self, moment: str, _: str) -> None:
        self.passed[moment] += 1
        if f"{moment} {self.passed[moment]}" == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)


async def render(base_url: str, store: Store, prompt: str, killer: Killer) -> dict[str, Any]:
    """Bring the clip of *prompt* home and say what was seen on the way."""
    async with HookedClient(Account(API_KEY, base_url), killer) as client:
        run = RenderSession(client, Ledger(HookedStore(store, killer)), waiting=QUICK, catalog=load_catalog())
        history = await generate(run, small(prompt))
    assert history.last is not None
    return {"state": history.last.step, "number": history.last.number, "passed": killer.passed}


async def render_board(base_url: str, store: Store, prompt: str, killer: Killer) -> dict[str, Any]:
    """Bring all clips of a board home, as many at once as a run does."""
    async with HookedClient(Account(API_KEY, base_url), killer) as client:
        run = RenderSession(client, Ledger(HookedStore(store, killer)), waiting=QUICK)
        board = await rendered(run, *map(small, shots_of(prompt)))
    by_shot = sorted(board.records.values(), key=lambda record: record.request.prompt)
    return {"states": [record.step for record in by_shot]}


def shots_of(prompt: str) -> list[str]:
    """The prompts of a board of six."""
    return [f"{prompt}, shot {number}." for number in range(6)]


async def render_within(base_url: str, store: Store, prompt: str, killer: Killer) -> dict[str, Any]:
    """Bring a clip home if the day's limit, LIMIT in the environment, leaves room for it; as a run of a board does."""
    request, ledger = small(prompt), Ledger(HookedStore(store, killer))
    budget = budget_of(store, request, limits=Limits(per_day=Decimal(os.environ["LIMIT"])))
    try:
        await budget.reserve()
    except OverBudget:
        return {"state": "over budget"}
    async with HookedClient(Account(API_KEY, base_url), killer) as client:
        history = await generate(RenderSession(client, ledger, waiting=QUICK, budget=budget), request)
    return {"state": history.state, "notes": await budget.close()}


def budget_of(store: Store, *requests: Request, limits: Limits, lasts: float = 7200.0) -> RunBudget:
    """What a run of *requests* may spend under *limits*, with reservations that last so many seconds."""
    prices = {key_of(request): upper(request, KNOWN[request.model]) for request in requests}
    spend = MonthlySpend(store, reserved_for_seconds=lasts)
    return RunBudget(priced=Priced(prices, limits, spend, Ledger(store).load_whole, this_writer()))


async def bring_home(base_url: str, store: Store, _: str, killer: Killer) -> dict[str, Any]:
    """Collect once."""
    async with HookedClient(Account(API_KEY, base_url), killer) as client:
        run = RenderSession(client, Ledger(HookedStore(store, killer)), waiting=QUICK)
        collected = await collect(run, MonthlySpend(store))
    return {"errors": collected.errors}


async def main(base_url: str, store_url: str, prompt: str, die_at: str | None = None) -> None:
    store = open_store(store_url)
    try:
        sys.stdout.write(json.dumps(await render(base_url, store, prompt, Killer(die_at))) + "\n")
    finally:
        await store.aclose()


def stop(*_: object) -> None:
    """As Prefect does at SIGTERM: raise in the main thread, wherever that is."""
    raise SystemExit(143)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    asyncio.run(main(*sys.argv[1:]))
