"""The command line. Prefect is imported only inside the commands that need it: `plan` starts in a third of a second."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter
from cyclopts.validators import Number

from prefect_seedance.cli import terminal
from prefect_seedance.cli.exit_codes import DONE, NOTHING, STOPPED, exit_code_of
from prefect_seedance.cli.options import Place
from prefect_seedance.errors import (
    BadInput,
    SeedanceError,
)

app = cyclopts.App(
    name="prefect-seedance",
    help="Storyboards become Seedance clips on Runpod, and no failure pays twice.",
    help_format="plaintext",
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,
)


def doctor(*, store: str | None = None, account: str | None = None, model: str = "seedance-1-0-pro") -> int:
    """Check for free: key, endpoint, what the store promises, the Prefect API."""
    from prefect_seedance.cli.doctor import examine
    from prefect_seedance.cli.upkeep_terminal import show_checks

    place = Place(store or "", account)
    checks = asyncio.run(examine(place.who, place.open if store else None, model))
    show_checks(checks)
    return max(check.exit_code for check in checks)


def demo(*, folder: Path = Path("seedance-demo")) -> int:
    """Emulator, example storyboard and local store, end to end, without any account. A second run costs $0."""
    from prefect_seedance.cli.demo import run_demo

    make_folder(folder)
    return run_demo(folder, run)


def emulator(
    *,
    port: int = 8080,
    speed: Annotated[float, Parameter(help="How much faster its clock runs.", validator=Number(gt=0))] = 1.0,
    latency: Annotated[float, Parameter(help="Seconds that a job takes by its clock.", validator=Number(gte=0))] = 20.0,
    faults: Annotated[Path | None, Parameter(help="A JSON list of misbehaviours.")] = None,
    serve: Annotated[Path | None, Parameter(help="A folder to serve at /files.")] = None,
) -> int:
    """A pretend Runpod on this machine, for rehearsals. Its bill is at GET /bill."""
    from prefect_seedance.emulator.server import serve as run

    if serve is not None:
        make_folder(serve)  # a store that is still to be made
    run(port, speed, latency, faults, serve, None)
    return DONE


def make_folder(folder: Path) -> None:
    """Make *folder*, and those that it is in; raises `BadInput` where that can't be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{folder} can't be a folder ({error.strerror}); nothing was begun; name another.") from error


LATER = {
    "plan_command:plan": "Say what a render would do and cost. Spends nothing and needs no server.",
    "render_commands:render": (
        "Turn a storyboard into clips, a film, a timeline and a review page. The same work is never paid twice."
    ),
    "render_commands:animate": (
        "Turn a folder, a glob, an s3:// prefix or a CSV of pictures into one clip each, joined in order."
    ),
    "upkeep_commands:inbox": "Process every storyboard in the store's inbox once.",
    "upkeep_commands:collect": "Bring home what other runs left. Spends nothing.",
    "upkeep_commands:settle": (
        "List submissions that nobody knows the fate of, or record what you found out about one."
    ),
    "upkeep_commands:report": (
        "Spending, clips, time to clip, unclear and lost by day of the claim; what is left of the limits you name."
    ),
    "models:models": "List the endpoints of the catalog with their prices, or say of one what it takes. Asks nobody.",
    "upkeep_commands:tidy": (
        "List old productions and what dead processes left, or remove them. Never a clip or the ledger."
    ),
}
"""Commands that are imported when they are run, with their docstrings: `plan` waits for nothing of what others need."""

CAMPAIGN = {
    "campaign_commands:plan": "Say what a campaign would do and cost, and its hash. Spends nothing.",
    "campaign_commands:run": (
        "Render all that is left of a campaign. Killed anywhere and run again, it goes on and pays nothing twice."
    ),
    "campaign_commands:status": "Say how a campaign stands, from the files of the store alone.",
    "campaign_commands:stop": "Let no new shard of a campaign begin. What is out goes on, and is paid once.",
}
campaign = cyclopts.App(name="campaign", help="A table becomes thousands of clips, for a price that is approved once.")
app.command(campaign)

for into, commands in ((app, LATER), (campaign, CAMPAIGN)):
    for place, words in commands.items():
        into.command(f"prefect_seedance.cli.{place}", name=place.partition(":")[2], help=words)
for command in (doctor, demo, emulator):
    # By its place: the help of what is given itself would name the module that runs, such as `-m mkdocs`.
    app.command(f"{__name__}:{command.__name__}", name=command.__name__, help=command.__doc__)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Whatever goes wrong is one sentence, never a traceback."""
    try:
        answer = app(arguments, result_action="return_value")
        return answer if isinstance(answer, int) else DONE
    except SeedanceError as error:
        for line in error.problems if isinstance(error, BadInput) else [str(error)]:
            terminal.say(line)
        return exit_code_of(error)
    except KeyboardInterrupt:
        terminal.say(terminal.STOPPED)
        return STOPPED
    except Exception as error:
        if os.environ.get("PREFECT_SEEDANCE_TRACEBACK"):
            raise
        terminal.say(
            f"Something unexpected stopped this ({type(error).__name__}: {error}); what was submitted is in the "
            "ledger, so running it again pays nothing twice; PREFECT_SEEDANCE_TRACEBACK=1 shows where it happened."
        )
        return NOTHING


def main() -> None:
    try:
        code = run()
    except SystemExit as stopped:  # by a signal
        code = stopped.code if isinstance(stopped.code, int) else NOTHING
    if "prefect" in sys.modules:
        from prefect_seedance.cli.ending import end_at_once_if_prefect_is_gone

        end_at_once_if_prefect_is_gone(code)
    sys.exit(code)
