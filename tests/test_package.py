"""What is installed: everything a run needs, and nothing imported before it is used."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import prefect_seedance

ROOT = Path(__file__).parent.parent


def test_the_wheel_holds_flows_examples_and_pages(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in (
        "prefect_seedance/py.typed",
        "prefect_seedance/production/review.html",
        "prefect_seedance/video/probe.mp4",
        "prefect_seedance/storyboard/storyboard.schema.json",
        "prefect_seedance/flows/storyboard_to_shots.py",
        "prefect_seedance/examples/lighthouse.yaml",
        "prefect_seedance/examples/references/keeper.png",
        "prefect_seedance/logos/video-store.png",
        "flows/collect_finished.py",
    ):
        assert name in names


def test_every_public_name_can_be_loaded() -> None:
    for name in prefect_seedance.__all__:
        assert getattr(prefect_seedance, name) is not None
    assert dir(prefect_seedance) == sorted(prefect_seedance.__all__)
    with pytest.raises(AttributeError):
        prefect_seedance.nonsense  # noqa: B018


@pytest.mark.parametrize(
    ("module", "unloaded"),
    [
        ("prefect_seedance", ["prefect", "httpx", "pydantic", "av", "s3fs"]),
        ("prefect_seedance.cli", ["prefect", "av", "s3fs", "PIL"]),
        ("prefect_seedance.blocks", ["av", "s3fs"]),
    ],
)
def test_importing_a_module_loads_nothing_it_does_not_need_yet(module: str, unloaded: list[str]) -> None:
    program = f"import sys, {module}; print([name for name in {unloaded!r} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n"


@pytest.mark.parametrize(
    "name", ["storyboard_to_shots", "image_sequence_animation", "collect_finished", "process_inbox"]
)
def test_a_flow_file_defines_its_flow_and_no_class(name: str) -> None:
    module = importlib.import_module(f"prefect_seedance.flows.{name}")
    assert getattr(module, name).name == name.replace("_", "-")
    written = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    assert not any(isinstance(node, ast.ClassDef) for node in ast.walk(written))
