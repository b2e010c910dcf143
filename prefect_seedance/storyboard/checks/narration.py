"""Checks of narrations: sounds that lie beside the storyboard, and texts that the narrator speaks.

A spoken text becomes a request of its own, with a key and a price of its own, beside that of its shot.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from pydantic import JsonValue

from prefect_seedance.catalog.alternatives import speakers
from prefect_seedance.catalog.endpoints import Catalog, Model
from prefect_seedance.catalog.inputs import described, missing, without_usual
from prefect_seedance.catalog.pricing import estimate
from prefect_seedance.keys import key_of
from prefect_seedance.models import AUTO, Request
from prefect_seedance.sources.places import SCHEME
from prefect_seedance.storyboard.board import BoardShot
from prefect_seedance.storyboard.checks.findings import Findings
from prefect_seedance.storyboard.checks.inputs import reported_input
from prefect_seedance.storyboard.checks.sounds import Sounds, is_sound_file, sound_at
from prefect_seedance.storyboard.checks.texts import check_names
from prefect_seedance.storyboard.texts import CONTROL, filled, unset
from prefect_seedance.text import printable

NARRATOR = "minimax-speech-02-hd"
"""Who speaks where a board names nobody: the cheapest row. It is in the keys, so no other row or price changes it."""

LONGEST_REST = 3600
"""Seconds that the sound files of a board may last longer than its shots: until they end the last frame is held."""


class Speaker(NamedTuple):
    """Who speaks the texts of a board: the row of the catalog, and what it is asked for."""

    model: Model
    inputs: dict[str, JsonValue]
    take: int


def speaker_of(found: Findings, catalog: Catalog) -> Speaker | None:
    """The narrator of a board; None, with a problem, where it is wrong, and where there is nothing to speak."""
    board = found.outline.board
    asked = board.narrator
    narrations = (filled(shot.narration or "", board.variables).strip() for shot in board.shots)
    spoken = board.sound != "off" and any(text and not is_sound_file(text) for text in narrations)
    if not spoken and not asked.model and not asked.inputs:
        return None
    known = speakers(catalog)
    model = catalog.get(asked.model or NARRATOR)
    if model is None or model.kind != "speech":
        names = ", ".join(row.slug for row in known) or "none, so add a row"
        what = f"model `{printable(asked.model or NARRATOR)}` speaks no texts"
        meant = (
            found.hints.near(asked.model or "", [row.slug for row in known])
            or f"; those of the catalog that do: {names}"
        )
        found.problem(("narrator", "model"), f"{what}{meant}")
        return None
    inputs: dict[str, JsonValue] = {}
    for name, value in asked.inputs.items():
        if value is not None:
            inputs |= reported_input(found, ("narrator", "inputs", name), name, value, model)
    for name in missing(asked.inputs, model):
        message = f"{model.slug} needs the input `{name}`, {described(model.inputs[name])}; add it to `inputs`"
        found.problem(("narrator", "inputs"), message)
    return Speaker(model, without_usual(inputs, model), asked.take)


def narrated(number: int, shot: BoardShot, speaker: Speaker | None, sounds: Sounds, found: Findings) -> BoardShot:
    """*shot* with its narration, if it has one: a sound file, or a text as it would be asked for."""
    loc, variables = ("shots", number, "narration"), found.outline.board.variables
    narration = found.outline.board.shots[number].narration
    if narration is None:
        return shot
    text = filled(narration, variables).strip()
    if is_sound_file(text):
        return replace(shot, voice=sound_at(loc, "narration", narration, found, sounds))
    check_names(found, loc, narration)
    if unset(narration, variables):
        return shot
    if found.outline.board.sound == "off":
        found.warn(loc, "with `sound: off` nothing is spoken, and nothing is paid for it; write `sound: clips`")
    elif not text:
        found.problem(loc, "the narration is empty; write what is said, or leave it out")
    elif SCHEME.match(text) and len(text.split()) == 1:
        message = "this link ends like no sound file, so it would be read aloud; name one that ends with .mp3 or .wav"
        found.problem(loc, message)
    elif CONTROL.search(text):
        found.problem(loc, "the narration holds a control character; write plain text")
    elif speaker is None:
        found.block(number, "the narrator is wrong")
    elif len(text) > speaker.model.longest_prompt:
        most = f"{speaker.model.slug} speaks at most {speaker.model.longest_prompt:,}"
        found.problem(loc, f"the narration has {len(text):,} characters; {most}, so shorten it or divide the shot")
    else:
        return _with_speech(shot, text, loc, speaker, found)
    return shot


def check_lengths(shots: Iterable[BoardShot], found: Findings) -> None:
    """Report sound files that would make a film of hours out of shots of seconds."""
    said = shown = 0.0
    for shot in shots:
        said += shot.voice.heard.seconds if shot.voice else 0
        shown += shot.request.duration if shot.request and shot.request.duration != AUTO else 0
    if found.outline.board.sound != "off" and said - shown > LONGEST_REST:
        message = (
            f"the sound files of the narrations last {said / 60:,.0f} minutes and the shots {shown / 60:,.1f}; the "
            "last frame would be held for more than an hour, so name each file once, or shorten them"
        )
        found.problem(("shots",), message)


def _with_speech(
    shot: BoardShot, text: str, loc: tuple[str | int, ...], speaker: Speaker, found: Findings
) -> BoardShot:
    model, take = speaker.model, speaker.take
    request = Request(model=model.slug, prompt=text, size="", duration=AUTO, take=take, inputs=speaker.inputs)
    try:
        usd = estimate(request, model)
    except ValueError as error:
        found.problem(loc, f"it has no price: {error}; add one to the catalog")
        return shot
    spoken = BoardShot(
        id=f"{shot.id}.narration",
        take=take,
        line=found.outline.note(loc, "").line,
        prompt=text,
        request=request,
        key=key_of(request),
        estimated_usd=usd,
        continue_from=None,
        image=None,
        last_image=None,
    )
    return replace(shot, spoken=spoken)
