"""A real PostgreSQL server in a process of its own, below a temporary folder and on loopback only."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from tests.support.processes import free_port

HOW_TO_INSTALL = "PostgreSQL is not here: tests/install_servers installs it on Debian (apt-get install postgresql)."


def programs() -> Path | None:
    """The folder of initdb and pg_ctl, newest version first; None where there is no PostgreSQL."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    on_path = shutil.which("initdb")
    return found[0].parent if found else Path(on_path).parent if on_path else None


class RunningPostgres:
    """Started by the constructor; `stop` ends it."""

    def __init__(self, folder: Path) -> None:
        bin_folder = programs()
        assert bin_folder is not None, HOW_TO_INSTALL
        self._pg_ctl = str(bin_folder / "pg_ctl")
        self.folder = folder
        folder.mkdir(mode=0o755)
        # PostgreSQL refuses to run as root; its package brings a user for it.
        self._as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._as_user:
            owner = pwd.getpwnam("postgres")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        self.port = free_port()
        self._run(str(bin_folder / "initdb"), "-D", f"{folder}/data", "-U", "prefect", "--auth=trust", "-E", "UTF8")
        options = f"-p {self.port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run(self._pg_ctl, "-D", f"{folder}/data", "-l", f"{folder}/log", "-o", options, "-w", "start")
        self.url = f"postgresql+asyncpg://prefect@127.0.0.1:{self.port}/postgres"

    def stop(self) -> None:
        self._run(self._pg_ctl, "-D", f"{self.folder}/data", "-m", "immediate", "stop")

    def _run(self, *command: str) -> None:
        subprocess.run([*self._as_user, *command], check=True, cwd="/", stdout=subprocess.DEVNULL)
