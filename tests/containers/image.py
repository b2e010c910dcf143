"""The base by debootstrap, the image and its containers by buildah, without a daemon and without a registry."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.containers.machine import pip_settings
from tests.support.places import ROOT

BASE = "localhost/seedance-test-base"
IMAGE = "localhost/prefect-seedance:test"
CHROOT = ("--isolation", "chroot")


def run(*command: str) -> str:
    """What *command* says; with what it said in the error, if it fails."""
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert ran.returncode == 0, f"{' '.join(command)}\n{ran.stdout[-6000:]}"
    return ran.stdout


def make_base(folder: Path, release: str = "bookworm") -> bool:
    """A bare Debian without Python. Made once: True where there was none yet."""
    if (
        subprocess.run(["buildah", "inspect", "--type", "image", BASE], capture_output=True, check=False).returncode
        == 0
    ):
        return False
    run("debootstrap", "--variant=minbase", release, str(folder / "base"))
    run("tar", "--directory", str(folder / "base"), "--create", "--file", str(folder / "base.tar"), ".")
    working = run("buildah", "from", "scratch").strip()
    run("buildah", "add", "--quiet", working, str(folder / "base.tar"), "/")
    run("buildah", "commit", "--quiet", "--rm", working, BASE)
    return True


def build(folder: Path) -> float:
    """The image as the Dockerfile says, on the base; the seconds that it took."""
    settings, mounts = pip_settings()
    (folder / "pip.conf").write_text(settings)
    started = time.monotonic()
    run(
        *("buildah", "bud", *CHROOT, "--format", "docker", *mounts),
        *("--secret", f"id=pip.conf,src={folder / 'pip.conf'}"),
        *("--build-arg", f"BASE_IMAGE={BASE}", "--tag", IMAGE, str(ROOT)),
    )
    return time.monotonic() - started


def size() -> str:
    return run("buildah", "images", "--format", "{{.Size}}", IMAGE).strip()


def health_check() -> list[str]:
    """The words of HEALTHCHECK, without the CMD before them."""
    described = json.loads(run("buildah", "inspect", "--type", "image", IMAGE))
    words: list[str] = described["Docker"]["config"]["Healthcheck"]["Test"]
    assert words[0] == "CMD"
    return words[1:]


class Container:
    """A container of the image. It shares the network of this machine."""

    def __init__(self, name: str, volumes: Sequence[str] = ()) -> None:
        self.name = name
        self._volumes = [word for volume in volumes for word in ("--volume", volume)]

    def run(self, *words: str, environment: Mapping[str, str] = {}) -> str:
        return run(*self._command(words, environment))

    def works(self, *words: str, environment: Mapping[str, str] = {}) -> bool:
        return subprocess.run(self._command(words, environment), capture_output=True, check=False).returncode == 0

    @contextmanager
    def running(self, *words: str, log: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        """*words* in the background, ended with all that they have started."""
        with log.open("wb") as said:
            process = subprocess.Popen(
                self._command(words, environment), stdout=said, stderr=subprocess.STDOUT, start_new_session=True
            )
            try:
                yield process
            finally:
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    process.wait(timeout=60)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()

    def _command(self, words: Sequence[str], environment: Mapping[str, str]) -> list[str]:
        given = [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]
        return ["buildah", "run", *CHROOT, *self._volumes, *given, self.name, "--", *words]


@contextmanager
def container(volumes: Sequence[str] = ()) -> Iterator[Container]:
    name = run("buildah", "from", "--pull-never", IMAGE).strip()
    try:
        yield Container(name, volumes)
    finally:
        run("buildah", "rm", name)


def json_of(text: str) -> Any:
    """The JSON on the last line of *text*."""
    return json.loads(text.strip().splitlines()[-1])
