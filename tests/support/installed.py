"""What a test does where a system package that it needs is not there."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def not_here(packages: str) -> NoReturn:
    """Skip with the command that would help; in CI, where everything has to run, fail."""
    missing = f"needs what is not installed: sudo apt-get install {packages}"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)
