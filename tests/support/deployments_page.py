"""deployments/README.md as a program: its sections, and doing what they say."""

from __future__ import annotations

import os
import re
import subprocess

from tests.support.forked import path_to_commands
from tests.support.places import ROOT


def readme_section(heading: str) -> str:
    text = (ROOT / "deployments" / "README.md").read_text(encoding="utf-8")
    [section] = [part for part in text.split("\n## ") if heading in part.splitlines()[0]]
    return section


def readme(heading: str) -> str:
    """The commands of one section of deployments/README.md, as one script."""
    section = readme_section(heading)
    script = ["set -euo pipefail"]
    for language, code in re.findall(r"```(bash|python)\n(.*?)```", section, re.DOTALL):
        script.append(code if language == "bash" else f"python - <<'PYTHON'\n{code}PYTHON")
    return "\n".join(script)


def follow(heading: str, environment: dict[str, str], leave_out: str = "worker start") -> None:
    """Do what a section of deployments/README.md says, but for what goes on for ever."""
    script = "\n".join(line for line in readme(heading).splitlines() if leave_out not in line)
    done = subprocess.run(
        ["bash", "-c", script],
        env=os.environ | environment | {"PATH": path_to_commands()},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
