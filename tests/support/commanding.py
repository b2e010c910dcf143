"""The command line as a person has it: a process with an environment, an exit code and two streams."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        ended = subprocess.run(
            self._words(words),
            env=self.environment | environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert "Traceback" not in ended.stderr, ended.stderr
        return Said(ended.returncode, ended.stdout, ended.stderr)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Begin a command without waiting for its end."""
        return subprocess.Popen(
            self._words(words),
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _words(self, words: tuple[str, ...]) -> list[str]:
        return [*COMMAND, *words, "--store", self.store]
