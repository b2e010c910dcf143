"""What the help says of the options that stop a campaign."""

from __future__ import annotations

import pytest

from prefect_seedance.cli.app import run


def test_the_help_says_what_counts_as_refused_and_what_as_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["prefect-seedance", "campaign", "run", "--help"])
    monkeypatch.setenv("COLUMNS", "300")
    assert run() == 0
    lines = capsys.readouterr().out.splitlines()
    [refused] = [line for line in lines if "--stop-refused" in line]
    [failed] = [line for line in lines if "--stop-failed" in line]
    assert "what the API refuses when it is submitted (4xx)" in refused
    assert "a job that moderation refuses has failed" in failed
