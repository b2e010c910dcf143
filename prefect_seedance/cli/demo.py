"""The first run, without an account: an emulator, an example storyboard and a local store below one folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from prefect_seedance.cli import terminal
from prefect_seedance.errors import SeedanceError

EXAMPLES = Path(__file__).parents[1] / "examples"


@contextmanager
def _emulator(folder: Path) -> Iterator[str]:
    """Run an emulator and hand out its base URL. Its session is its own: Ctrl-C stops the run, not the pretend API."""
    state = folder / "emulator" / "jobs.jsonl"
    state.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "prefect_seedance.emulator", "--latency=4"]
    command += [f"--port={_port(folder)}", f"--serve={folder / 'store'}", f"--state={state}"]
    environment = os.environ | {"PREFECT_SEEDANCE_EMULATOR_PARENT": str(os.getpid())}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    try:
        assert process.stdout is not None
        base_url = process.stdout.readline().strip()
        if not base_url:
            raise SeedanceError(
                f"The demo's pretend Runpod did not start on port {_port(folder)}; nothing was begun; end what listens "
                "there, another demo perhaps, or name another --folder."
            )
        (folder / "emulator" / "port").write_text(base_url.rsplit(":", 1)[1].split("/")[0])
        yield base_url
    finally:
        process.terminate()
        process.wait()


def _port(folder: Path) -> str:
    """The port of the last time, so that its jobs are found again where they were submitted."""
    last = folder / "emulator" / "port"
    return last.read_text() if last.exists() else "0"


def run_demo(folder: Path, run: Callable[[Sequence[str]], int]) -> int:
    """Render the example storyboards, then animate the example pictures. Run again, it costs $0.

    *run* takes the words of a command line and returns its exit code. Returns the first one that is not 0.
    """
    folder = folder.absolute()
    for name in ("lighthouse.yaml", "keeper.yaml", "references", "harbour"):
        if not (folder / name).exists():
            copy = shutil.copytree if (EXAMPLES / name).is_dir() else shutil.copy
            copy(EXAMPLES / name, folder / name)
    os.environ.setdefault("PREFECT_HOME", str(folder / "prefect"))
    (folder / "store").mkdir(exist_ok=True)
    with _emulator(folder) as base_url:
        os.environ |= {"RUNPOD_API_KEY": "pretend", "RUNPOD_BASE_URL": base_url}
        where = [
            "--store",
            str(folder / "store"),
            "--prefect",
            "--public-base-url",
            base_url.removesuffix("/v2") + "/files",
        ]
        terminal.say(f"A pretend Runpod is at {base_url}; its dollars are pretend too. Everything is below {folder}.\n")
        first = run(["render", str(folder / "lighthouse.yaml"), *where])
        if first:
            return first
        terminal.say("\nNow a short film that can be heard: with a cast, a spoken text and music.\n")
        heard = run(["render", str(folder / "keeper.yaml"), *where])
        if heard:
            return heard
        terminal.say("\nNow a folder of pictures becomes an animation.\n")
        prompt = "The boats rock gently while the light changes."
        last = run(["animate", str(folder / "harbour"), "--prompt", prompt, "--size", "854x480", *where])
    terminal.say("\nRun it again: everything is stored, so it costs $0.00. Then change a prompt in lighthouse.yaml.")
    return last
