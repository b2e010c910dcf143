"""Where the project is at home. `[project.urls]` of pyproject.toml says the same, and no other place spells it out."""

from __future__ import annotations

HOME = "https://github.com/prefect-seedance/prefect-seedance"
DOCUMENTATION = f"{HOME}/tree/main/docs"


def file_at_home(path: str) -> str:
    """Where people read the file or folder at *path* of the repository, with its `#anchor` if it has one."""
    return f"{HOME}/tree/main/{path}"


def logo(name: str) -> str:
    """The picture of a block, as Prefect's UI fetches it."""
    return f"{HOME}/raw/main/prefect_seedance/logos/{name}.png"
