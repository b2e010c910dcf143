"""Every block of the README runs, in order, in one folder, and after them those of the page on Prefect: key and bucket
stand for an emulator and a real S3 server on this machine."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from tests.support.emulating import RunningEmulator
from tests.support.forked import path_to_commands
from tests.support.places import EXAMPLES, ROOT
from tests.support.prefect_server import RunningPrefect
from tests.support.s3_server import RunningS3

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
PAGES = ("README.md", "docs/prefect.md")
BLOCKS = [BLOCK.findall((ROOT / page).read_text(encoding="utf-8")) for page in PAGES]
BUCKET = "your-bucket"


def test_the_pages_have_the_blocks_that_are_tested() -> None:
    readme, prefect = ([language for language, _ in blocks] for blocks in BLOCKS)
    assert readme == ["bash", "yaml", "bash", "yaml", "bash", "python", "bash", "bash"]
    assert BLOCKS[0][1][1] == (EXAMPLES / "keeper.yaml").read_text()
    assert prefect == ["python"]


@pytest.fixture
def sandbox(
    tmp_path: Path, emulator: RunningEmulator, s3_server: RunningS3, prefect_server: RunningPrefect
) -> dict[str, str]:
    """The environment of a person who has typed nothing yet, on a machine where Runpod and S3 are pretend."""
    s3_server.make_bucket(BUCKET)
    pretend = {"RUNPOD_BASE_URL": emulator.base_url, "AWS_ENDPOINT_URL": s3_server.endpoint_url}
    return {"PATH": path_to_commands(), "HOME": str(tmp_path)} | pretend | prefect_server.environment


def test_every_block_of_the_pages_runs(sandbox: dict[str, str], tmp_path: Path, emulator: RunningEmulator) -> None:
    exports = ""
    for language, block in chain(*BLOCKS):
        match language:
            case "yaml":
                (tmp_path / "board.yaml").write_text(block, encoding="utf-8")
            case "python":
                _run([sys.executable, "-c", block], sandbox | {"RUNPOD_API_KEY": "k"}, tmp_path)
            case "bash" if "make " in block:
                targets = re.findall(r"^make (\w+)", block, re.MULTILINE)
                _run(["make", "--dry-run", *targets], sandbox, ROOT)
            case "bash" if "pip install ." in block:
                typed = [line for line in block.splitlines() if "pip install" not in line]
                assert any("prefect block register" in line for line in typed)
                _run(["bash", "-ec", "\n".join(typed)], sandbox, ROOT)
            case "bash":
                exports += "".join(line + "\n" for line in block.splitlines() if line.startswith("export "))
                _run(["bash", "-ec", exports + block], sandbox, tmp_path)
    # Three shots of the storyboard, one from Python, one from a flow of one's own.
    assert len(emulator.charges) == 5


def _run(command: list[str], environment: dict[str, str], folder: Path) -> None:
    ran = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
