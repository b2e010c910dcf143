"""The boards of a frozen campaign, from its own files: what any machine renders, however the table has moved."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal

from prefect_seedance.campaign.boards import Boards, merged
from prefect_seedance.campaign.document import Campaign, Line, Shard, damaged, load_lines
from prefect_seedance.catalog.endpoints import Catalog, own_rows
from prefect_seedance.errors import BadInput, Missing
from prefect_seedance.runpod.account import Account
from prefect_seedance.sources.folder import Folder
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.board import Board, BoardShot
from prefect_seedance.storyboard.documents import MOST_BYTES
from prefect_seedance.storyboard.reading import outline_from
from prefect_seedance.storyboard.schema import Outline

CHANGED = "what it would ask for is not what was frozen: a picture at a link has changed; plan the campaign again"


class FrozenCampaign:
    """A campaign in *store* with what makes boards of its shards."""

    def __init__(self, campaign: Campaign, store: Store, boards: Boards) -> None:
        self.campaign = campaign
        self.store = store
        self.boards = boards

    async def board_of(self, shard: Shard, lines: Sequence[Line] | None = None) -> Board:
        """The board of *shard*, whose *lines* may have been read already.

        A shot that can no longer be asked for as it was approved is blocked and says why; its siblings are not. Raises
        `BadInput` where the storyboard has other shots than were frozen.
        """
        frozen = await load_lines(self.store, self.campaign, shard) if lines is None else lines
        boards = [await self._board_of(line) for line in frozen]
        return merged(f"{self.campaign.title} {shard.name}", boards, f"shard {shard.name}")

    async def _board_of(self, line: Line) -> Board:
        board = await self.boards.board_of(line.unit)
        if {shot.id for shot in board.asked} != set(line.keys):
            raise damaged(self.store, _storyboard_path(self.campaign))
        return _as_approved(board, line)


@asynccontextmanager
async def open_campaign(
    campaign: Campaign, store: Store, account: Account, catalog: Catalog
) -> AsyncIterator[FrozenCampaign]:
    """Read the frozen storyboard of *campaign*. Raises `BadInput` for another account or catalog, or a damaged file."""
    if account.fingerprint != campaign.account:
        raise BadInput(
            f"The campaign {campaign.id} was planned for another account or address of the API; nothing was submitted; "
            "use that one, or plan it for this account."
        )
    if own_rows(catalog) != campaign.catalog:
        raise BadInput(
            f"The rows of your own in the catalog are not those that the campaign {campaign.id} was planned with; "
            "nothing was submitted; put them back, or plan it again."
        )
    outline = await _outline_of(campaign, store)
    folder = Folder(f"{store.url}/{campaign.folder}/board", store)
    private = account.kind == "pretend"
    async with Boards(outline, folder, store, catalog, allow_private=private, file=campaign.table) as boards:
        yield FrozenCampaign(campaign, store, boards)


async def _outline_of(campaign: Campaign, store: Store) -> Outline:
    path = _storyboard_path(campaign)
    try:
        content = await store.read(path, MOST_BYTES + 1)
    except Missing:
        raise damaged(store, path) from None
    outline = outline_from(content, campaign.storyboard, campaign.storyboard)
    sha256 = hashlib.sha256(content).hexdigest()
    if outline.problems or campaign.storyboard_sha256 not in (None, sha256):
        raise damaged(store, path)
    return outline


def _storyboard_path(campaign: Campaign) -> str:
    return f"{campaign.folder}/board/{campaign.storyboard}"


def _as_approved(board: Board, line: Line) -> Board:
    def checked(shot: BoardShot) -> BoardShot:
        if shot.key == line.keys.get(shot.id):
            return replace(shot, spoken=shot.spoken and checked(shot.spoken))
        spoken = shot.spoken and checked(shot.spoken)
        why = shot.problem or CHANGED
        return replace(shot, request=None, key=None, estimated_usd=Decimal(0), spoken=spoken, problem=why)

    return replace(board, shots=tuple(map(checked, board.shots)), problems=(), warnings=())
