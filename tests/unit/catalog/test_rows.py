"""The rows that come with the package are what their sources say, and each says where that was read and when."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal

import pytest

from prefect_seedance.catalog.alternatives import others
from prefect_seedance.catalog.endpoints import KNOWN, Model, nearest_ratio, with_rows
from prefect_seedance.catalog.inputs import checked
from prefect_seedance.catalog.pricing import estimate, upper
from prefect_seedance.catalog.sizes import ratios_of
from prefect_seedance.models import AUTO, Request
from tests.support.rows import SEEDANCE_2

MakeRequest = Callable[..., Request]
ROWS = pytest.mark.parametrize("model", KNOWN.values(), ids=lambda model: model.slug)

DOCUMENTED = {
    "seedance-1-0-pro": set(),
    "seedance-v1-5-pro-i2v": {"camera_fixed", "generate_audio", "seed"},
    "wan-2-6-t2v": {"negative_prompt", "shot_type", "audio", "seed", "enable_prompt_expansion"},
    "wan-2-6-i2v": {
        "negative_prompt", "shot_type", "audio", "seed", "enable_prompt_expansion", "enable_safety_checker",
    },
    "wan-2-5": {"negative_prompt", "seed", "enable_prompt_expansion", "enable_safety_checker"},
    "wan-2-2-i2v-720": {
        "negative_prompt", "num_inference_steps", "guidance", "flow_shift", "seed", "enable_prompt_optimization",
        "enable_safety_checker",
    },
    "wan-2-1-i2v-720": {
        "negative_prompt", "num_inference_steps", "guidance", "flow_shift", "seed", "enable_prompt_optimization",
        "enable_safety_checker",
    },
    "wan-2-2-t2v-720-lora": {"high_noise_loras", "low_noise_loras", "seed", "enable_safety_checker"},
    "p-video": {"seed", "draft", "save_audio", "prompt_upsampling"},
    "vidu-q3-t2v": {"style", "movement_amplitude", "generate_audio", "bgm", "seed"},
    "vidu-q3-i2v": {"movement_amplitude", "generate_audio", "bgm", "seed"},
    "kling-v2-1-i2v-pro": {"negative_prompt", "guidance_scale", "enable_safety_checker"},
    "kling-video-o1-r2v": {
        "video", "negative_prompt", "seed", "enable_prompt_expansion", "enable_safety_checker",
    },
    "kling-v2-6-std-motion-control": {"video", "character_orientation", "negative_prompt", "keep_original_sound"},
    "infinitetalk": {"audio", "enable_safety_checker"},
    "google-veo3-1-fast-i2v": {"generate_audio"},
    "minimax-hailuo-2-3-fast": set(),
    "sora-2-i2v": set(),
    "sora-2-pro-i2v": set(),
    "minimax-speech-02-hd": {"voice_id", "speed", "volume", "pitch", "emotion", "english_normalization"},
    "chatterbox-turbo": {"voice", "voice_url", "format"},
}  # fmt: skip
SIX, SEVEN = {"21:9", "16:9", "9:16", "1:1", "4:3", "3:4"}, {"16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "1:1"}


def test_every_documented_endpoint_has_a_row_with_every_documented_input() -> None:
    assert {slug: set(row.inputs) for slug, row in KNOWN.items()} == DOCUMENTED


@ROWS
def test_every_row_says_where_it_was_read_and_when(model: Model) -> None:
    assert model.source
    tomorrow = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=1)
    assert datetime.date(2026, 6, 1) < model.checked <= tomorrow


@ROWS
def test_portrait_is_offered_wherever_landscape_is(model: Model) -> None:
    for tier in model.tiers:
        ratios = set(ratios_of(tier))
        for landscape, portrait in (("16:9", "9:16"), ("4:3", "3:4"), ("3:2", "2:3")):
            assert (landscape in ratios) == (portrait in ratios), (tier.name, ratios)
        for size in tier.sizes:
            width, height = size.split("x")
            assert nearest_ratio(size) == "21:9" or f"{height}x{width}" in tier.sizes, size


@pytest.mark.parametrize(
    ("slug", "tiers", "ratios"),
    [
        ("seedance-1-0-pro", ["1080p", "720p", "480p"], SIX),
        ("seedance-v1-5-pro-i2v", ["720p", "480p"], SIX),
        ("p-video", ["720p", "1080p"], SEVEN),
        ("vidu-q3-t2v", ["720p", "1080p", "540p"], {"16:9", "9:16", "4:3", "3:4", "1:1"}),
        ("vidu-q3-i2v", ["720p", "1080p", "540p"], {"16:9", "9:16"}),
        ("kling-video-o1-r2v", ["1080p"], {"16:9", "9:16", "1:1"}),
    ],
)
def test_tiers_and_ratios_are_those_of_the_endpoint(slug: str, tiers: list[str], ratios: set[str]) -> None:
    assert [tier.name for tier in KNOWN[slug].tiers] == tiers
    assert all(set(ratios_of(tier)) == ratios for tier in KNOWN[slug].tiers)


@ROWS
def test_what_a_row_says_of_an_input_is_a_value_that_it_takes(model: Model) -> None:
    for name, one in model.inputs.items():
        for value in (one.default, one.send):
            assert value is None or checked(name, value, model) == value
    for tier in model.tiers:
        for other in tier.when:
            assert all(checked(name, value, model) == value for name, value in other.inputs.items())


def test_what_an_endpoint_mixes_in_rewrites_or_charges_by_itself_is_sent_as_off() -> None:
    sent = {(slug, name): one.send for slug, row in KNOWN.items() for name, one in row.inputs.items()}
    assert {place: send for place, send in sent.items() if send is not None} == {
        ("p-video", "prompt_upsampling"): False,
        ("p-video", "draft"): False,  # so that taking a draft back is the request that it was without
        ("vidu-q3-t2v", "bgm"): False,
        ("vidu-q3-i2v", "bgm"): False,
        ("kling-v2-6-std-motion-control", "keep_original_sound"): False,
        ("google-veo3-1-fast-i2v", "generate_audio"): False,
    }


@pytest.mark.parametrize(
    ("slug", "changed", "usd"),
    [
        ("p-video", {"size": "1280x720"}, "0.10"),
        ("p-video", {"size": "1280x720", "inputs": {"draft": True}}, "0.03"),  # 0.025, rounded up
        ("p-video", {"size": "1920x1080", "duration": 10, "inputs": {"draft": True}}, "0.10"),
        ("vidu-q3-t2v", {"size": "1920x1080"}, "0.75"),
        ("vidu-q3-t2v", {"size": "960x540"}, "0.75"),
        ("google-veo3-1-fast-i2v", {"size": "1280x720", "duration": 8}, "0.80"),
        ("google-veo3-1-fast-i2v", {"size": "1280x720", "duration": 8, "inputs": {"generate_audio": True}}, "1.20"),
        ("kling-video-o1-r2v", {"size": "1920x1080", "duration": 10}, "1.12"),
        ("infinitetalk", {"size": "854x480", "duration": AUTO}, "0.25"),
        ("kling-v2-6-std-motion-control", {"size": "1280x720", "duration": AUTO}, "2.10"),
        ("minimax-speech-02-hd", {"size": "", "duration": AUTO, "prompt": "x" * 1000}, "0.05"),
        ("chatterbox-turbo", {"size": "", "duration": AUTO, "prompt": "x" * 500}, "0.10"),
        ("chatterbox-turbo", {"size": "", "duration": AUTO, "prompt": "12345" * 100}, "0.40"),  # each digit is a word
        ("chatterbox-turbo", {"size": "", "duration": AUTO, "prompt": "灯" * 500}, "0.40"),
    ],
)
def test_a_price_depends_on_what_is_asked_and_a_chosen_length_counts_at_its_most(
    slug: str, changed: dict[str, object], usd: str, make_request: MakeRequest
) -> None:
    request = make_request(**{"model": slug, "duration": 5} | changed)
    assert estimate(request, KNOWN[slug]) == upper(request, KNOWN[slug]) == Decimal(usd)


def test_a_row_of_the_next_seedance_is_your_own_yaml_today(make_request: MakeRequest) -> None:
    row = with_rows([SEEDANCE_2])["seedance-2-5"]
    assert (row.durations[0], min(row.durations), max(row.durations)) == (5, 4, 30)
    asked = make_request(model=row.slug, size="1280x720", duration=AUTO)
    assert estimate(asked, row) == upper(asked, row) == Decimal("5.40")
    assert estimate(asked.model_copy(update={"duration": 4}), row) == Decimal("0.72")


def test_what_stands_in_for_a_row_can_be_asked_alike() -> None:
    for slug, row in KNOWN.items():
        for other in others(row, KNOWN):
            assert other.slug != slug
            assert not other.withdrawn
            assert other.kind == row.kind
    assert {other.image for other in others(KNOWN["sora-2-i2v"], KNOWN)} == {"optional", "required"}
    assert {other.image for other in others(KNOWN["wan-2-6-t2v"], KNOWN)} == {"optional", "none"}
