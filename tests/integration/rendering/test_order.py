"""Finished jobs go before new submits, and a shot's place in flight is for the next one once its download has begun."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from prefect_seedance.generation.session import RenderSession
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Record
from prefect_seedance.rendering.steps import DirectSteps
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.runpod.responses import Answer
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator
from tests.support.generating import board_of, rendered, run_of
from tests.support.renderer import API_KEY, QUICK, small
from tests.support.web_host import Host

Turn = Callable[[list[str]], Awaitable[None]]


class Ordered(RunpodClient):
    """Writes down which shot is submitted and whose download begins, and waits in between."""

    def __init__(self, account: Account, before_turn: Turn, after_turn: Turn) -> None:
        super().__init__(account)
        self.seen: list[str] = []
        self._before, self._after = before_turn, after_turn

    async def submit(self, slug: str, fields: dict[str, Any], **more: Any) -> Answer:
        self.seen.append("submit")
        return await super().submit(slug, fields, **more)

    async def download(self, link: str, path: Path, *, on_begin: Callable[[], None], **more: Any) -> str:  # type: ignore[override]
        first = "download" not in self.seen
        if first:
            await self._before(self.seen)
        self.seen.append("download")
        on_begin()
        if first:
            await self._after(self.seen)
        return await super().download(link, path, **more)


async def at_once(_: list[str]) -> None:
    """Waits for nothing."""


async def until_submitted(seen: list[str], times: int) -> None:
    async with asyncio.timeout(30):
        while seen.count("submit") < times:
            await asyncio.sleep(0.01)


def session_of(client: RunpodClient, store: Store, places: int) -> RenderSession:
    return RenderSession(client, Ledger(store), waiting=QUICK, max_in_flight=places)


async def test_the_next_shot_is_submitted_while_a_clip_is_on_its_way(
    emulator: RunningEmulator, store: Store, prompt: str
) -> None:
    async with Ordered(Account(API_KEY, emulator.base_url), at_once, lambda seen: until_submitted(seen, 2)) as client:
        run = await rendered(session_of(client, store, 1), small(f"{prompt} 1"), small(f"{prompt} 2"))
    assert [result.status for result in run.results()] == ["stored"] * 2
    assert client.seen == ["submit", "download", "submit", "download"]


async def test_no_shot_is_submitted_while_a_finished_one_waits_for_its_download(
    emulator: RunningEmulator, store: Store, prompt: str
) -> None:
    """Neither in its place, nor in that of a shot that has failed meanwhile."""
    emulator.fault("run", "moderated", prompt=f"{prompt} 2")
    one_waits = asyncio.Event()

    class SecondFailsThen(DirectSteps):
        async def wait(self, shot: str, record: Record) -> Record:
            if shot == "shot-2":
                await one_waits.wait()
            return await super().wait(shot, record)

    async def until_the_second_has_failed(_: list[str]) -> None:
        one_waits.set()
        await asyncio.sleep(1.0)  # time enough for a third to come too early

    async with Ordered(Account(API_KEY, emulator.base_url), until_the_second_has_failed, at_once) as client:
        session, board = session_of(client, store, 2), board_of(*(small(f"{prompt} {n}") for n in (1, 2, 3)))
        run = await run_of(session, board, SecondFailsThen(session))
    assert [result.status for result in run.results()] == ["stored", "failed", "stored"]
    assert client.seen == ["submit", "submit", "download", "submit", "download"]


async def test_neither_a_failed_job_nor_a_clip_that_can_not_be_fetched_keeps_its_place(
    emulator: RunningEmulator, store: Store, prompt: str
) -> None:
    emulator.fault("media", "gone", times=100, prompt=f"{prompt} 1")
    emulator.fault("run", "moderated", prompt=f"{prompt} 2")
    async with RunpodClient(Account(API_KEY, emulator.base_url)) as client:
        session = session_of(client, store, 1)
        async with asyncio.timeout(60):
            run = await rendered(session, *(small(f"{prompt} {n}") for n in (1, 2, 3)))
    assert [result.status for result in run.results()] == ["running", "failed", "stored"]


async def test_clips_that_wait_for_the_media_host_hold_no_file_open(tmp_path: Path) -> None:
    """A thousand of them would be more than a process may hold."""
    host, go_on = Host(), threading.Event()

    def hold(handler: BaseHTTPRequestHandler) -> None:
        go_on.wait(30)
        handler.send_response(404)
        handler.end_headers()

    host.served["/clip"] = hold
    async with RunpodClient(Account(API_KEY, "http://127.0.0.1:9/v2")) as client:
        turns: list[int] = []
        fetching = [
            asyncio.create_task(
                client.download(f"{host.url}/clip", tmp_path / f"{n}.mp4", on_begin=partial(turns.append, n))
            )
            for n in range(30)
        ]
        while len(host.asked) < 10:
            await asyncio.sleep(0.01)
        assert len(list(tmp_path.iterdir())) == len(turns) == 10
        go_on.set()
        await asyncio.gather(*fetching, return_exceptions=True)
    host.stop()
    assert len(turns) == 30
