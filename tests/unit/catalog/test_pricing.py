from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from prefect_seedance.catalog.endpoints import KNOWN, input_of, nearest_ratio, with_rows
from prefect_seedance.catalog.pricing import cost_of, estimate, may_have_cost, upper
from prefect_seedance.models import AUTO, Request
from prefect_seedance.text import dollars

MakeRequest = Callable[..., Request]
SEEDANCE = KNOWN["seedance-1-0-pro"]


@pytest.mark.parametrize(
    ("size", "five", "ten"),
    [("854x480", "0.12", "0.24"), ("1280x720", "0.27", "0.54"), ("1920x1080", "0.61", "1.22")],
)
def test_listed_lengths_cost_what_the_vendors_table_says(
    size: str, five: str, ten: str, make_request: MakeRequest
) -> None:
    assert estimate(make_request(size=size, duration=5), SEEDANCE) == Decimal(five)
    assert estimate(make_request(size=size, duration=10), SEEDANCE) == Decimal(ten)


def test_lengths_between_round_up_to_the_cent(make_request: MakeRequest) -> None:
    assert estimate(make_request(size="1920x1080", duration=3), SEEDANCE) == Decimal("0.37")


def test_a_budget_sets_aside_the_most_that_was_ever_seen_on_a_bill(make_request: MakeRequest) -> None:
    assert upper(make_request(size="1920x1080", duration=5), SEEDANCE) == Decimal("0.62")
    assert upper(make_request(size="854x480", duration=5), SEEDANCE) == Decimal("0.12")


def test_all_nominal_and_native_sizes_are_offered() -> None:
    sizes = {size for tier in SEEDANCE.tiers for size in tier.sizes}
    nominal = {"854x480", "1280x720", "1920x1080", "480x854", "720x1280", "1080x1920"}
    native = [
        "960x416",
        "864x480",
        "736x544",
        "640x640",
        "544x736",
        "480x864",
        "1504x640",
        "1248x704",
        "1120x832",
        "960x960",
        "832x1120",
        "704x1248",
        "2176x928",
        "1920x1088",
        "1664x1248",
        "1440x1440",
        "1248x1664",
        "1088x1920",
    ]
    assert sizes == nominal | set(native)


@pytest.mark.parametrize("model", KNOWN.values(), ids=lambda model: model.slug)
def test_every_endpoint_has_a_price_for_whatever_it_offers(model, make_request: MakeRequest) -> None:  # type: ignore[no-untyped-def]
    for tier in model.tiers:
        for duration in model.durations or (AUTO,):
            request = make_request(model=model.slug, size="".join(tier.sizes[:1]), duration=duration)
            assert Decimal("0") < estimate(request, model) <= upper(request, model)


@pytest.mark.parametrize(
    ("output", "cost"),
    [
        ({"cost": 0.62}, Decimal("0.62")),
        ({"cost": "0.12"}, Decimal("0.12")),
        ({"cost": 0}, Decimal(0)),
        ({}, None),
        ("https://x/y.mp4", None),
        ({"cost": None}, None),
        ({"cost": "free"}, None),
        ({"cost": float("nan")}, None),
        ({"cost": -1}, None),
        ({"cost": True}, None),
        ({"cost": "1e400"}, None),
        ({"cost": 10**400}, None),
        ({"cost": "9" * 400}, None),
        ({"cost": "NaN"}, None),
        ({"cost": "-Infinity"}, None),
        ({"cost": "sNaN"}, None),
        ({"cost": "10000.01"}, None),
        ({"cost": 10000}, Decimal(10000)),
        ({"cost": "0.1234567"}, None),
        ({"cost": "1e-400"}, None),
        ({"cost": "0.1200000000"}, Decimal("0.12")),
        ({"cost": "0.12 USD"}, None),
        ({"cost": [0.12]}, None),
    ],
)
def test_the_true_cost_is_read_only_where_it_is_one(output: object, cost: Decimal | None) -> None:
    assert cost_of({"output": output}) == cost


@pytest.mark.parametrize(
    ("answer", "may"),
    [
        ({}, False),
        ({"output": "https://x/y.mp4"}, False),
        ({"output": {"cost": None}}, False),
        ({"output": {"cost": 0}}, False),
        ({"output": {"cost": "0.00"}, "cost": 0.0}, False),
        ({"output": {"cost": 0.04}}, True),
        ({"output": {"cost": "0.12 USD"}}, True),
        ({"output": {"cost": "1e400"}}, True),
        ({"output": {"cost": True}}, True),
        ({"output": {"cost": {"usd": 0.12}}}, True),
        ({"cost": 0.12}, True),
        ({"cost": "0.12 USD", "output": {"cost": 0}}, True),
    ],
)
def test_a_cost_that_cannot_be_read_is_not_taken_for_none(answer: dict[str, object], may: bool) -> None:
    assert may_have_cost(answer) is may


def test_the_input_is_the_vendors_documented_one(make_request: MakeRequest) -> None:
    request = make_request(prompt="A Porsche", size="1920x1080", duration=5)
    assert input_of(request, SEEDANCE, None, None) == {
        "prompt": "A Porsche",
        "duration": 5,
        "fps": 24,
        "size": "1920x1080",
        "image": "",
    }


def test_other_endpoints_get_their_own_words_for_size(make_request: MakeRequest) -> None:
    wan = input_of(make_request(size="1280x720"), KNOWN["wan-2-5"], "https://x/a.png", None)
    assert (wan["size"], wan["image"]) == ("1280*720", "https://x/a.png")
    later = input_of(make_request(size="720x1280"), KNOWN["seedance-v1-5-pro-i2v"], "https://x/a", "https://x/b")
    assert (later["resolution"], later["aspect_ratio"], later["last_image"]) == ("720p", "9:16", "https://x/b")
    assert nearest_ratio("2176x928") == "21:9"


def test_a_row_of_your_own_is_an_endpoint() -> None:
    row = {
        "slug": "my-model",
        "title": "Mine",
        "durations": [4],
        "tiers": [{"name": "720p", "sizes": ["1280x720"], "per_second": 0.01}],
        "checked": "2026-11-01",
    }
    assert with_rows([row])["my-model"].tiers[0].per_second == Decimal("0.01")


def test_dollars_show_cents_and_what_is_below_them() -> None:
    shown = [dollars(Decimal(amount)) for amount in ("0", "0.1", "1234.5", "0.125")]
    assert shown == ["$0.00", "$0.10", "$1,234.50", "$0.125"]
    assert [dollars(amount) for amount in (0, 0.0, 0.1 + 0.2, 0.0038)] == ["$0.00", "$0.00", "$0.30", "$0.0038"]
