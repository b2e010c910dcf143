"""What is heard over the shots of a run: sound files, kept in the store by their content, and spoken texts.

Whatever is wrong with one of them ends it alone: its shot stays, and the manifest says what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prefect_seedance.errors import SeedanceError, summary
from prefect_seedance.ledger.record import Record
from prefect_seedance.production.manifest import NarrationResult, ShotResult, SoundFile
from prefect_seedance.production.narration import Narration
from prefect_seedance.sources.sounds import SoundSource
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.board import Board
from prefect_seedance.video.endings import content_type


def kept_path(source: SoundSource) -> str:
    """Where a sound file of a board is kept in the store, by its content."""
    return f"sources/{source.sha256[:32]}{source.ending}"


async def keep_sounds(board: Board, store: Store) -> dict[str, str]:
    """See that the sound files of *board* lie in *store*; returns why one does not, by its sha256."""
    errors: dict[str, str] = {}
    named = (board.music, *(shot.voice for shot in board.shots))
    for source in {source.sha256: source for source in named if source is not None}.values():
        try:
            if not await store.exists(kept_path(source)):
                content = await source.read()
                await store.write(kept_path(source), content, content_type(source.ending))
        except SeedanceError as error:  # the clips are there, and the film is made without it
            errors[source.sha256] = summary(error)
    return errors


def music_of(board: Board, errors: Mapping[str, str]) -> SoundFile | None:
    """The music of *board*, if it is kept."""
    source = board.music
    if source is None or source.sha256 in errors:
        return None
    heard = source.heard
    path, loudness = kept_path(source), heard.audio.loudness
    return SoundFile(path=path, sha256=source.sha256, seconds=heard.seconds, loudness=loudness)


def with_narrations(
    board: Board, results: Sequence[ShotResult], spoken: Mapping[str, ShotResult], errors: Mapping[str, str]
) -> list[ShotResult]:
    """*results*, each with what became of the narration of its shot."""
    told = []
    for shot, result in zip(board.shots, results, strict=True):
        narration = None
        if shot.voice is not None:
            narration = _of_file(shot.voice, errors.get(shot.voice.sha256))
        elif shot.spoken is not None:
            narration = _of_speech(shot.spoken.prompt, spoken[shot.spoken.id])
        told.append(result.model_copy(update={"narration": narration}))
    return told


def narrations_of(board: Board, results: Sequence[ShotResult], records: Mapping[str, Record]) -> dict[str, Narration]:
    """What is heard over the shots, by their ids: of *results* what is there."""
    found = {}
    for shot, result in zip(board.shots, results, strict=True):
        narration = result.narration
        record = records.get(narration.key) if narration is not None and narration.key else None
        heard = shot.voice.heard if shot.voice is not None else record and record.heard
        if narration is None or narration.status != "stored" or not narration.path or not heard:
            continue
        sha256, loudness = narration.sha256 or "", heard.audio.loudness
        found[shot.id] = Narration(narration.path, sha256, heard.seconds, loudness, narration.text)
    return found


def _of_file(source: SoundSource, error: str | None) -> NarrationResult:
    if error is not None:
        return NarrationResult(status="failed", sha256=source.sha256, error=error)
    return NarrationResult(status="stored", path=kept_path(source), sha256=source.sha256, seconds=source.heard.seconds)


def _of_speech(text: str, result: ShotResult) -> NarrationResult:
    same = result.model_dump(include=NarrationResult.model_fields.keys() & ShotResult.model_fields.keys())
    return NarrationResult(text=text, path=result.clip, **same)
