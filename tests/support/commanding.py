"""The command line as a person has it: a process with an environment, an exit code and two streams."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.forked import light_forker, prefect_forker

LIGHTHOUSE = """
    title: The lighthouse
    defaults: {size: 640x640, duration: 2}
    shots:
      - {id: arrival, prompt: A keeper rows.}
      - {id: lamp, prompt: The lamp burns.}
"""
COMMAND = [sys.executable, "-m", "prefect_seedance.cli"]


@dataclass
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


class Desk:
    """A folder with a storyboard, a store, and an environment to run commands in."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.store = str(folder / "store")
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "COLUMNS": "200", **environment}

    def board(self, text: str, name: str = "board.yaml") -> str:
        path = self.folder / name
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return str(path)

    def run(self, *words: str, **environment: str) -> Said:
        everything = self.environment | environment
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            forker = prefect_forker() if "PREFECT_API_URL" in everything else light_forker()
            running = forker.start(
                [*COMMAND[2:], *words, "--store", self.store], everything, str(self.folder), out.fileno(), err.fileno()
            )
            code = running.wait(timeout=300)
            out.seek(0)
            err.seek(0)
            said = Said(code, out.read(), err.read())
        assert "Traceback" not in said.err, said.err
        return said

    def start(self, *words: str, python: str = sys.executable) -> subprocess.Popen[str]:
        """Begin a command without waiting for its end, by another interpreter if one is named."""
        return subprocess.Popen(
            [python, *COMMAND[1:], *words, "--store", self.store],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
