"""An account that can't work is refused before its key goes anywhere."""

from __future__ import annotations

import pytest

from prefect_seedance.errors import BadInput
from prefect_seedance.runpod.account import Account


@pytest.mark.parametrize("key", ["", " ", "rpa_a b", "rpa_SECRET\n", "rpa_SECRET\0", "rpa_SECRÉT"], ids=repr)
def test_a_key_that_no_header_can_hold_is_refused_and_not_quoted(key: str) -> None:
    with pytest.raises(BadInput) as refused:
        Account(key).check()
    assert str(refused.value).startswith("There is no usable Runpod API key")
    assert "rpa_" not in str(refused.value)
