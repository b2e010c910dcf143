"""What is dropped into an inbox again has a page that can be watched."""

from __future__ import annotations

import pytest

from prefect_seedance.catalog.loading import load_catalog
from prefect_seedance.cli.run_direct import TerminalRenderer
from prefect_seedance.inbox.process import process
from prefect_seedance.rendering.options import Options
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage import open_store
from prefect_seedance.storage.signing import AwsKeys
from tests.support.emulating import RunningEmulator
from tests.support.s3_server import RunningS3

BOARD = b"""
title: The lighthouse
defaults: {size: 640x640, duration: 2}
shots:
  - {id: arrival, prompt: A lighthouse at dawn.}
"""


@pytest.mark.parametrize(("token", "pages"), [(None, 1), ("session", 2)])
async def test_a_page_whose_links_end_with_temporary_credentials_is_made_anew(
    account: Account, emulator: RunningEmulator, s3_server: RunningS3, token: str | None, pages: int
) -> None:
    url, place = f"s3://{s3_server.new_bucket()}/x", s3_server.endpoint_url
    store = open_store(url, signing=lambda: AwsKeys("key", "secret", token), endpoint_url=place)
    catalog = load_catalog()
    found = set()
    for _ in range(2):
        await store.write("inbox/film/board.yaml", BOARD)
        report = await process(account, store, Options(), catalog, TerminalRenderer(account, store, catalog))
        assert [(one.status, one.error) for one in report.boards] == [("complete", None)]
        found.add(report.boards[0].production)
    await store.aclose()
    assert len(found) == pages
    assert len(emulator.charges) == 1
