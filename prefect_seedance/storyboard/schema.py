"""What may stand in a storyboard, and what is said about a field that is not right."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails

from prefect_seedance.models import Frozen, Problem
from prefect_seedance.storyboard.documents import Loc, Node
from prefect_seedance.storyboard.hints import Hints
from prefect_seedance.storyboard.values import Duration, Inputs, Names, Paths, Sound
from prefect_seedance.storyboard.words import Camera, Dialogue, Metadata, Narration, Notes, Transition, set_aside
from prefect_seedance.text import printable

Id = Annotated[str, AfterValidator(lambda name: unicodedata.normalize("NFC", name))]
"""A name of a shot: the same however its letters are composed."""


class Defaults(Frozen):
    """What holds for every shot that does not say otherwise."""

    model: str = Field(
        "seedance-1-0-pro",
        description="The endpoint that makes the clips, by its name in the catalog, such as seedance-1-0-pro.",
        examples=["seedance-1-0-pro"],
    )
    size: str | None = Field(
        None,
        description="Width x height of the clips in pixels, such as 1280x720, or a word such as 720p; "
        "the first size of the model if left out.",
        examples=["1920x1080", "720p", "854x480"],
    )
    aspect_ratio: str | None = Field(
        None,
        description="The ratio of the clips; with a size such as 720p it chooses the exact one.",
        examples=["16:9", "9:16"],
    )
    duration: Duration | None = Field(
        None,
        description="Seconds per clip, such as 5, or auto where the model can choose; its first one if left out.",
        examples=[5, 10],
    )
    fps: int | None = Field(
        None,
        title="FPS",
        description="Frames per second, where the model takes them; its first rate if left out.",
        examples=[24],
    )
    inputs: Inputs = Field(
        {},
        description="What else the model takes by its row in the catalog, such as a seed or its sound.",
        examples=[{"seed": 7}],
    )
    crop: bool = Field(
        False, description="Crop pictures to the ratio of the clip before they are sent; the endpoint does it if not."
    )


class Narrator(Frozen):
    """Who speaks the narrations that are texts."""

    model: str | None = Field(
        None,
        description="The endpoint that speaks them, by its name in the catalog; minimax-speech-02-hd if left out.",
        examples=["chatterbox-turbo"],
    )
    inputs: Inputs = Field(
        {},
        description="What else it takes by its row in the catalog, such as a voice.",
        examples=[{"voice": "abigail"}],
    )
    take: int = Field(
        1, ge=1, description="Raise it to have all texts spoken, and paid, once more; what was spoken is kept."
    )


class ShotSpec(Frozen):
    """One shot: what its clip shows, and how it begins."""

    id: Id = Field(
        title="ID",
        description="A name of its own for the shot; later shots and file names use it.",
        examples=["arrival", "climb"],
    )
    prompt: str = Field(
        description="What the clip shows. The style is joined to it, and {name} stands for a variable.",
        examples=["A keeper rows towards a lighthouse at dawn."],
    )
    image: str | None = Field(
        None,
        description="The picture it begins with: a file beside the storyboard file, an s3:// object or an https link.",
        examples=["references/keeper.png"],
    )
    last_image: str | None = Field(
        None,
        description="The picture it ends with, for models that take one.",
        examples=["references/harbour.png"],
    )
    continue_from: Id | None = Field(
        None,
        description="The id of the shot whose last frame is the first frame of this one.",
        examples=["arrival"],
    )
    take: int = Field(
        1,
        ge=1,
        description="Raise it to ask, and pay, for the same shot once more; the old clip is kept.",
        examples=[2],
    )
    model: str | None = Field(None, description="In the place of the default model.", examples=["wan-2-5"])
    size: str | None = Field(None, description="In the place of the default size.", examples=["1280x720"])
    aspect_ratio: str | None = Field(None, description="In the place of the default ratio.", examples=["9:16"])
    duration: Duration | None = Field(None, description="Seconds, in the place of the default ones.", examples=[10])
    fps: int | None = Field(
        None, title="FPS", description="Frames per second, in the place of the default rate.", examples=[24]
    )
    inputs: Inputs = Field(
        {},
        description="Further inputs of the model beside the default ones; null takes a default one back.",
        examples=[{"seed": 7}],
    )
    cast: Names = Field(
        (),
        description="Who of the cast is seen; their pictures are sent in this order, to models that take them.",
        examples=[["keeper", "lighthouse"]],
    )
    narration: Narration = None
    crop: bool | None = Field(
        None, description="Whether to crop its pictures, in the place of the default.", examples=[True]
    )
    notes: Notes = None
    dialogue: Dialogue = None
    camera: Camera = None
    transition: Transition = None
    metadata: Metadata = Field({})


class Storyboard(Frozen):
    """A title, a style, defaults and a list of shots; each shot becomes one clip."""

    title: str = Field(description="The name of the film; productions are kept under it.", examples=["The lighthouse"])
    style: str = Field(
        "",
        description="Joined to the end of every prompt, so that all shots look alike.",
        examples=["Hand-painted animation, soft morning light."],
    )
    defaults: Defaults = Field(
        Defaults(), description="Model, size, duration and rate of the shots that do not say otherwise."
    )
    variables: dict[str, str] = Field(
        {},
        description="Texts that stand for {name} in title, style, prompts and pictures.",
        examples=[{"product": "Red mug"}],
    )
    cast: dict[str, Paths] = Field(
        {},
        description="Characters, places and props by name, each with one picture or several.",
        examples=[{"keeper": ["references/keeper.png"]}],
    )
    sound: Sound = Field(
        "clips", description="What is heard in the film: what the clips have, under voices and music, or nothing (off)."
    )
    music: str | None = Field(
        None,
        description="A sound file that is laid under the film, found as pictures are; softer where somebody speaks.",
        examples=["music/sea.mp3"],
    )
    narrator: Narrator = Field(
        Narrator(), description="Who speaks the narrations that are texts: a model and its inputs, such as the voice."
    )
    rows: str | None = Field(
        None,
        description="In an inbox: a CSV or JSONL file beside the storyboard; each row makes one production.",
        examples=["products.csv"],
    )
    max_chain: int = Field(
        4,
        ge=1,
        description="How many shots may continue one another before the plan warns that the picture drifts.",
    )
    notes: Notes = None
    dialogue: Dialogue = None
    camera: Camera = None
    transition: Transition = None
    metadata: Metadata = Field({})
    shots: tuple[ShotSpec, ...] = Field(
        description="The shots in the order of the film.",
        examples=[[{"id": "arrival", "prompt": "A keeper rows towards a lighthouse at dawn."}]],
        json_schema_extra={"minItems": 1},
    )


@dataclass(frozen=True)
class Outline:
    """A storyboard as far as it could be read: fields that are wrong are left out, named in `broken` and reported."""

    file: str
    board: Storyboard
    tree: Node | None = None
    broken: frozenset[Loc] = frozenset()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()

    def note(self, loc: Loc, message: str) -> Problem:
        """*message* as a problem, with the file, line and shot of *loc*."""
        number = loc[1] if len(loc) > 1 and loc[0] == "shots" else None
        shot = shot_name(self.board.shots, int(number)) if number is not None else None
        return Problem(file=self.file, line=self.tree and self.tree.line_at(loc), shot=shot, message=message)

    def is_broken(self, loc: Loc) -> bool:
        """Whether *loc*, or something that it lies in, was reported when the file was read."""
        return bool(self.broken) and any(loc[:length] in self.broken for length in range(1, len(loc) + 1))


def shot_name(shots: tuple[ShotSpec, ...], number: int) -> str:
    """The id of a shot for messages, or its place in the board where it has none."""
    given = shots[number].id.strip() if number < len(shots) else ""
    return printable(given) or f"#{number + 1}"


def outline_of(tree: Node, file: str, mistakes: Iterable[tuple[Loc, int, str]] = ()) -> Outline:
    """*tree* as a storyboard, with one problem for each field that is wrong and each of the *mistakes* of its text."""
    given = tree.plain()
    aside = list(set_aside(given, Storyboard.model_fields, ShotSpec.model_fields, Defaults.model_fields))
    sentences: list[tuple[Loc, str]] = []
    try:
        board = Storyboard.model_validate(given)
    except ValidationError as error:
        hints = Hints()
        details = error.errors(include_url=False)
        sentences = [(detail["loc"], _sentence(detail, hints)) for detail in details]
        for detail in details:
            _mend(given, detail)
        board = Storyboard.model_validate(given)
    mistakes = list(mistakes)
    broken = {loc for loc, _ in sentences} | {loc for loc, _, _ in mistakes if loc[0] == "shots" and len(loc) > 1}
    outline = Outline(file, board, tree, frozenset(broken))
    problems = [outline.note(loc, sentence) for loc, sentence in sentences]
    for loc, line, sentence in mistakes:
        problems.append(outline.note(loc, sentence).model_copy(update={"line": line}))
    warnings = [outline.note(loc, warning) for loc, warning in aside]
    return replace(outline, problems=tuple(problems), warnings=tuple(warnings))


def _mend(given: dict[str, Any], detail: ErrorDetails) -> None:
    """Take what is wrong out of *given*, or put something harmless in the place of what must be there."""
    loc = detail["loc"]
    around: Any = given
    for step in loc[:-1]:
        around = around[step]
    if isinstance(around, list):
        around[int(loc[-1])] = {"id": "", "prompt": ""} if loc[0] == "shots" and len(loc) == 2 else ""
    elif loc == ("shots",):
        around["shots"] = []
    elif loc == ("title",) or (loc[0] == "shots" and loc[-1] in ("id", "prompt")):
        around[loc[-1]] = ""
    else:
        del around[loc[-1]]


def _sentence(detail: ErrorDetails, hints: Hints) -> str:
    """What is wrong and the remedy, in one sentence."""
    loc, given = detail["loc"], detail["input"]
    field = printable(loc[-1])
    if loc[0] == "cast" or loc[2:3] == ("cast",):
        return _CAST
    match detail["type"]:
        case "extra_forbidden" if len(loc) == 1 and field in Defaults.model_fields:
            return f"field `{field}` has its place below `defaults:`, for all shots; move it there"
        case "extra_forbidden":
            known = _known(loc)
            return f"field `{field}` is unknown{hints.near(field, known) or '; known are ' + ', '.join(known)}"
        case "missing":
            return f"field `{field}` is missing; add it"
        case "model_type" | "model_attributes_type" if loc[0] == "shots":
            return "a shot is fields such as `id:` and `prompt:`; write it as `- id: arrival` with the others below"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"`{field}` holds fields; write it like `{field}: {{name: value}}`"
        case "tuple_type":
            return "`shots` is a list; begin each shot with `- id:`"
        case "literal_error":
            return f"`{field}` is {f'`{printable(given)}`' if given else 'empty'}; write off or clips"
        case "greater_than_equal":
            return f"`{field}` is {printable(given)}; it must be at least {detail['ctx']['ge']}"
    kind = detail["type"].split("_")[0]
    wanted = {"string": "text", "int": "a whole number", "bool": "true or false"}.get(kind, "something else")
    if given is None:
        return f"`{field}` is empty; write {wanted} after it, or leave the field out"
    summary = "several values" if isinstance(given, dict | list) else f"`{printable(given)}`"
    return f"`{field}` must be {wanted}, not {summary}"


_CAST = "`cast` names who is seen: `cast: {keeper: keeper.png}` for the board, `cast: [keeper]` for a shot"


def _known(loc: Loc) -> list[str]:
    """The fields that may stand where the unknown one at *loc* stood."""
    where: type[BaseModel] = {"shots": ShotSpec, "defaults": Defaults, "narrator": Narrator}.get(
        str(loc[0]), Storyboard
    )  # type: ignore[assignment]
    return list((where if len(loc) > 1 else Storyboard).model_fields)
