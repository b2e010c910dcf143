"""From the shots of a storyboard to requests with their keys and prices."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from prefect_seedance.catalog.endpoints import Catalog, Model
from prefect_seedance.catalog.options import PROBLEMS_OF
from prefect_seedance.catalog.pricing import estimate
from prefect_seedance.keys import key_of
from prefect_seedance.models import LastFrame, Request
from prefect_seedance.storyboard.board import BoardShot
from prefect_seedance.storyboard.chains import in_order
from prefect_seedance.storyboard.checks.cast import Cast, cast_of, references_of
from prefect_seedance.storyboard.checks.chains import block_followers, check_circles, links_of, warn_of_drift
from prefect_seedance.storyboard.checks.findings import Findings
from prefect_seedance.storyboard.checks.inputs import inputs_of
from prefect_seedance.storyboard.checks.models import model_of, value_of
from prefect_seedance.storyboard.checks.narration import check_lengths, narrated, speaker_of
from prefect_seedance.storyboard.checks.pictures import Pictures, check_crop, check_frames_taken, picture_of
from prefect_seedance.storyboard.checks.sizes import size_of
from prefect_seedance.storyboard.checks.sounds import Sounds
from prefect_seedance.storyboard.checks.texts import check_ids, check_text
from prefect_seedance.storyboard.texts import LONGEST_PROMPT, filled, joined
from prefect_seedance.storyboard.words import words_of


def check_shots(found: Findings, catalog: Catalog, pictures: Pictures, sounds: Sounds) -> tuple[BoardShot, ...]:
    """All shots as they would be asked for, without a request where something keeps them from it."""
    board = found.outline.board
    style = filled(board.style, board.variables)[:LONGEST_PROMPT]
    check_ids(found)
    cast = cast_of(found, pictures)
    shots = [_shot(number, style, found, catalog, pictures, cast) for number in range(len(board.shots))]
    speaker = speaker_of(found, catalog)
    shots = [narrated(number, shot, speaker, sounds, found) for number, shot in enumerate(shots)]
    check_lengths(shots, found)
    before = links_of(found)
    check_circles(found, before)
    for number in in_order(before):
        link = before[number]
        if link is not None:
            shots[number] = _continued(shots[number], shots[link])
    warn_of_drift(found, before)
    block_followers(found, before)
    for number, why in found.blocked.items():
        shots[number] = replace(shots[number], request=None, key=None, estimated_usd=Decimal(0), problem=why)
    return tuple(shots)


def _shot(number: int, style: str, found: Findings, catalog: Catalog, pictures: Pictures, cast: Cast) -> BoardShot:
    """The shot without its chain: where it continues from another, its first frame and its key come later."""
    outline, at = found.outline, ("shots", number)
    spec = outline.board.shots[number]
    if not spec.prompt.strip():
        found.problem((*at, "prompt"), "the prompt is empty; say what the clip shows")
    check_text(found, (*at, "prompt"), spec.prompt)
    prompt = joined(filled(spec.prompt, outline.board.variables), style)
    shot = BoardShot(
        id=spec.id.strip() or f"#{number + 1}",
        take=spec.take,
        line=outline.note(at, "").line,
        prompt=prompt,
        request=None,
        key=None,
        estimated_usd=Decimal(0),
        continue_from=spec.continue_from,
        image=picture_of("image", number, found, pictures),
        last_image=picture_of("last_image", number, found, pictures),
        words=words_of(spec, outline.board.variables),
    )
    if not (model := model_of(number, found, catalog)):
        return shot
    if len(prompt) > model.longest_prompt:
        message = f"the prompt has {len(prompt):,} characters with the style; {model.slug} may cut what is beyond "
        found.warn((*at, "prompt"), f"{message}{model.longest_prompt:,}")
    size = size_of(number, model, found)
    asked = {field: value_of(field, number, model, found) for field in PROBLEMS_OF}
    asked |= {"size": size, "inputs": inputs_of(number, model, found)}
    check_frames_taken(number, model, found)
    shot = replace(shot, references=references_of(number, model, cast, found))
    if size is not None:
        check_crop(found, (*at, "image"), shot.image, size)
        check_crop(found, (*at, "last_image"), shot.last_image, size)
    return shot if number in found.blocked else _priced(number, shot, model, asked, found)


def _priced(number: int, shot: BoardShot, model: Model, asked: dict[str, Any], found: Findings) -> BoardShot:
    request = Request(
        model=model.slug,
        prompt=shot.prompt,
        take=shot.take,
        image=shot.image and shot.image.picture,
        last_image=shot.last_image and shot.last_image.picture,
        references=tuple(reference.picture for reference in shot.references),
        **asked,
    )
    try:
        usd = estimate(request, model)
    except ValueError as error:
        found.problem(("shots", number), f"it has no price: {error}; add one to the catalog")
        return shot
    return replace(shot, request=request, key=key_of(request), estimated_usd=usd)


def _continued(shot: BoardShot, before: BoardShot) -> BoardShot:
    """*shot* with the last frame of *before* as its first one, which is part of its key."""
    if shot.request is None or before.key is None:
        return shot
    request = shot.request.model_copy(update={"image": LastFrame(of=before.key)})
    return replace(shot, request=request, key=key_of(request))
