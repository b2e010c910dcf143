"""Approval by a person, on a real Prefect server: a deployed run pauses with its plan, and spends only after a yes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from commanding import Desk
from emulating import RunningEmulator
from prefect_server import RunningPrefect

pytest_plugins = ["prefect_server"]

BOARD = """
    title: The lighthouse
    defaults: {size: 640x640, duration: 2}
    shots:
      - {id: arrival, prompt: A keeper rows.}
      - {id: lamp, prompt: The lamp | burns.}
"""
ANOTHER = BOARD + "      - {id: gulls, prompt: Gulls rise.}\n"
SUSPENDED, REFUSED = "Suspended", "Failed"
DEPLOY = """
from prefect_seedance import RunpodCredentials, SpendingLimits, VideoStore
from prefect_seedance.flows.storyboard_to_shots import storyboard_to_shots
import sys
name, base_url, store = sys.argv[1:]
RunpodCredentials(api_key="k", base_url=base_url).save(name)
VideoStore(url=store).save(name)
SpendingLimits(approve_above=0.01).save(name)
"""


class Deployed:
    """`storyboard_to_shots` on a worker, with blocks of its own."""

    def __init__(self, server: RunningPrefect, desk: Desk, deployment: str, name: str) -> None:
        self.server = server
        self.desk = desk
        self.deployment = deployment
        self.name = name

    def start(self) -> str:
        kinds = {"credentials": "runpod-credentials", "store": "video-store", "limits": "spending-limits"}
        parameters: dict[str, Any] = {
            name: {"$ref": {"block_document_slug": f"{kind}/{self.name}"}} for name, kind in kinds.items()
        }
        parameters["storyboard"] = self.desk.board(BOARD)
        run = self.server.post(f"deployments/{self.deployment}/create_flow_run", parameters=parameters)
        return str(run["id"])

    def start_until_asked(self) -> str:
        run = self.start()
        self.server.wait_for_state(run, SUSPENDED)
        return run

    def answer(self, run: str, **given: Any) -> dict[str, Any]:
        """What the form in the UI sends."""
        told: dict[str, Any] = self.server.post(f"flow_runs/{run}/resume", run_input=given)
        return told

    def asked(self, run: str) -> str:
        """What the form in the UI shows last."""
        state = self.server.flow_run(run)["state"]
        keys = state["state_details"]["run_input_keyset"]
        return str(self.server.get(f"flow_runs/{run}/input/{keys['description']}"))

    def end(self, run: str, *names: str) -> dict[str, Any]:
        return self.server.wait_for_state(run, *names)
