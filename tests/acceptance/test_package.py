"""What is installed: everything a run needs, and nothing imported before it is used."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

import prefect_seedance
from tests.support.places import ROOT
from tests.support.prefect_server import RunningPrefect

WANTED = {
    "prefect_seedance/py.typed",
    "prefect_seedance/production/review.html",
    "prefect_seedance/campaign/pages/index.html",
    "prefect_seedance/video/probe.mp4",
    "prefect_seedance/storyboard/storyboard.schema.json",
    "prefect_seedance/catalog/rows/bytedance.yaml",
    "prefect_seedance/flows/storyboard_to_shots.py",
    "prefect_seedance/examples/lighthouse.yaml",
    "prefect_seedance/examples/references/keeper.png",
    "prefect_seedance/logos/video-store.png",
}


@pytest.fixture(scope="module")
def from_the_tree(tmp_path_factory: pytest.TempPathFactory, proxies: dict[str, str]) -> Path:
    """The wheel that `pip install .` makes of the repository."""
    folder = tmp_path_factory.mktemp("tree")
    command = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    _run(*command, env=os.environ | proxies)
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, proxies: dict[str, str]) -> Path:
    """A folder with the sdist and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("built")
    _run(sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT), env=os.environ | proxies)
    return folder


def _run(*command: str, **more: Any) -> str:
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **more)
    assert ran.returncode == 0, f"{command}\n{ran.stdout}"
    return ran.stdout


def test_the_wheel_is_complete_and_is_the_same_by_every_road(from_the_tree: Path, built: Path) -> None:
    names = set(zipfile.ZipFile(from_the_tree).namelist())
    assert names >= WANTED
    assert {name.split("/")[0].split("-")[0] for name in names} == {"prefect_seedance"}
    [through_the_sdist] = built.glob("*.whl")
    assert set(zipfile.ZipFile(through_the_sdist).namelist()) == names


def test_the_sdist_holds_all_that_an_editable_install_and_its_tests_need(built: Path) -> None:
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {member.name.split("/", 1)[1] for member in archive.getmembers()}
    assert names >= WANTED | {
        "flows/storyboard_to_shots.py",
        "examples/lighthouse.yaml",
        "tests/acceptance/test_package.py",
    }
    assert names >= {"Makefile", "constraints.txt", "Dockerfile", ".dockerignore", "deployments/compose.yaml"}


PLAN = """
import sys
from prefect_seedance.cli import app
sys.argv = ["prefect-seedance", "plan", "nothing.yaml", "--store", sys.argv[1], "--json"]
assert app.run() == 2
print(*sys.modules)
"""


class Elsewhere:
    """An environment that holds a team's own `flows` package, and nothing else yet."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder)
        self.programs = folder / "bin"
        [self.packages] = folder.glob("lib/*/site-packages")
        self.flows = self.packages / "flows" / "__init__.py"
        self.flows.parent.mkdir()
        self.flows.write_text("WHOSE = 'the team'\n")
        self._dependencies = self.packages / "dependencies.pth"

    def pip(self, *words: str) -> None:
        _run(sys.executable, "-m", "pip", "--quiet", "--python", str(self.programs / "python"), *words)

    @contextmanager
    def with_dependencies(self) -> Iterator[None]:
        """What the package needs is taken from the environment of the tests, where it is installed already."""
        self._dependencies.write_text(f"{sysconfig.get_path('purelib')}\n")
        yield
        self._dependencies.unlink()


@pytest.mark.slow
def test_an_install_beside_a_teams_own_flows_runs_the_demo_and_leaves_them_alone(
    built: Path, tmp_path: Path, prefect_server: RunningPrefect
) -> None:
    [wheel] = built.glob("*.whl")
    elsewhere = Elsewhere(tmp_path / "environment")
    elsewhere.pip("install", "--no-deps", str(wheel))
    python, command = elsewhere.programs / "python", elsewhere.programs / "prefect-seedance"
    environment = os.environ | prefect_server.environment
    with elsewhere.with_dependencies():
        program = "import flows, prefect_seedance.flows.storyboard_to_shots as ours; print(flows.WHOSE, ours.__file__)"
        whose, ours = _run(str(python), "-c", program, cwd=tmp_path, env=environment).strip().rsplit(" ", 1)
        assert whose == "the team"
        assert Path(ours).is_relative_to(elsewhere.packages)
        register = ("-m", "prefect", "block", "register", "-m", "prefect_seedance.blocks")
        assert "3 blocks" in _run(str(python), *register, cwd=tmp_path, env=environment)
        _run(str(command), "demo", cwd=tmp_path, env=environment, timeout=500)
    elsewhere.pip("uninstall", "--yes", "prefect-seedance")
    assert not (elsewhere.packages / "prefect_seedance").exists()
    assert elsewhere.flows.read_text() == "WHOSE = 'the team'\n"
    demo = tmp_path / "seedance-demo"
    assert len(list(demo.glob("store/productions/*/*/film.mp4"))) == 3
    submitted = [line for line in (demo / "emulator" / "jobs.jsonl").read_text().splitlines() if '"job":' in line]
    assert len(submitted) == len(list(demo.glob("store/clips/*"))) == 15


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
        ("prefect_seedance.video.clips", ["pydantic"]),
    ],
)
def test_importing_a_module_loads_nothing_it_does_not_need_yet(module: str, unloaded: list[str]) -> None:
    program = f"import sys, {module}; print([name for name in {unloaded!r} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n"


@pytest.mark.skipif(Version(version("cyclopts")) < Version("4.4"), reason="it imports all commands to run one")
def test_a_plan_waits_for_nothing_that_only_renders_need(tmp_path: object) -> None:
    ran = subprocess.run([sys.executable, "-c", PLAN, str(tmp_path)], capture_output=True, text=True, check=True)
    needless = {"prefect", "httpx", "rich", "av", "PIL", "s3fs", "prefect_seedance.generation.submit"}
    assert needless & set(ran.stdout.splitlines()[-1].split()) == set()


def test_a_command_as_a_flow_imports_nothing_of_prefects_server() -> None:
    flows = "import prefect_seedance.cli.run_flows, prefect_seedance.flows.storyboard_to_shots, sys"
    said = "print(*[name for name in sys.modules if name.startswith(('prefect.server', 'sqlalchemy', 'fastapi'))])"
    ran = subprocess.run([sys.executable, "-c", f"{flows}; {said}"], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""


@pytest.mark.parametrize(
    "name", ["storyboard_to_shots", "image_sequence_animation", "collect_finished", "process_inbox"]
)
def test_a_flow_file_defines_its_flow_and_no_class(name: str) -> None:
    module = importlib.import_module(f"prefect_seedance.flows.{name}")
    assert getattr(module, name).name == name.replace("_", "-")
    written = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    assert not any(isinstance(node, ast.ClassDef) for node in ast.walk(written))
