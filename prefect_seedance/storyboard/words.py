"""What people write beside a shot for one another, and what becomes of fields that nobody knows.

Nothing of it is sent or counts in a key. A field that comes near to one of ours is a slip of the pen and stays where it
is, to be refused; any other one, and one that an underscore puts aside, was meant for people: kept as metadata.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, JsonValue, WithJsonSchema

from prefect_seedance.models import NO_WORDS, Words
from prefect_seedance.storyboard.documents import Loc
from prefect_seedance.storyboard.hints import near
from prefect_seedance.storyboard.texts import filled
from prefect_seedance.text import printable

SPEAKER, LINE = ("character", "speaker", "name"), ("line", "text", "dialogue")
MOST_NAMED = 8
"""Fields that one warning names."""
MOST_COMPARED = 1_000
"""Different unknown fields that are looked at for slips of the pen; nobody writes more, and comparing takes time."""


def as_text(written: Any) -> Any:
    """Lines for lists, `name: text` for fields: dialogue is often written as a list of who says what."""
    if isinstance(written, Mapping):
        return "\n".join(name if value is None else f"{name}: {as_text(value)}" for name, value in written.items())
    if isinstance(written, list | tuple):
        return "\n".join(str(as_text(value)) for value in written if value is not None)
    return str(written) if isinstance(written, bool | int | float) else written


def _as_dialogue(written: Any) -> Any:
    """As `as_text`, but `KEEPER: Nearly there.` where who speaks and what are the fields, as other tools write them."""
    if isinstance(written, list | tuple):
        return as_text([_as_dialogue(one) for one in written])
    if isinstance(written, Mapping) and len(written) == 2:
        who, what = (next((written[name] for name in names if written.get(name)), None) for names in (SPEAKER, LINE))
        return as_text(written if who is None or what is None else {str(who): what})
    return as_text(written)


def _as_lines(written: Any) -> Any:
    """Each text of a list on a line of its own; names with values stay, to be refused: nobody shall hear the names."""
    texts = written if isinstance(written, list | tuple) else [written]
    return written if any(isinstance(text, Mapping) for text in texts) else as_text(written)


Written = str | list[Any] | dict[str, Any] | None
Said = Annotated[str | None, BeforeValidator(as_text, json_schema_input_type=Written)]
Notes = Annotated[Said, Field(description="For people: shown with the clip, never sent, no part of the key.")]
Dialogue = Annotated[
    str | None,
    BeforeValidator(_as_dialogue, json_schema_input_type=Written),
    Field(description="Who says what, as text, a list or names with their lines; shown, never sent."),
]
Narration = Annotated[
    str | None,
    BeforeValidator(_as_lines, json_schema_input_type=str | list[Any] | None),
    Field(
        description="What is heard over the shot: a sound file beside the storyboard, or a text that the narrator "
        "speaks, paid once like a clip.",
        examples=["Nobody had seen the light for years.", "voice/keeper.wav"],
    ),
]
Camera = Annotated[Said, Field(description="Size, angle and movement as a crew writes them; shown, never sent.")]
Transition = Annotated[
    Said, Field(description="How the editor goes on from here, such as a dissolve; shown, never sent.")
]
Metadata = Annotated[
    dict[str, Annotated[JsonValue, WithJsonSchema({})]],
    BeforeValidator(lambda given: {} if given is None else given),
    Field(description="Anything else, by name: scene, location, status; it reaches manifest and timeline as it is."),
]


def words_of(spec: BaseModel, variables: Mapping[str, str]) -> Words:
    """What is written beside *spec* for people, with its variables filled."""
    told = {name: value for name in Words.model_fields if (value := getattr(spec, name))}
    if not told:
        return NO_WORDS
    return Words(**{name: filled(text, variables) if isinstance(text, str) else text for name, text in told.items()})


def set_aside(
    given: Any, known: Collection[str], known_of_shots: Collection[str], known_of_defaults: Collection[str]
) -> Iterator[tuple[Loc, str]]:
    """Move what nobody knows in a board and its shots to their metadata; yields a warning where a field first stands.

    Takes *given* as it was written, right or wrong, and changes it in place. A field of the defaults that stands in
    the board itself is no remark: it stays, to be refused.
    """
    if not isinstance(given, dict):
        return
    yield from _set_aside([((), given)], known, known_of_defaults)
    shots = given.get("shots")
    if isinstance(shots, list):
        yield from _set_aside(((("shots", number), shot) for number, shot in enumerate(shots)), known_of_shots)


def _set_aside(
    places: Iterable[tuple[Loc, Any]], known: Collection[str], misplaced: Collection[str] = ()
) -> Iterator[tuple[Loc, str]]:
    meant: dict[str, str] = {}
    moved: dict[Loc, list[str]] = {}
    said = set[str]()
    for loc, fields in places:
        if not isinstance(fields, dict) or not isinstance(fields.get("metadata") or {}, dict):
            continue
        kept = fields.get("metadata") or {}
        for name in [name for name in fields if name not in known and name not in misplaced]:
            if name not in meant:
                meant[name] = "" if len(meant) >= MOST_COMPARED or name.startswith("_") else near(name, known)
            if meant[name] or name in kept:
                continue
            kept[name] = fields.pop(name)
            fields["metadata"] = kept
            if name not in said:
                moved.setdefault(loc, []).append(name)
                said.add(name)
    for loc, names in moved.items():
        yield (*loc, names[0]), told_of("field", names)


def told_of(kind: str, names: Collection[str]) -> str:
    """The warning for fields or columns that went to the metadata."""
    shown = ", ".join(f"`{printable(name)}`" for name in islice(names, MOST_NAMED))
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    many = len(names) > 1
    return (
        f"{kind}{'s' if many else ''} {shown}{more} {'are' if many else 'is'} unknown; kept as metadata for people, "
        f"{'they change' if many else 'it changes'} no clip"
    )
