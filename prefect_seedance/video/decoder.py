"""Clips are decoded in processes of their own, as many as there are processors, started when they are needed.

PyAV gives the interpreter's lock away and takes it again several times a frame: an event loop beside it loses 11 ms on
a clip of two seconds, and here none. And a file that brings the decoder down takes no run with it.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from prefect_seedance.errors import BadInput, ClipDamaged, DownloadFailed
from prefect_seedance.models import Footage, Heard
from prefect_seedance.video import decoding

FAULTS = {-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGFPE, -signal.SIGILL, -signal.SIGBUS, -signal.SIGPROF}
"""Signals by which a clip ends its decoder. Any other end came from outside and says nothing of the clip."""

CPU_SECONDS = 900.0
"""The most processor time for one clip; a sound one takes a few. SIGPROF ends a decoder that takes longer."""

SECRETIVE = ("RUNPOD_", "AWS_", "PREFECT_")

PROBE = Path(__file__).with_name("probe.mp4")
IN_PROBE = Footage(width=64, height=64, fps=24.0, frames=3, seconds=0.125)

WAITING = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decode")
_idle: list[subprocess.Popen[str]] = []


async def examine(clip: Path, *, poster: Path | None = None, last_frame: Path | None = None) -> Footage:
    """Decode every frame of *clip* once and say what is there, or raise `ClipDamaged`.

    The same pass makes the pictures that are asked for; one that can't be made is not there afterwards.
    Raises `DownloadFailed` when the disk fails or the decoder was ended from outside: nothing is known of the clip.
    """
    pictures = {"poster": poster, "last_frame": last_frame}
    asked = {"clip": str(clip)} | {name: str(picture) for name, picture in pictures.items() if picture is not None}
    return Footage(**await asyncio.get_running_loop().run_in_executor(WAITING, _answer_of, clip, asked))


async def listen(sound: Path, most_seconds: float) -> Heard:
    """Decode the sound file *sound* to its end and say what is heard; `ClipDamaged` and `DownloadFailed` as above.

    One that is longer than *most_seconds* counts as damaged. Its format is that of its ending, see `SOUND_FORMATS`.
    """
    asked = {"sound": str(sound), "most_seconds": str(most_seconds)}
    return Heard(**await asyncio.get_running_loop().run_in_executor(WAITING, _answer_of, sound, asked))


async def prove() -> None:
    """Decode a tiny clip of our own; `BadInput` with the real reason where that fails, before any clip is paid for."""
    try:
        seen = await examine(PROBE)
    except (ClipDamaged, DownloadFailed, OSError) as error:
        reason = str(error)
    else:
        if seen == IN_PROBE:
            return
        reason = f"a clip of {IN_PROBE.frames} frames was read as {seen.frames}"
    raise BadInput(
        f"Clips can't be decoded on this machine ({reason}); nothing was submitted; install PyAV anew "
        "(pip install --force-reinstall av) and see that `prefect-seedance doctor` passes."
    )


def _answer_of(clip: Path, asked: dict[str, str]) -> dict[str, Any]:
    """What a decoder answers about *clip*."""
    process = _take()
    answer = _ask(process, asked)
    if answer is None:
        code = process.wait()
        if code in FAULTS:
            raise ClipDamaged(f"{clip.name} brings the decoder down ({signal.Signals(-code).name})")
        raise DownloadFailed(f"the decoder ended (exit code {code}) before it had read the clip; it is read again")
    _idle.append(process)
    if "damaged" in answer:
        raise ClipDamaged(answer["damaged"])
    if "broken" in answer:
        raise DownloadFailed(f"the decoder does not work here: {answer['broken']}; the clip is read again later")
    if "failed" in answer:
        raise DownloadFailed(
            f"the clip can't be read back from {clip.parent} ({answer['failed']}); it is fetched again"
        )
    return answer


def _take() -> subprocess.Popen[str]:
    """An idle decoder that is still alive, or a new one."""
    while _idle:
        process = _idle.pop()
        if process.poll() is None:
            return process
    return _start()


def _start() -> subprocess.Popen[str]:
    """A decoder in a session of its own, where no Ctrl-C reaches it. It ends when its input does: with this process.

    It reads what strangers may have made, so that it is given no keys.
    """
    harmless = {name: value for name, value in os.environ.items() if not name.startswith(SECRETIVE)}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", decoding.__name__, str(CPU_SECONDS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        env=harmless | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def _ask(process: subprocess.Popen[str], asked: dict[str, str]) -> dict[str, Any] | None:
    """The decoder's answer, or None when it ended instead."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
    except BrokenPipeError:
        return None
    answer: dict[str, Any] | None = json.loads(line) if line.endswith("\n") else None
    return answer


@atexit.register
def _end() -> None:
    for process in _idle:
        process.communicate()
