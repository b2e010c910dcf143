"""Prefect's own server for one command, where no API is configured: started before Prefect itself is imported here.

Only the standard library, so that the server's own six seconds of imports begin with the command.
"""

from __future__ import annotations

import atexit
import functools
import gzip
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from prefect_seedance.cli import prefect_api, terminal
from prefect_seedance.errors import SeedanceError

TEMPLATES = Path(__file__).parent / "prefect_databases"
"""Migrated, otherwise empty databases, gzipped, each named after its version of Prefect."""

DATABASE_ELSEWHERE = ("PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_SERVER_DATABASE_CONNECTION_URL")
LIMIT = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"

_started: list[subprocess.Popen[bytes]] = []


@functools.cache
def start_unless_configured() -> None:
    """Start the server and name it in the environment. Call it before anything imports Prefect; again does nothing.

    It does not outlive this process, and Ctrl-C in the terminal does not reach it: the run can say how it ended.
    """
    if prefect_api.url():
        return
    terminal.say("Starting a Prefect server for this run (the first start takes up to a minute) …")
    port = _free_port()
    server = subprocess.Popen(_command(port), env=_environment(), start_new_session=True, stdin=subprocess.DEVNULL)
    # A pipe that only this process holds open: when it is killed, the server does not outlive it.
    minder = ["sh", "-c", 'read _; kill "$0" 2> /dev/null', str(server.pid)]
    subprocess.Popen(minder, stdin=subprocess.PIPE, start_new_session=True)
    atexit.register(_stop, server)
    os.environ[prefect_api.NAME] = f"http://127.0.0.1:{port}/api"
    _started.append(server)


def wait_until_ready() -> None:
    """Return once a server that was started here answers; `SeedanceError` when it does not come up."""
    while _started:
        server = _started.pop()
        deadline = time.monotonic() + float(os.environ[LIMIT])
        while not _answers():
            if server.poll() is not None or time.monotonic() > deadline:
                raise SeedanceError(
                    "Prefect's own server did not start; nothing was submitted; run it without --prefect, or see what "
                    "`prefect server start` says."
                )
            time.sleep(0.05)


def with_database(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings that spare a server of *environment* the migrations of a first start; none where it has a database.

    Puts a migrated database into its home, if there is one for the installed version of Prefect.
    """
    if any(environment.get(name) for name in DATABASE_ELSEWHERE):
        return {}
    home = Path(environment.get("PREFECT_HOME") or "~/.prefect").expanduser()
    return {"PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "false"} if _copied(home) else {}


def _copied(home: Path) -> bool:
    template = TEMPLATES / f"{version('prefect')}.db.gz"
    database = home / "prefect.db"
    if database.exists() or not template.exists():
        return False
    home.mkdir(parents=True, exist_ok=True)
    mine = home / f"prefect.db.{os.getpid()}"
    mine.write_bytes(gzip.decompress(template.read_bytes()))
    try:
        database.hardlink_to(mine)
    except OSError:  # another process was first, or a file system without links: the server makes its own
        return False
    finally:
        mine.unlink()
    return True


def _answers() -> bool:
    address = urlsplit(os.environ[prefect_api.NAME])
    asking = http.client.HTTPConnection(address.netloc, timeout=10)
    try:
        asking.request("GET", f"{address.path}/health")
        return asking.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        asking.close()


def _command(port: int) -> list[str]:
    """What Prefect itself starts when no API is configured."""
    application = ["uvicorn", "--factory", "prefect.server.api.server:create_app"]
    return [
        sys.executable,
        "-m",
        *application,
        f"--port={port}",
        "--host=127.0.0.1",
        "--log-level=error",
        "--lifespan=on",
    ]


def _environment() -> dict[str, str]:
    environment = os.environ | {
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT__SERVER_FINAL": "1",
        "PREFECT_UI_ENABLED": "0",
        "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
        # Or it notes in the home that they are registered, and the person's own server then leaves them out.
        "PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",
    }
    return environment | with_database(environment)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.wait(timeout=5)
        return
    server.kill()
