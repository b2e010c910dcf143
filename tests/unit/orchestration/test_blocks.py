from __future__ import annotations

from decimal import Decimal
from importlib import resources
from urllib.parse import urlsplit

import pytest
from PIL import Image
from prefect.blocks.core import Block
from prefect.testing.standard_test_suites.blocks import BlockStandardTestSuite
from pydantic import SecretStr, ValidationError

from prefect_seedance.errors import BadInput
from prefect_seedance.orchestration import blocks
from prefect_seedance.orchestration.blocks import RunpodCredentials, SpendingLimits, VideoStore

ALL: list[type[Block]] = [RunpodCredentials, SpendingLimits, VideoStore]


@pytest.mark.parametrize("block", ALL)
class TestTheStandardsOfPrefect(BlockStandardTestSuite):
    """Prefect's own suite; only its look at the logo is replaced, since that fetches it from the internet."""

    @pytest.fixture
    def block(self, request: pytest.FixtureRequest) -> type[Block]:
        return request.param

    def test_has_a_valid_image(self, block: type[Block]) -> None:
        name = urlsplit(str(block._logo_url)).path.rsplit("/", 1)[1]
        with resources.as_file(resources.files("prefect_seedance") / "logos" / name) as file, Image.open(file) as logo:
            assert logo.width == logo.height
            assert 45 < logo.width < 1000


def test_the_slugs_never_change() -> None:
    slugs = {block.get_block_type_slug() for block in ALL}
    assert slugs == {"runpod-credentials", "spending-limits", "video-store"}


def test_all_blocks_of_the_module_are_tested() -> None:
    found = [value for value in vars(blocks).values() if isinstance(value, type) and issubclass(value, Block)]
    assert {value for value in found if value.__module__ == blocks.__name__} == set(ALL)


def test_credentials_do_not_show_their_key() -> None:
    credentials = RunpodCredentials(api_key=SecretStr("hunter2"))
    assert "hunter2" not in f"{credentials!r} {credentials.model_dump_json()} {credentials.account()!r}"


def test_credentials_that_cannot_work_say_so_without_a_call() -> None:
    with pytest.raises(BadInput, match="no usable Runpod API key"):
        RunpodCredentials(api_key=SecretStr("")).account()


def test_limits_are_exact_dollars() -> None:
    limits = SpendingLimits(per_day=0.1, approve_above=0).limits()
    assert (limits.per_day, limits.approve_above, limits.per_month) == (Decimal("0.1"), Decimal(0), None)
    assert Decimal("0.1") * 3 == Decimal("0.3")


@pytest.mark.parametrize("wrong", [{"per_day": 0}, {"per_run": -1}, {"approve_above": -0.01}])
def test_limits_that_mean_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        SpendingLimits(**wrong)
