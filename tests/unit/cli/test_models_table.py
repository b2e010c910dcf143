"""The list of models can be copied from, however narrow the terminal is."""

from __future__ import annotations

import pytest

from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.cli.models import models


@pytest.mark.parametrize("columns", ["80", "200"])
def test_the_name_of_a_model_is_never_broken(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    models()
    shown = capsys.readouterr().out
    assert [slug for slug in KNOWN if slug not in shown] == []
