"""Reading a storyboard costs no import that only pictures, videos or Prefect need."""

from __future__ import annotations

import subprocess
import sys


def test_reading_storyboards_starts_without_pillow_httpx_and_s3() -> None:
    heavy = {"PIL", "httpx", "s3fs", "av", "prefect"}
    code = f"import sys, prefect_seedance.storyboard.reading; print({heavy} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
