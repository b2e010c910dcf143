"""What building an image needs of a machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.postgres_server import programs

CERTIFICATES = "/run/certificates"
"""Where a container finds the certificates of this machine, which may know one for its package index."""


def why_not() -> str | None:
    """The one reason why nothing can be built here, or None: then all that is needed is installed."""
    if os.geteuid() != 0:
        return "it needs root, for debootstrap and buildah"
    missing = [name for name in ("buildah", "debootstrap", "redis-server") if shutil.which(name) is None]
    missing += [] if programs() else ["postgresql"]
    if not missing:
        return None
    needs = " and ".join(missing)
    if shutil.which("apt-get") is None:
        return f"it needs {needs}, and there is no apt-get here to install them"
    for words in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        ran = subprocess.run(["apt-get", *words], capture_output=True, text=True, env=environment, check=False)
        if ran.returncode:
            said = (ran.stderr or ran.stdout).strip().splitlines() or ["no word"]
            return f"it needs {needs}, and apt-get could not install them ({said[-1]})"
    return None


def pip_settings() -> tuple[str, list[str]]:
    """What pip knows here of package indexes, as a pip.conf for a container, and the mounts that it needs."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    known = dict(re.findall(r"^[\w:]+\.([\w-]+)='(.*)'$", listed, re.MULTILINE))
    indexes = {name: " ".join(_remote(known.get(name, ""))) for name in ("index-url", "extra-index-url")}
    lines = {name: value for name, value in indexes.items() if value} | {"timeout": "180"}
    lines |= {name: known[name] for name in ("proxy", "trusted-host") if name in known}
    mounts = []
    if "cert" in known:
        folder, name = Path(known["cert"]).parent, Path(known["cert"]).name
        lines["cert"] = f"{CERTIFICATES}/{name}"
        mounts = ["--volume", f"{folder}:{CERTIFICATES}:ro"]
    return "\n".join(["[global]", *(f"{name} = {value}" for name, value in lines.items())]) + "\n", mounts


def _remote(indexes: str) -> list[str]:
    return [index for index in indexes.split() if not index.startswith("file:")]
