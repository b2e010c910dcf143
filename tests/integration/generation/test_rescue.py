"""Two clocks decide whether a paid clip can still be had: 30 minutes for the job's record, 7 days for the link.

And a store that says nothing: what is known is told outside of it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.errors import DownloadFailed, LedgerUnreadable, StoreUnavailable
from prefect_seedance.generation.collect import collect
from prefect_seedance.generation.persist import persist
from prefect_seedance.generation.poll import wait
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.generation.submit import submit
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.rescue import rescue_file
from prefect_seedance.models import Request
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.runpod.rate_limit import status_calls_of
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator
from tests.support.generating import generate
from tests.support.raw_server import RawServer
from tests.support.renderer import QUICK, HookedStore, age_the_notes

SIX_HOURS = 6 * 3600.0
"""As the protocol says: what is lost has been seen by another run so long ago."""


@pytest.fixture
def emulator(own_emulator: RunningEmulator) -> RunningEmulator:
    return own_emulator


async def _submit_and_go_away(account: Account, store: Store, requests: list[Request]) -> None:
    """What a run leaves that is killed after its submits."""
    async with RunpodClient(account) as client:
        run = RenderSession(client, Ledger(store), waiting=QUICK)
        await asyncio.gather(*(submit(run, request) for request in requests))


@pytest.mark.parametrize(
    ("minutes", "stored", "lost"), [(1, 3, 0), (29, 3, 0), (31, 0, 3)], ids=["at once", "in time", "too late"]
)
async def test_a_killed_run_loses_no_clip_if_the_collector_comes_within_half_an_hour(
    minutes: int,
    stored: int,
    lost: int,
    emulator: RunningEmulator,
    account: Account,
    folder_store: Store,
    make_request: Callable[..., Request],
) -> None:
    requests = [make_request(prompt=f"Scene {n}.") for n in range(3)]
    await _submit_and_go_away(account, folder_store, requests)
    emulator.advance(minutes * 60)
    async with RunpodClient(account) as client:
        found = await collect(RenderSession(client, Ledger(folder_store), waiting=QUICK), MonthlySpend(folder_store))
        assert age_the_notes(folder_store, QUICK.grace) == lost  # one 404 alone says nothing, however old the job is
        if lost:
            assert found.as_json()["lost"] == 0
            found = await collect(
                RenderSession(client, Ledger(folder_store), waiting=QUICK), MonthlySpend(folder_store)
            )
    told = found.as_json()
    assert (told["stored"], told["lost"], told["running"], told["spent_usd"]) == (stored, lost, 0, 0)
    # What is lost is named with what it may have cost, and what nobody has said is no cost.
    costs = [(clip["cost_usd"], clip["at_risk_usd"]) for clip in told["clips"]]
    assert costs == [(None, 0.05) if lost else (0.05, 0.0)] * 3
    assert len(emulator.charges) == 3


async def test_a_link_that_is_seven_days_old_is_a_clip_lost_and_never_one_paid_again(
    emulator: RunningEmulator, account: Account, folder_store: Store, make_request: Callable[..., Request]
) -> None:
    async with RunpodClient(account) as client:
        run, another = (RenderSession(client, Ledger(folder_store), waiting=QUICK) for _ in range(2))
        completed = await wait(run, await submit(run, make_request()))
        emulator.advance(8 * 24 * 3600)
        with pytest.raises(DownloadFailed):
            await persist(run, completed)
        assert age_the_notes(folder_store, SIX_HOURS) == 1
        assert (await persist(another, completed)).state == "lost"
        assert (await generate(run, make_request())).state == "lost"
    assert len(emulator.charges) == 1


@pytest.mark.parametrize("cost", [{"cost": "0.12 USD"}, {"output": {"cost": "1e400"}}, {"output": {"cost": [0.1]}}])
async def test_a_failure_with_a_cost_that_cannot_be_read_is_lost_and_never_tried_again(
    cost: dict[str, Any], folder_store: Store, make_request: Callable[..., Request]
) -> None:
    class Charging(RawServer):
        posts = 0

        def answer(self, request: bytes) -> dict[str, Any]:
            self.posts += request.startswith(b"POST")
            return super().answer(request) | cost

    async with (server := Charging()), RunpodClient(Account("k", server.base_url)) as client:
        for _ in range(2):
            run = RenderSession(client, Ledger(folder_store), waiting=QUICK, retry_failed=3)
            history = await generate(run, make_request())
            assert history.state == "lost"
        assert history.last is not None
        assert (history.last.cost_usd, history.last.charged_usd) == (None, Decimal("0.05"))
        assert (history.last.answer or {}).items() >= cost.items()
        assert server.posts == 1


async def rescued(step: str) -> dict[str, Any]:
    """The rescued record *step*, as soon as it is there."""
    async with asyncio.timeout(60):
        while True:
            lines = rescue_file().read_text().splitlines() if rescue_file().exists() else []
            for line in map(json.loads, lines):
                if line["record"]["step"] == step:
                    return dict(line)
            await asyncio.sleep(0.05)


@pytest.fixture
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.mark.usefixtures("_own_state")
async def test_while_the_store_hangs_the_job_is_followed_and_its_end_told_too(
    emulator: RunningEmulator, account: Account, folder_store: Store, make_request: Callable[..., Request]
) -> None:
    hangs = True

    async def hanging(moment: str, path: str) -> None:
        while hangs and moment == "before create" and path.endswith("0002.json"):
            await asyncio.sleep(0.05)

    async with RunpodClient(account) as client:
        run = RenderSession(client, Ledger(HookedStore(folder_store, hanging)), waiting=QUICK)
        generating = asyncio.create_task(generate(run, make_request()))
        accepted, completed = await rescued("accepted"), await rescued("completed")
        assert (await Ledger(folder_store).load(key_of(make_request()))).state == "claimed"
        hangs = False
        assert (await generating).state == "stored"
    [charge] = emulator.charges
    assert accepted["record"]["job_id"] == completed["record"]["job_id"] == charge["job_id"]
    assert completed["record"]["answer"]["output"]


@pytest.mark.usefixtures("_own_state")
@pytest.mark.parametrize("failures", [1, 2])
async def test_a_store_that_fails_as_nobody_foresaw_after_the_post_loses_no_job_id(
    failures: int,
    emulator: RunningEmulator,
    account: Account,
    folder_store: Store,
    make_request: Callable[..., Request],
    capsys: pytest.CaptureFixture[str],
) -> None:
    left = failures

    async def failing(moment: str, path: str) -> None:
        nonlocal left
        if left and moment == "before create" and path.endswith("0002.json"):
            left -= 1
            raise RuntimeError("can't start new thread")

    async with RunpodClient(account) as client:
        run = RenderSession(client, Ledger(HookedStore(folder_store, failing)), waiting=QUICK)
        assert (await generate(run, make_request())).state == "stored"
    [charge] = emulator.charges
    if failures > 1:  # the first is tried again at once
        assert (await rescued("accepted"))["record"]["job_id"] == charge["job_id"]
        assert f"job {charge['job_id']}): RuntimeError: can't start new thread. It is tried" in capsys.readouterr().err
    assert len(emulator.charges) == 1


@pytest.mark.usefixtures("_own_state")
async def test_no_trouble_with_a_look_ends_what_keeps_an_acceptance(
    emulator: RunningEmulator, account: Account, folder_store: Store, make_request: Callable[..., Request]
) -> None:
    hangs, looked = True, asyncio.Event()
    loop = asyncio.get_running_loop()

    async def hanging(moment: str, path: str) -> None:
        while hangs and moment == "before create" and path.endswith("0002.json"):
            await asyncio.sleep(0.05)

    async def whose_limit_fails() -> None:
        loop.call_soon_threadsafe(looked.set)
        raise ValueError("whoever counts for all processes is broken")

    quota = status_calls_of(account)
    async with RunpodClient(account) as client:
        run = RenderSession(client, Ledger(HookedStore(folder_store, hanging)), waiting=QUICK)
        quota.shared = whose_limit_fails
        submitting = asyncio.create_task(submit(run, make_request()))
        await asyncio.wait_for(looked.wait(), 60)
        quota.shared, hangs = None, False
        assert (await submitting).state in ("accepted", "completed")
    assert len(emulator.charges) == 1


@pytest.mark.usefixtures("_own_state")
async def test_while_the_store_hangs_a_verified_clip_is_kept_outside_of_it_until_it_is_in(
    emulator: RunningEmulator, account: Account, folder_store: Store, make_request: Callable[..., Request]
) -> None:
    hangs = True

    async def hanging(moment: str, path: str) -> None:
        while hangs and moment == "before put":
            await asyncio.sleep(0.05)

    async with RunpodClient(account) as client:
        run = RenderSession(client, Ledger(HookedStore(folder_store, hanging)), waiting=QUICK)
        generating = asyncio.create_task(generate(run, make_request()))
        line = await rescued("stored")
        kept = Path(line["file"])
        clip = kept.read_bytes()
        assert kept.name == Path(line["record"]["clip"]).name
        generating.cancel()
        hangs = False
        with pytest.raises(asyncio.CancelledError):
            await generating
    history = await Ledger(folder_store).load(key_of(make_request()))
    assert history.state == "stored"
    assert await folder_store.read(line["record"]["clip"]) == clip
    assert not kept.exists()
    assert len(emulator.charges) == 1


async def test_a_clip_of_which_no_copy_can_be_kept_is_not_said_to_be_kept(
    emulator: RunningEmulator,
    account: Account,
    folder_store: Store,
    make_request: Callable[..., Request],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "state").write_text("no folder")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    failures = 1

    async def failing(moment: str, path: str) -> None:
        nonlocal failures
        if moment == "before put" and failures:
            failures -= 1
            raise StoreUnavailable("it is down.")

    async with RunpodClient(account) as client:
        run = RenderSession(client, Ledger(HookedStore(folder_store, failing)), waiting=QUICK)
        assert (await generate(run, make_request())).state == "stored"
    assert "No copy of the clip could be kept" in caplog.text
    assert "The clip itself is kept" not in caplog.text
    assert len(emulator.charges) == 1


@pytest.mark.usefixtures("_own_state")
async def test_a_record_of_a_later_version_ends_its_shot_and_keeps_the_job_id(
    emulator: RunningEmulator, account: Account, folder_store: Store, make_request: Callable[..., Request]
) -> None:
    async def meanwhile(moment: str, path: str) -> None:
        if moment == "before create" and path.endswith("0002.json") and not await folder_store.exists(path):
            await folder_store.write(path, b'{"schema": "prefect-seedance/record/2"}')

    async with RunpodClient(account) as client, asyncio.timeout(90):
        run = RenderSession(client, Ledger(HookedStore(folder_store, meanwhile)), waiting=QUICK)
        sibling = generate(RenderSession(client, Ledger(folder_store), waiting=QUICK), make_request(prompt="Another."))
        ended, other = await asyncio.gather(generate(run, make_request()), sibling, return_exceptions=True)
    assert isinstance(ended, LedgerUnreadable)
    assert not isinstance(other, BaseException)
    assert other.state == "stored"
    job_ids = {charge["job_id"] for charge in emulator.charges}
    assert len(job_ids) == 2
    assert json.loads(rescue_file().read_text().splitlines()[0])["record"]["job_id"] in job_ids
