"""One shard, as a flow or a process of its own runs it: from what is frozen alone, to its end or open for the next."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from prefect_seedance.campaign.document import Campaign
from prefect_seedance.campaign.draft import Asked, drafted
from prefect_seedance.campaign.freeze import freeze
from prefect_seedance.campaign.host import QuietHost
from prefect_seedance.campaign.results import ShardResult, result_of
from prefect_seedance.campaign.run import CampaignRun
from prefect_seedance.campaign.shard import run_shard
from prefect_seedance.campaign.shards import ShardsHere
from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.errors import BadInput
from prefect_seedance.rendering.options import Options
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage import open_store
from prefect_seedance.storage.store import Store
from tests.support.campaigns import ONE_SHOT, mugs
from tests.support.emulating import RunningEmulator
from tests.support.pictures import plain_picture
from tests.support.s3_server import RunningS3

CHAIN = """
    title: Mugs
    defaults: {size: 640x640, duration: 2}
    shots:
      - {id: turn, prompt: "A {product} turns.", image: "pictures/{id}.png"}
      - {id: close, prompt: "Closer to the {product}.", continue_from: turn}
"""


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[RunningEmulator]:
    (tmp_path / "store").mkdir()
    with RunningEmulator.start(latency=0.025, serve=tmp_path / "store") as running:
        yield running


@pytest.fixture
def store(tmp_path: Path, emulator: RunningEmulator) -> Store:
    return open_store(tmp_path / "store", public_base_url=emulator.public_base_url)


async def frozen(folder: Path, text: str, store: Store, account: Account, count: int = 2, canary: int = 0) -> Campaign:
    """A campaign of *count* rows, whose storyboard and pictures are gone once it is frozen."""
    board = folder / "board.yaml"
    board.write_text(textwrap.dedent(text))
    (folder / "pictures").mkdir()
    pictures = [folder / "pictures" / f"{row['id']}.png" for row in mugs(count)]
    for number, path in enumerate(pictures):
        path.write_bytes(plain_picture(50 + 40 * number))
    async with drafted(Asked(str(board), mugs(count), canary=canary), store, account, KNOWN) as draft:
        assert draft.problems == []
        campaign = await freeze(draft, store)
    for path in (board, *pictures):
        path.unlink()
    return campaign


async def run(
    campaign: Campaign, store: Store, account: Account, options: Options | None = None, number: int = 1
) -> ShardResult:
    return await run_shard(store, account, campaign.id, number, options or Options(), QuietHost(lambda _: None))


def rows(store: Store, campaign: Campaign) -> list[dict[str, object]]:
    part = Path(store.url) / campaign.folder / "results" / "shard=00001" / "part.jsonl"
    return [json.loads(line) for line in part.read_text().splitlines()]


async def test_a_shard_is_rendered_from_what_is_frozen_alone_and_once(
    tmp_path: Path, store: Store, account: Account, emulator: RunningEmulator
) -> None:
    campaign = await frozen(tmp_path, CHAIN, store, account)
    result = await run(campaign, store, account)
    assert (result.statuses, result.left) == ({"stored": 4}, None)
    shots = [(row["row"], row["shot"], row["status"]) for row in rows(store, campaign)]
    assert shots[:2] == [("m00001", "turn", "stored"), ("m00001", "close", "stored")]
    assert await run(campaign, store, account) == result.model_copy(update={"spent_usd": Decimal(0)})
    assert len(emulator.charges) == 4


async def test_what_waits_for_a_refused_shot_is_blocked_and_the_shard_is_done(
    tmp_path: Path, store: Store, account: Account, emulator: RunningEmulator
) -> None:
    campaign = await frozen(tmp_path, CHAIN, store, account)
    emulator.fault("run", "status", code=400, prompt="number 1 turns")
    result = await run(campaign, store, account)
    assert (result.statuses, result.left) == ({"stored": 2, "refused": 1, "blocked": 1}, None)
    assert all(row["reason"] for row in rows(store, campaign) if row["status"] != "stored")
    assert (await run(campaign, store, account, Options(retry_failed=1))).statuses == {"stored": 4}
    assert len(emulator.charges) == 4


async def test_a_frozen_picture_that_was_changed_blocks_its_row_and_no_other(
    tmp_path: Path, store: Store, account: Account, emulator: RunningEmulator
) -> None:
    campaign = await frozen(tmp_path, CHAIN, store, account)
    await store.write(f"{campaign.folder}/board/pictures/m00001.png", plain_picture(200))
    result = await run(campaign, store, account)
    assert result.statuses == {"stored": 2, "blocked": 2}
    assert "is not what was frozen" in str(rows(store, campaign)[0]["reason"])
    assert len(emulator.charges) == 2


async def test_a_clip_that_is_still_on_its_way_leaves_its_shard_open_for_the_next_run(
    tmp_path: Path, store: Store, account: Account, emulator: RunningEmulator
) -> None:
    campaign = await frozen(tmp_path, ONE_SHOT, store, account)
    emulator.fault("run", "never", prompt="number 1")
    emulator.fault("status", "hidden", prompt="number 2", times=1000)
    result = await run(campaign, store, account, Options(wait_seconds=2))
    assert result.left == "2 of its clips are still on their way; run the campaign again to bring them home"
    assert await result_of(store, campaign, campaign.shards[0]) is None
    emulator.clear_faults()
    again = await run(campaign, store, account, Options(wait_seconds=2))
    assert again.statuses == {"running": 1, "stored": 1}
    assert len(emulator.bill()["charges"]) == 2


async def test_a_shard_whose_failures_are_tried_anew_is_not_done_until_what_is_out_has_come_home(
    tmp_path: Path, store: Store, account: Account, emulator: RunningEmulator
) -> None:
    campaign = await frozen(tmp_path, ONE_SHOT, store, account)
    emulator.fault("run", "failed", prompt="number 1")
    assert (await run(campaign, store, account)).statuses == {"failed": 1, "stored": 1}
    emulator.fault("status", "hidden", prompt="number 1", times=1000)
    again = await run(campaign, store, account, Options(retry_failed=1, wait_seconds=1))
    assert "still on their way" in str(again.left)
    emulator.clear_faults()
    assert (await run(campaign, store, account)).statuses == {"stored": 2}
    assert len(emulator.charges) == 2


async def test_a_canary_that_is_still_on_its_way_lets_nothing_else_be_submitted(
    tmp_path: Path, store: Store, account: Account, emulator: RunningEmulator
) -> None:
    campaign = await frozen(tmp_path, ONE_SHOT, store, account, canary=1)
    emulator.fault("status", "hidden", prompt="number 1", times=1000)
    options = Options(wait_seconds=1)
    shards = ShardsHere(lambda number, given: run(campaign, store, account, given, number), 2, lambda _: None)
    running = CampaignRun(campaign, store, account, options, go_on=True)
    assert (await running.render(KNOWN, shards)).status == "nothing"
    assert running.why == "The canary is not done, and nothing else was submitted; run the campaign again."
    assert len(emulator.bill()["charges"]) == 1


async def test_an_account_that_is_refused_in_the_middle_leaves_the_shard_open(
    tmp_path: Path, store: Store, account: Account, emulator: RunningEmulator
) -> None:
    campaign = await frozen(tmp_path, ONE_SHOT, store, account)
    emulator.fault("run", "status", code=401, prompt="number 1")
    result = await run(campaign, store, account, Options(max_in_flight=1))
    assert result.held
    assert "1 of its clips were not submitted: not submitted, since the API had just said" in str(result.left)
    assert (await run(campaign, store, account, Options(retry_failed=1))).statuses == {"stored": 2}
    assert len(emulator.charges) == 2


async def test_a_text_that_is_spoken_is_a_row_of_its_own(
    tmp_path: Path, store: Store, account: Account, emulator: RunningEmulator
) -> None:
    text = ONE_SHOT.rstrip().removesuffix("}") + ', narration: "Look at {product}."}\n'
    campaign = await frozen(tmp_path, text, store, account)
    assert campaign.clips == 4
    assert (await run(campaign, store, account)).statuses == {"stored": 4}
    spoken = [row for row in rows(store, campaign) if row["shot"] == "turn.narration"]
    assert [(row["row"], row["prompt"], row["size"]) for row in spoken] == [
        ("m00001", "Look at mug number 1.", None),
        ("m00002", "Look at mug number 2.", None),
    ]
    assert len(emulator.charges) == 4


async def test_clips_of_a_bucket_do_not_stay_on_the_disk_until_the_shard_ends(
    tmp_path: Path, account: Account, s3_server: RunningS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    store = open_store(f"s3://{s3_server.new_bucket()}/films")
    campaign = await frozen(tmp_path, ONE_SHOT, store, account, 6)
    here: list[int] = []

    class Looking(QuietHost):
        async def shot_ended(self, line: str) -> None:
            here.append(len(list(store.scratch().rglob("*.mp4"))))

    host = Looking(lambda _: None)
    assert (await run_shard(store, account, campaign.id, 1, Options(max_in_flight=1), host)).statuses == {"stored": 6}
    await store.aclose()
    assert len(here) == 6
    assert here[-1] == 0


async def test_another_account_or_catalog_renders_nothing_of_a_frozen_campaign(
    tmp_path: Path, store: Store, account: Account, emulator: RunningEmulator
) -> None:
    campaign = await frozen(tmp_path, ONE_SHOT, store, account)
    with pytest.raises(BadInput, match="was planned for another account"):
        await run(campaign, store, Account("another", account.base_url))
    await store.write("catalog.yaml", b"- {slug: mine, like: seedance-1-0-pro}\n")
    with pytest.raises(BadInput, match="are not those that the campaign"):
        await run(campaign, store, account)
    with pytest.raises(BadInput, match="has no shard 2; it has 1"):
        await run(campaign, store, account, number=2)
    assert emulator.bill()["charges"] == []
