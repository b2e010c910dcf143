"""A pretend Runpod: the same answers, real little MP4s, a bill in pretend dollars, and misbehaviour on request.

    python -m prefect_seedance.emulator --port 8642 --speed 10

It knows your own rows of the catalog (PREFECT_SEEDANCE_CATALOG, and `catalog.yaml` in the folder that it serves) and
listens on this machine only. What it answers is in `routes.py`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cyclopts
import uvicorn
from pydantic import ValidationError
from uvicorn.protocols.http.h11_impl import H11Protocol

from prefect_seedance.emulator.clips import Clips
from prefect_seedance.emulator.faults import RULES, Rules
from prefect_seedance.emulator.jobs import Books
from prefect_seedance.emulator.routes import Emulator
from prefect_seedance.errors import BadInput
from prefect_seedance.sources.catalog import catalog_of
from prefect_seedance.storage import open_store

PARENT = "PREFECT_SEEDANCE_EMULATOR_PARENT"
"""The environment variable with the id of a process that the emulator must not outlive."""


class _Connection(H11Protocol):
    """Hands its transport to the routes, so that a fault can cut the connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}
        # asyncio leaves it out for a socket made by hand, and each answer would wait 40 ms for an acknowledgement.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: uvicorn would wait for calls that are held on purpose, and end with an error."""
        yield


def serve(
    port: int = 0,
    speed: float = 1,
    latency: float = 2,
    faults: Path | None = None,
    serve: Path | None = None,
    state: Path | None = None,
) -> None:
    """Pretend to be Runpod on this machine until SIGTERM or Ctrl-C; the first line says the base URL.

    Args:
        port: Where to listen; 0 takes a free one.
        speed: How much faster than the wall's its clock runs.
        latency: Seconds of its clock that a job takes.
        faults: A JSON list of rules of misbehaviour.
        serve: A folder whose files can be read below /files; with a `catalog.yaml`, where it is a store that has one.
        state: Where jobs and the bill are kept, so that they outlive the process.
    """
    rules = _rules(faults)
    if serve is not None and not serve.is_dir():
        raise BadInput(f"{serve} is not a folder; --serve takes the folder whose files are to be readable")
    catalog = asyncio.run(catalog_of(None if serve is None else open_store(serve)))
    if os.environ.get(PARENT):
        threading.Thread(target=_end_with, args=(int(os.environ[PARENT]),), daemon=True).start()
    try:
        listening = socket.create_server(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        why = error.strerror if isinstance(error, OSError) else "a port is from 0 to 65535"
        raise BadInput(f"the emulator can't listen on port {port}: {why}; choose another --port") from error
    with listening, tempfile.TemporaryDirectory(prefix="seedance-emulator-") as temporary:
        folder = Path(temporary) if state is None else state.with_name(f"{state.name}.clips")
        origin = f"http://127.0.0.1:{listening.getsockname()[1]}"
        books, clips = Books(speed, latency, state, catalog), Clips(folder, catalog)
        emulator = Emulator(origin, books, clips, rules, serve)
        asyncio.run(_until_stopped(emulator, listening))


async def _until_stopped(emulator: Emulator, listening: socket.socket) -> None:
    for job in emulator.books.jobs.values():
        emulator.fetch_pictures(job)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    server = _Server(
        uvicorn.Config(
            emulator.app(),
            http=_Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            timeout_keep_alive=75,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    sys.stdout.write(f"{emulator.origin}/v2\n")
    sys.stdout.flush()
    await stopped.wait()
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # calls held on purpose are cut off without a word
    serving.cancel()


def _rules(file: Path | None) -> Rules:
    if file is None:
        return Rules()
    try:
        return Rules(RULES.validate_json(file.read_bytes()))
    except OSError as error:
        raise BadInput(f"{file} can't be read: {error.strerror}") from error
    except ValidationError as error:
        raise BadInput(f"{file} is not a list of faults: {error}") from error


def _end_with(parent: int) -> None:
    """End this process when *parent* has ended: it is then the child of another."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """`python -m prefect_seedance.emulator`."""
    try:
        cyclopts.run(serve)
    except BadInput as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
