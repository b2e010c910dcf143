"""campaign: a table that becomes thousands of clips, for a price that one person approved once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from prefect_seedance.campaign.document import Campaign, load_campaign
from prefect_seedance.campaign.draft import MOST_A_SHARD, SHARD_SIZE, Asked, drafted
from prefect_seedance.campaign.freeze import frozen
from prefect_seedance.campaign.host import QuietHost
from prefect_seedance.campaign.manifest import CampaignManifest, manifest_of, results_of
from prefect_seedance.campaign.marks import Marks
from prefect_seedance.campaign.problems import refusal_of, text_of, write_problems
from prefect_seedance.campaign.rules import StopRules
from prefect_seedance.campaign.run import CampaignRun
from prefect_seedance.campaign.shard import left_of
from prefect_seedance.campaign.shards import shards_here
from prefect_seedance.campaign.survey import Survey, survey
from prefect_seedance.cli import campaign_terminal, terminal
from prefect_seedance.cli.exit_codes import DONE, OF_STATUS
from prefect_seedance.cli.options import UNLIMITED, Json, Limit, Money, Place, RetryFailed, WithPrefect, uses_prefect
from prefect_seedance.cli.prefect_settings import prepare_prefect
from prefect_seedance.cli.run_direct import run as run_to_its_end
from prefect_seedance.errors import BadInput, SeedanceError, StoreUnavailable, summary
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.models import Problem
from prefect_seedance.runpod.account import Account
from prefect_seedance.sources.catalog import catalog_of
from prefect_seedance.storage.store import Store
from prefect_seedance.text import printable

Id = Annotated[str, Parameter(name="id", help="The id of the campaign, as its plan says it.")]
BoardOrId = Annotated[str, Parameter(help="The storyboard; without --table, the id of a campaign that was frozen.")]
StorePlace = Annotated[str, Parameter(help="s3://bucket/prefix, a folder, or block:NAME.")]
PERCENT = Number(gte=0, lte=100)
FAILED = "Percent of all clips that have ended; a job that moderation refuses has failed."
REFUSED = "Percent of all clips that have ended; what the API refuses when it is submitted (4xx) counts."


@Parameter(name="*")
@dataclass(frozen=True)
class Words:
    """What a campaign is made of, beside its storyboard."""

    table: Annotated[
        str | None,
        Parameter(help="A .csv, .jsonl or .parquet: a file, an s3:// object, beside the storyboard or in the store."),
    ] = None
    vary: Annotated[
        list[str] | None,
        Parameter(
            help="NAME=VALUE,VALUE: every row with each, of size, ratio, take, model, duration or a variable.",
            negative="",
        ),
    ] = None
    canary: Annotated[
        int, Parameter(help="Rows to look at before the others are rendered.", validator=Number(gte=0))
    ] = 0
    shard_size: Annotated[int, Parameter(help="Clips of each piece.", validator=Number(gte=1, lte=MOST_A_SHARD))] = (
        SHARD_SIZE
    )

    def of(self, board: str) -> Asked:
        """The same, of the storyboard *board*."""
        return Asked(board, self.table, tuple(self.vary or ()), self.canary, self.shard_size)


@Parameter(name="*")
@dataclass(frozen=True)
class Stops:
    """What stops new shards."""

    stop_failed: Annotated[float | None, Parameter(help=FAILED, validator=PERCENT)] = None
    stop_refused: Annotated[float | None, Parameter(help=REFUSED, validator=PERCENT)] = None
    stop_usd_per_clip: Limit = None

    def rules(self) -> StopRules:
        """The same as a campaign takes it."""
        return StopRules(
            failed_percent=self.stop_failed, refused_percent=self.stop_refused, usd_per_clip=self.stop_usd_per_clip
        )


NO_WORDS, NO_STOPS = Words(), Stops()


def plan(
    board: str,
    words: Words = NO_WORDS,
    *,
    place: Place,
    problems: Annotated[Path | None, Parameter(help="Where to write all problems; else into the store.")] = None,
    retry_failed: RetryFailed = 0,
    json: Json = False,
) -> int:
    """Say what a campaign would do and cost, and its hash. Spends nothing."""
    asyncio.run(_plan(words.of(board), place.open(), place.who(), retry_failed, file=problems, as_json=json))
    return DONE


async def _plan(
    asked: Asked, store: Store, who: Account, retry_failed: int, *, file: Path | None, as_json: bool
) -> None:
    """Say what a campaign would do, in words too where nothing keeps it from being done."""
    try:
        catalog = await catalog_of(store)
        async with contextlib.AsyncExitStack() as reading:
            try:
                draft = await reading.enter_async_context(drafted(asked, store, who, catalog))
            except BadInput as error:
                if as_json:
                    terminal.document(campaign_terminal.document_without_rows(asked, error.problems))
                raise
            found, campaign = Survey(), draft.campaign
            if not draft.problems:
                shards = left_of(campaign, await results_of(store, campaign), retry_failed)
                left = ((shard.number, await draft.board_of(shard.number)) for shard in shards)
                found = await survey(left, Ledger(store), who, catalog, retry_failed)
            problems = [*draft.problems, *found.problems]
            if as_json:
                terminal.document(campaign_terminal.document_of(draft, found, problems))
            await _refuse(problems, campaign, store, file)
            campaign_terminal.show_plan(draft, found)
    finally:
        await store.aclose()


def run(
    board: BoardOrId,
    words: Words = NO_WORDS,
    *,
    place: Place,
    money: Money = UNLIMITED,
    stops: Stops = NO_STOPS,
    shards_at_once: Annotated[int, Parameter(help="Pieces at work at once.", validator=Number(gte=1, lte=64))] = 4,
    go_on: Annotated[bool, Parameter(help="You have looked at the canary.", negative="")] = False,
    prefect: WithPrefect = False,
    deployment: Annotated[
        str | None, Parameter(help="Of campaign-shard, whose workers render the pieces; with saved blocks.")
    ] = None,
    json: Json = False,
) -> int:
    """Render all that is left of a campaign. Killed anywhere and run again, it goes on and pays nothing twice."""
    try:
        if uses_prefect(place, wanted=prefect or deployment is not None):
            more = {"deployment": deployment, "shards_at_once": shards_at_once, "go_on": go_on}
            return _run_as_flow(board, words, place, money, stops, more, as_json=json)
        manifest, running = _run_here(words.of(board), place, money, stops, shards_at_once, go_on=go_on)
    except Exception as error:
        if json and words.table is None:  # nothing is planned anew
            problems = error.problems if isinstance(error, BadInput) else [summary(error)]
            terminal.document(campaign_terminal.document_without_rows(words.of(board), problems))
        elif json:
            _document_plan(words.of(board), place, money.retry_failed)
        raise
    campaign_terminal.show_end(manifest, place.store, spent_usd=running.spent_usd, why=running.why, as_json=json)
    return OF_STATUS[manifest.status]


def _document_plan(asked: Asked, place: Place, retry_failed: int) -> None:
    """The plan as the one document of a run that was refused; nothing where there can't be one."""
    with contextlib.suppress(SeedanceError):
        asyncio.run(_plan(asked, place.open(), place.who(), retry_failed, file=None, as_json=True))


