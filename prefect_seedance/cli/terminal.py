"""What people read on the terminal, and the one JSON document on stdout."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

from prefect_seedance.cli.tables import lines_of
from prefect_seedance.models import Frozen
from prefect_seedance.text import CONTROL, dollars, harmless

if TYPE_CHECKING:
    from prefect_seedance.production.manifest import Manifest
    from prefect_seedance.rendering.plan import Planned

STOPPED = "Stopped. Jobs that are out go on: render again or `prefect-seedance collect`; nothing is paid twice."


def say(text: str) -> None:
    """Print one line for a person on stderr. Control characters in what it quotes do nothing to the terminal."""
    _print(harmless(text))


def _print(text: str) -> None:
    """A terminal may have been closed, as by `2>&1 | head`: then nobody reads, and the run goes on."""
    if _was_never_open(sys.stderr):
        return
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except BrokenPipeError:
        _close(sys.stderr)
    except OSError:
        return


def put(text: str) -> None:
    """Write *text* to stdout, with a ? for what its encoding does not have.

    Where stdout takes nothing more, the command goes on to its own exit code: what it did is done.
    """
    if _was_never_open(sys.stdout):
        return
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
    except OSError as error:
        _close(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            say(f"The answer on stdout is not whole ({error.strerror}); what was done is in the store all the same.")


def _was_never_open(stream: TextIO | None) -> bool:
    """As after `>&-`."""
    return stream is None


def _close(stream: TextIO) -> None:
    """What is left in the buffer of *stream* would change the exit code."""
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), stream.fileno())


def document(value: Frozen | dict[str, Any] | list[Any]) -> None:
    """Print the one JSON document on stdout."""
    plain = value.model_dump(mode="json", by_alias=True) if isinstance(value, Frozen) else value
    text = json.dumps(plain, indent=2, ensure_ascii=False)
    if not _can_print(text):
        text = json.dumps(plain, indent=2)
    # JSON leaves some control characters as they are, which may be written as escapes all the same.
    text = CONTROL.sub(lambda mark: mark[0] if mark[0] == "\n" else f"\\u{ord(mark[0]):04x}", text)
    put(f"{text}\n")


def _can_print(text: str) -> bool:
    if _was_never_open(sys.stdout):
        return False
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


class Progress(logging.Handler):
    """Prints the progress lines of a running flow on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


def show_plan(planned: Planned, *, as_json: bool) -> None:
    plan = planned.plan
    if as_json:
        document(plan)
    else:
        rows = [
            (
                shot.id,
                shot.action,
                dollars(shot.estimated_usd) if shot.estimated_usd else "",
                shot.size or "",
                shot.problem or "",
            )
            for shot in plan.asked
        ]
        _show_shots(plan.title, ("shot", "action", "estimate", "size", "remark"), rows)
    for problem in plan.problems:
        say(f"✗ {problem}")
    for warning in planned.warnings:
        say(f"! {warning}")
    if plan.problems:
        count = len(plan.problems)
        problems, they_are = (f"{count} problems", "they are") if count > 1 else ("1 problem", "it is")
        say(f"{problems}; nothing is submitted until {they_are} mended.")
    else:
        reused = f", {dollars(plan.reused_usd)} worth of clips reused" if plan.reused_usd else ""
        say(f"This costs about {dollars(plan.estimated_usd)}{reused}. Plan hash {plan.plan_hash}.")


def show_manifest(manifest: Manifest, store: str, *, as_json: bool) -> None:
    if as_json:
        document(manifest)
    else:
        rows = [
            (
                name,
                one.status,
                dollars(one.cost_usd) if one.cost_usd is not None and one.paid_this_run else "",
                one.error or "",
            )
            for name, one in manifest.asked
        ]
        _show_shots(manifest.title, ("shot", "status", "cost", "remark"), rows)
    stored = sum(shot.status == "stored" for shot in manifest.shots)
    reused = f" {dollars(manifest.reused_usd)} worth of clips were there already." if manifest.reused_usd else ""
    say(f"{stored} of {len(manifest.shots)} shots stored; this run cost {dollars(manifest.spent_usd)}.{reused}")
    for name, path in (("Film", manifest.film), ("Review page", manifest.review)):
        if path:
            say(f"{name}: {store.rstrip('/')}/{path}")


def _show_shots(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    say(title)
    if rows:
        _print("\n".join(lines_of(heads, rows, right={2}, coloured=1 if _takes_colours() else None)))


def _takes_colours() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
