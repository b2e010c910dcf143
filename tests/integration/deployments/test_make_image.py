"""`make image` says why it can't, where it can't."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.places import ROOT


def test_a_machine_that_can_build_no_image_is_told_in_one_line_and_is_not_a_success() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.containers"],
        cwd=ROOT,
        env=os.environ | {"PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    [line] = ran.stderr.splitlines()
    assert line.startswith("The image was NOT built and NOT tested: it needs ")
    assert "root" in line or "there is no apt-get here" in line
