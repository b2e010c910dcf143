"""From units to boards: each row checked like a storyboard of its own, then all rows of a shard as one board.

The ids of that board are ROW/SHOT: no id of a shot holds a slash.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType

from prefect_seedance.campaign.matrix import varied
from prefect_seedance.campaign.units import Unit
from prefect_seedance.catalog.endpoints import Catalog
from prefect_seedance.models import Problem
from prefect_seedance.sources.folder import Folder
from prefect_seedance.sources.images import Gallery, PictureSource
from prefect_seedance.sources.sounds import SoundSource
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.board import Board, BoardShot
from prefect_seedance.storyboard.checks.pictures import picture_places
from prefect_seedance.storyboard.checks.sounds import sound_places
from prefect_seedance.storyboard.checks.storyboard import check
from prefect_seedance.storyboard.schema import Outline

Source = PictureSource | SoundSource


class Boards:
    """Makes boards of the rows of one campaign; each picture and sound is examined once. Close it."""

    def __init__(
        self, outline: Outline, folder: Folder | None, store: Store, catalog: Catalog, *, allow_private: bool, file: str
    ) -> None:
        """*file* stands for the table in messages."""
        self.outline = replace(outline, board=outline.board.model_copy(update={"rows": None}))
        self.folder = folder
        self.catalog = catalog
        self.file = file
        self._gallery = Gallery(folder, store, allow_private)
        self._varied: dict[str, Outline] = {}

    async def __aenter__(self) -> Boards:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._gallery.aclose()
        if self.folder is not None:
            await self.folder.aclose()

    async def board_of(self, unit: Unit) -> Board:
        """The board of one unit, with the ids and the line of its row, and what is wrong with that row."""
        await asyncio.sleep(0)  # thousands of rows are checked beside runs whose clips are on their way
        base = self._base(unit.vary)
        variables = {**base.board.variables, **unit.variables}
        outline = replace(base, board=base.board.model_copy(update={"variables": variables}))
        pictures = await self._gallery.examine(picture_places(outline))
        sounds = await self._gallery.listen(sound_places(outline))
        board = check(outline, self.catalog, pictures, sounds)
        known = {*outline.problems, *outline.warnings}
        return replace(
            board,
            shots=tuple(_named(shot, unit) for shot in board.shots),
            problems=tuple(self._of_row(one, unit) for one in board.problems if one not in known),
            warnings=tuple(self._of_row(one, unit) for one in board.warnings if one not in known),
            file=self.file,
        )

    def _base(self, vary: Mapping[str, str]) -> Outline:
        name = "\n".join(vary.values())
        if name not in self._varied:
            self._varied[name] = replace(self.outline, board=varied(self.outline.board, vary))
        return self._varied[name]

    def _of_row(self, problem: Problem, unit: Unit) -> Problem:
        shot = unit.name if problem.shot is None else f"{unit.name}/{problem.shot}"
        return Problem(file=self.file, line=unit.line, shot=shot, message=problem.message)

    def files_of(self, board: Board) -> Iterator[tuple[str, Source]]:
        """What *board* names that lies beside the storyboard: paths and where to read them again."""
        for source in sources_of(board):
            if source.place.folder is self.folder and self.folder is not None:
                yield source.place.location, source


def sources_of(board: Board) -> Iterator[Source]:
    """All pictures and sounds of *board*."""
    if board.music is not None:
        yield board.music
    for shot in board.shots:
        yield from (one for one in (shot.image, shot.last_image, shot.voice, *shot.references) if one is not None)


def sha256_of(source: Source) -> str:
    return source.sha256 if isinstance(source, SoundSource) else source.picture.sha256


def _named(shot: BoardShot, unit: Unit) -> BoardShot:
    def prefixed(one: BoardShot) -> BoardShot:
        before = one.continue_from and f"{unit.name}/{one.continue_from}"
        return replace(one, id=f"{unit.name}/{one.id}", continue_from=before, line=unit.line)

    return replace(prefixed(shot), spoken=shot.spoken and prefixed(shot.spoken))


def merged(title: str, boards: Sequence[Board], file: str) -> Board:
    """*boards* as one board, which makes clips only: a silent one, without music and without words for people."""
    return Board(
        title=title,
        shots=tuple(shot for board in boards for shot in board.shots),
        problems=_each(board.problems for board in boards),
        warnings=_each(board.warnings for board in boards),
        file=file,
        sound="off",
    )


def _each(found: Iterable[Sequence[Problem]]) -> tuple[Problem, ...]:
    return tuple(problem for some in found for problem in some)
