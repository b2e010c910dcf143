"""What pages of the site take from the code each time it is built, by the name in their `<!-- generated: NAME -->`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import get_args

from prefect.blocks.core import Block

from docs.site.fields import boards_fields, described, in_cell, takes
from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.cli.app import app
from prefect_seedance.cli.models import lines_of
from prefect_seedance.emulator.faults import Fate, Look, Media, Rule, Wire
from prefect_seedance.ledger.rules import MAY_FOLLOW
from prefect_seedance.orchestration.blocks import RunpodCredentials, SpendingLimits, VideoStore

BLOCKS: tuple[type[Block], ...] = (RunpodCredentials, VideoStore, SpendingLimits)
FAULTS = {
    "the answer, on its way": Wire,
    "the job itself": Fate,
    "what a look at the job shows": Look,
    "the clip, as it is downloaded": Media,
}


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def storyboard() -> str:
    """Every field of a storyboard, from the published schema."""
    parts = boards_fields()
    return "\n\n".join(f"{heading}\n\n{table(('field', 'takes', 'says'), rows)}" for heading, rows in parts)


def blocks() -> str:
    """The blocks with the fields of their forms."""
    parts = []
    for block in BLOCKS:
        schema = block.model_json_schema()
        needed = {name for name, field in block.model_fields.items() if field.is_required()}
        rows = [
            (f"`{name}`", takes(field, needed=name in needed), described(field))
            for name, field in schema["properties"].items()
        ]
        parts.append(f"### {block.__name__}\n\n{_promise(block)}\n\n{table(('field', 'takes', 'says'), rows)}")
    return "\n\n".join(parts)


def commands() -> str:
    """The help of every command."""
    whole = app.generate_docs(heading_level=2)
    return whole[whole.index("### ") :]


def models() -> str:
    """All that each row of the catalog says."""
    parts = []
    for slug, row in KNOWN.items():
        lines = "\n".join(f"- {in_cell(line)}" for line in lines_of(row))
        parts.append(f"### {slug}\n\n{lines}")
    return "\n\n".join(parts)


def faults() -> str:
    """What the emulator can be asked to do wrong."""
    words = [(what, ", ".join(f"`{word}`" for word in get_args(kind))) for what, kind in FAULTS.items()]
    schema = Rule.model_json_schema(by_alias=True)
    rows = [
        (f"`{name}`", takes(field, needed=name in schema["required"]), described(field))
        for name, field in schema["properties"].items()
        if name not in ("on", "fault")
    ]
    return f"{table(('goes wrong', '`fault`'), words)}\n\n{table(('field', 'takes', 'says'), rows)}"


def steps() -> str:
    """Which step may follow which."""
    rows = [
        (str(before or "nothing"), ", ".join(sorted(map(str, after))) or "nothing, for ever")
        for before, after in MAY_FOLLOW.items()
    ]
    return table(("after", "may come"), rows)


def _promise(block: type[Block]) -> str:
    return (block.__doc__ or "").split("\n\n")[0]


GENERATED: dict[str, Callable[[], str]] = {
    made.__name__: made for made in (storyboard, blocks, commands, models, faults, steps)
}
