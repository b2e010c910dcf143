"""Storyboards as texts: written into the current folder, read, and what is told of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from prefect_seedance.catalog.endpoints import KNOWN, Catalog
from prefect_seedance.storyboard.reading import Board, read_board

ONE_SHOT = "shots:\n  - id: a\n    prompt: A boat.\n"


async def read(text: str, name: str = "board.yaml", catalog: Catalog = KNOWN) -> Board:
    await asyncio.to_thread(Path(name).write_text, text, encoding="utf-8")
    return await read_board(name, catalog=catalog, store=None)


def told(board: Board) -> list[str]:
    return [str(problem) for problem in board.problems]


def shots(*lines: str) -> str:
    """A storyboard whose shots begin on line 3."""
    return "title: Film\nshots:\n" + "\n".join(lines) + "\n"
