"""Spoken texts are paid once through the ledger, like clips, and none of them ever holds up a shot."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import Any

import pytest

from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.catalog.model import letters
from prefect_seedance.generation.collect import collect
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Step
from prefect_seedance.rendering.plan import make_plan
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage.store import Store
from prefect_seedance.text import CENT
from tests.support.emulating import RunningEmulator
from tests.support.forking import Harness
from tests.support.generating import board_of, rendered
from tests.support.narrating import speak_aloud, spoken
from tests.support.renderer import QUICK, small


def session_of(client: RunpodClient, store: Store, **more: Any) -> RenderSession:
    return RenderSession(client, Ledger(store), waiting=QUICK, **more)


def charges(emulator: RunningEmulator, prompt: str) -> int:
    return sum(charge["prompt"].startswith(prompt) for charge in emulator.charges)


@pytest.mark.parametrize(
    ("model", "inputs", "ending"),
    [
        ("chatterbox-turbo", {}, "wav"),
        ("chatterbox-turbo", {"format": "flac"}, "flac"),
        ("chatterbox-turbo", {"format": "ogg"}, "opus"),
        ("minimax-speech-02-hd", {}, "mp3"),
    ],
)
async def test_a_text_is_stored_whole_under_the_ending_of_its_sound_and_paid_once(
    model: str,
    inputs: dict[str, Any],
    ending: str,
    emulator: RunningEmulator,
    store: Store,
    client: RunpodClient,
    prompt: str,
) -> None:
    request = spoken(f"{prompt} nobody had seen the light.", model, **inputs)
    for _ in range(2):
        run = await rendered(session_of(client, store), request)
    record = run.records[key_of(request)]
    assert (record.step, record.footage, record.duration_mismatch) == (Step.STORED, None, False)
    assert record.clip == f"clips/{record.key}-{(record.sha256 or '')[:12]}.{ending}"
    assert record.heard is not None
    assert record.heard.seconds == pytest.approx(len(request.prompt) / 15, abs=0.2)
    assert record.heard.audio.loudness is not None
    assert len(await store.read(record.clip)) == record.bytes
    assert charges(emulator, prompt) == 1


async def test_a_changed_text_pays_for_that_one_alone(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    texts = [spoken(f"{prompt} {name}") for name in ("one", "two")]
    await rendered(session_of(client, store), small(f"{prompt} clip"), *texts)
    await rendered(session_of(client, store), small(f"{prompt} clip"), texts[0], spoken(f"{prompt} three"))
    assert charges(emulator, prompt) == 4


async def test_what_is_spoken_is_reserved_at_its_upper_price_before_anything_is_sent(
    client: RunpodClient, store: Store, prompt: str
) -> None:
    long = spoken(f"{prompt} " + "word " * 199)
    planned = await make_plan(board_of(long), Ledger(store), account=client.account)
    (price,) = planned.to_pay.values()
    slowest = (Decimal(letters(long.prompt)) / 5 * Decimal("0.001")).quantize(CENT, ROUND_CEILING)
    assert price == slowest
    assert planned.models == {"chatterbox-turbo"}


async def test_a_damaged_download_is_fetched_again_and_not_paid_again(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    emulator.fault("media", "gone", prompt=prompt)
    emulator.fault("media", "truncated", prompt=prompt)
    run = await rendered(session_of(client, store), spoken(f"{prompt} hello"))
    assert [result.status for result in run.results()] == ["stored"]
    assert charges(emulator, prompt) == 1


async def test_a_sound_that_never_decodes_stays_completed_and_is_never_called_stored(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    request = spoken(f"{prompt} hello", format="flac")
    emulator.fault("media", "corrupt", prompt=prompt, times=100)
    run = await rendered(session_of(client, store), request)
    states = {run.records[key_of(request)].step}
    emulator.clear_faults()
    run = await rendered(session_of(client, store), request)
    assert states == {Step.COMPLETED}
    assert run.records[key_of(request)].step is Step.STORED
    assert charges(emulator, prompt) == 1


async def test_what_a_run_left_out_is_collected_for_nothing(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    request = spoken(f"{prompt} left")
    impatient = RenderSession(client, Ledger(store), waiting=QUICK.__class__(first=0, pause=0.05, deadline=0))
    emulator.fault("status", "unknown_word", prompt=prompt, times=2)
    await rendered(impatient, request)
    collected = await collect(session_of(client, store), MonthlySpend(store))
    while collected.running:
        collected = await collect(session_of(client, store), MonthlySpend(store))
    assert (await Ledger(store).load(key_of(request))).state is Step.STORED
    assert charges(emulator, prompt) == 1


@pytest.mark.parametrize(
    ("moment", "afterwards"),
    [
        ("after create 1", "unclear"),
        ("after submit 1", "unclear"),
        ("after create 2", "stored"),
        ("after create 3", "stored"),
        ("before put 1", "stored"),
        ("after put 1", "stored"),
    ],
)
def test_a_speaker_that_is_killed_in_the_middle_never_pays_twice(
    moment: str, afterwards: str, emulator: RunningEmulator, store: Store, prompt: str
) -> None:
    harness = Harness(emulator, speak_aloud, {})
    assert harness.process(store.url, prompt, moment).killed
    paid = charges(emulator, prompt)
    again = harness.process(store.url, prompt)
    assert again.said == {"state": afterwards}
    assert charges(emulator, prompt) == paid == (moment != "after create 1")


def test_two_workers_that_speak_one_text_pay_for_it_once(emulator: RunningEmulator, store: Store, prompt: str) -> None:
    harness = Harness(emulator, speak_aloud, {})
    both = harness.together(store.url, [(speak_aloud, prompt)] * 2)
    assert [ended.said for ended in both] == [{"state": "stored"}] * 2
    assert charges(emulator, prompt) == 1