def _run_here(
    asked: Asked, place: Place, money: Money, stops: Stops, at_once: int, *, go_on: bool
) -> tuple[CampaignManifest, CampaignRun]:
    async def work() -> tuple[CampaignManifest, CampaignRun]:
        store, who = place.open(), place.who()
        try:
            campaign = await frozen(asked, store, who, await catalog_of(store), money.approve)
            options = money.options()
            running = CampaignRun(campaign, store, who, options, rules=stops.rules(), go_on=go_on, say=terminal.say)
            shards = shards_here(store, who, campaign, at_once, lambda: QuietHost(terminal.say))
            return await running.render(await catalog_of(store), shards), running
        finally:
            await store.aclose()

    return run_to_its_end(work)


def _run_as_flow(
    board: str, words: Words, place: Place, money: Money, stops: Stops, more: Mapping[str, object], *, as_json: bool
) -> int:
    prepare_prefect()
    from prefect_seedance.cli.run_flows import campaign_with

    rules = stops.rules()
    asked = {
        "storyboard": _where(board),
        "table": words.table and _where(words.table),
        "vary": words.vary,
        "canary": words.canary,
        "shard_size": words.shard_size,
        "stop_failed": rules.failed_percent,
        "stop_refused": rules.refused_percent,
        "stop_usd_per_clip": None if rules.usd_per_clip is None else float(rules.usd_per_clip),
    }
    ended = campaign_with({**asked, **more}, place, money)
    try:
        manifest = asyncio.run(_manifest(ended.id, place.open()))
    except StoreUnavailable as error:  # after spending: the flow has said how it ended
        terminal.say(f"{ended.message}. {error}")
        if as_json:
            terminal.document(ended)
        return OF_STATUS[ended.status]
    campaign_terminal.show_end(manifest, place.store, spent_usd=ended.spent_usd, why=ended.why, as_json=as_json)
    return OF_STATUS[manifest.status]


def _where(location: str) -> str:
    """As a flow finds it, wherever it runs on this machine. What is no file here may be one of the store."""
    return str(Path(location).absolute()) if Path(location).exists() else location


async def _manifest(campaign: str, store: Store) -> CampaignManifest:
    try:
        return await manifest_of(store, await load_campaign(store, campaign))
    finally:
        await store.aclose()


async def _refuse(problems: Sequence[Problem], campaign: Campaign, store: Store, file: Path | None) -> None:
    """Raise `BadInput` where there are *problems*, all of which are then in *file*, or else in the store."""
    if problems and file is not None:
        try:
            await asyncio.to_thread(file.write_text, text_of(problems), encoding="utf-8")
        except OSError as error:
            raise BadInput(
                f"{printable(str(file), 200)} can't be written ({error.strerror}); nothing was submitted; say another "
                "place with --problems, or none for the store."
            ) from error
    if problems:
        raise refusal_of(problems, str(file) if file is not None else await write_problems(store, campaign, problems))


def status(which: Id, *, store: StorePlace, json: Json = False) -> int:
    """Say how a campaign stands, from the files of the store alone."""
    manifest = asyncio.run(_manifest(which, Place(store).open()))
    campaign_terminal.show_status(manifest, store, as_json=json)
    if manifest.left:
        terminal.say(f"To go on as it was frozen: `campaign run {which}`.")
    return DONE


def stop(
    which: Id,
    *,
    store: StorePlace,
    lift: Annotated[bool, Parameter(help="Let it go on that was stopped.", negative="")] = False,
) -> int:
    """Let no new shard of a campaign begin. What is out goes on, and is paid once."""
    opened = Place(store).open()

    async def work() -> None:
        try:
            marks = Marks(opened, await load_campaign(opened, which))
            await (marks.lift() if lift else marks.stop())
        finally:
            await opened.aclose()

    asyncio.run(work())
    if lift:
        terminal.say(f"Shards of {which} may begin again; `campaign run {which}` goes on.")
    else:
        go_on = f"say `campaign stop {which} --lift` and `campaign run {which}`"
        terminal.say(f"No new shard of {which} begins; what is out goes on. To go on, {go_on}.")
    return DONE
