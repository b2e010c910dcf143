"""Whether a production is that of a board: of the very same shots, sounds and words."""

from __future__ import annotations

from prefect_seedance.production.manifest import Manifest, ShotResult, words_of
from prefect_seedance.storyboard.board import Board


def is_made_of(manifest: Manifest, board: Board) -> bool:
    """Whether *manifest* is that of *board*, and nothing is missing in it."""
    shots = [(shot.id, shot.key, _said(shot), words_of(shot)) for shot in manifest.shots]
    wanted = [(shot.id, shot.key, shot.narration, shot.words) for shot in board.shots]
    music = manifest.music.sha256 if manifest.music else None
    heard = (manifest.sound, music) == (board.sound, board.music.sha256 if board.music else None)
    return manifest.status == "complete" and shots == wanted and heard and words_of(manifest) == board.words


def _said(shot: ShotResult) -> str | None:
    """What is heard over a shot, by its content, as `BoardShot.narration` has it."""
    return None if shot.narration is None else shot.narration.key or shot.narration.sha256
