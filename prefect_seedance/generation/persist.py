"""Bring the clip of a completed job into the store: whole, decoded, hashed, under its own name. Costs nothing."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect_seedance.errors import (
    BadStore,
    ClipDamaged,
    DownloadFailed,
    EndpointGone,
    JobGone,
    LinkDead,
    Missing,
    StoreUnavailable,
)
from prefect_seedance.generation.frames import last_frame_path
from prefect_seedance.generation.poll import refuse_foreign
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.ledger import durable
from prefect_seedance.ledger.clocks import Elapsed
from prefect_seedance.ledger.ledger import record_path
from prefect_seedance.ledger.record import FailureReason, Record, Step, next_step
from prefect_seedance.ledger.rules import LINK_SECONDS, History
from prefect_seedance.models import AUTO
from prefect_seedance.production.pictures import poster_path
from prefect_seedance.runpod.download import DOWNLOAD_SECONDS
from prefect_seedance.runpod.responses import link_in
from prefect_seedance.video import decoder
from prefect_seedance.video.endings import ending_of

TRIES = 3
"""Of one call, a second or two apart. What is still wrong then is looked at again by the next run."""
LATER = "the clip is paid for and stays completed: `prefect-seedance collect` or the next render fetches it again"
MOST_SPOKEN_SECONDS = 6 * 3600.0
"""What is longer has no end: no endpoint speaks for an hour, and a paid sound is never thrown away for its length."""
LOST_AFTER_SECONDS = 6 * 3600.0
"""A media host may be in trouble for hours while its links live for days."""


@dataclass(frozen=True)
class Trouble:
    """Why a try brought no clip; *what* names it where the next run seeing the same would mean something."""

    why: str
    what: str | None = None
    sha256: str | None = None
    """Of bytes that came whole and don't decode."""


async def persist(session: RenderSession, history: History) -> History:
    """The history with the clip of its completed job in the store: whole, decoded, hashed, under its own name.

    Raises `DownloadFailed` when it could not be had this time; the next call goes on.
    """
    if history.state is not Step.COMPLETED or history.last is None:
        return history
    return session.taken(await _Persisting(session).bring_home(history, history.last))


class _Persisting:
    """Downloads over one account into one store."""

    def __init__(self, session: RenderSession) -> None:
        self.session = session
        self.client = session.client
        self.ledger = session.ledger
        self.notes = session.notes

    async def bring_home(self, history: History, record: Record) -> History:
        """Store the clip of *record*, the completed one that *history* ends with.

        A damaged download is tried again and a dead link is asked for again, both a few times. Raises `DownloadFailed`
        when the clip could not be had this time: it stays completed, and the next call goes on. It is lost only when
        a run sees what another run has seen hours before.
        """
        link, ends = self._link_of(record), time.monotonic() + DOWNLOAD_SECONDS
        scratch = self.ledger.store.scratch() / f"{record.key}-{secrets.token_hex(4)}.mp4"
        before = None
        try:
            for tried in range(1, TRIES + 1):
                look = Elapsed()
                came = await self._try(history, record, link, scratch)
                if isinstance(came, History):
                    return came
                trouble, link = came
                if tried == TRIES or time.monotonic() >= ends:
                    break
                before = trouble.what
                await asyncio.sleep(tried)
            if trouble.what == before and await self._was_seen_before(record, trouble, look):
                return await self._lose(history, record, trouble, scratch)
            raise DownloadFailed(f"{trouble.why}; {await self._outlook(record)}")
        finally:
            scratch.unlink(missing_ok=True)

    async def _try(
        self, history: History, record: Record, link: str | None, scratch: Path
    ) -> History | tuple[Trouble, str | None]:
        """The stored clip, or what went wrong and the link to try next."""
        sha256 = None
        try:
            if link is None:
                raise LinkDead("the final answer holds no link")
            sha256 = await self.client.download(link, scratch, on_begin=lambda: self.session.fetching(record.key))
            return await self._verified(history, record, scratch, sha256)
        except LinkDead as error:
            new = await self._ask_for_link(record)
            what = "dead-link" if new in (None, link) else None
            return Trouble(f"the clip's link is dead ({error})", what), new or link
        except ClipDamaged as error:
            return Trouble(f"the clip came damaged ({error})", _damaged(sha256 or ""), sha256), link
        except DownloadFailed as error:
            return Trouble(str(error)), link

    async def _verified(self, history: History, record: Record, clip: Path, sha256: str) -> History:
        """The stored clip. Bytes that came and are not stored contradict a dead link, and that others come alike."""
        try:
            return await self._verify_and_publish(history, record, clip, sha256)
        except (Exception, asyncio.CancelledError):
            await self.notes.forget_all_but(record, _damaged(sha256))
            raise

    async def _was_seen_before(self, record: Record, trouble: Trouble, look: Elapsed) -> bool:
        if trouble.what is None:
            return False
        return await self.notes.seen_again(record, trouble.what, look=look, after=LOST_AFTER_SECONDS, by_another=True)

    async def _lose(self, history: History, record: Record, trouble: Trouble, scratch: Path) -> History:
        if trouble.sha256 is not None:
            return await self._keep_unreadable(history, record, scratch, trouble.sha256, trouble.why)
        reason = f"{trouble.why}, as another run saw hours before"
        return await durable.append_until_in(self.ledger, next_step(record, Step.LOST, reason=reason), history)

    async def _outlook(self, record: Record) -> str:
        """What is to be done about a clip that could not be had this time."""
        with suppress(Missing, StoreUnavailable, BadStore):
            if await self.ledger.store.age(record_path(record.key, record.number)) > LINK_SECONDS:
                handle = f"{record.key}@{record.number}"
                return f"{LATER}, or, as links end, `prefect-seedance settle {handle} --store … --charged` gives it up"
        return LATER

    def _link_of(self, record: Record) -> str | None:
        return link_in(record.answer or {}, http=self.client.account.kind == "pretend")

    async def _ask_for_link(self, record: Record) -> str | None:
        try:
            answer = await self.client.status(record.request.model, record.job_id or "")
        except (JobGone, EndpointGone):
            refuse_foreign(record, self.client)
            return None
        if answer is None or answer.ended is None:
            raise DownloadFailed(f"the clip's link is dead and the API can't be asked for another now; {LATER}")
        return link_in(answer.body, http=self.client.account.kind == "pretend")

    async def _verify_and_publish(self, history: History, record: Record, clip: Path, sha256: str) -> History:
        """The one time that the clip is decoded: its pictures come out of the same pass."""
        if record.request.is_speech:
            return await self._verify_and_publish_speech(history, record, clip, sha256)
        poster, last_frame = clip.with_suffix(".jpg"), clip.with_suffix(".png")
        wanted = last_frame if record.key in self.session.continued else None
        try:
            footage = await decoder.examine(clip, poster=poster, last_frame=wanted)
            asked = record.request.duration
            mismatch = asked != AUTO and abs(footage.seconds - asked) > 0.5
            seen = {"footage": footage, "duration_mismatch": mismatch}
            history = await self._publish(history, record, clip, sha256, ".mp4", **seen)
            if history.last is not None and history.last.sha256 == sha256:
                await self._keep_pictures(history.last, poster, last_frame)
                self.session.at_hand.keep(clip, sha256)
        finally:
            poster.unlink(missing_ok=True)
            last_frame.unlink(missing_ok=True)
        return history

    async def _verify_and_publish_speech(self, history: History, record: Record, file: Path, sha256: str) -> History:
        """A spoken text: decoded to its end as a clip is, and kept under the ending that its bytes have."""
        ending = await asyncio.to_thread(ending_of, file)
        if ending is None:
            raise ClipDamaged("it is no sound file")
        sound = await asyncio.to_thread(file.rename, file.with_suffix(ending))
        try:
            heard = await decoder.listen(sound, MOST_SPOKEN_SECONDS)
            history = await self._publish(history, record, sound, sha256, ending, heard=heard)
            if history.last is not None and history.last.sha256 == sha256:
                self.session.at_hand.keep(sound, sha256)
            return history
        except ClipDamaged:
            await asyncio.to_thread(sound.rename, file)  # where what can't be read is kept from
            raise
        finally:
            sound.unlink(missing_ok=True)

    async def _keep_pictures(self, stored: Record, poster: Path, last_frame: Path) -> None:
        """What is not kept for whatever reason is made by who needs it, from the stored clip."""
        sha256, store = stored.sha256 or "", self.ledger.store
        with suppress(Missing, StoreUnavailable, BadStore):
            await store.put(poster, poster_path(sha256), "image/jpeg")
            self.session.at_hand.posters.add(sha256)
        if stored.key in self.session.continued:
            with suppress(Missing, StoreUnavailable, BadStore):
                await store.put(last_frame, last_frame_path(stored), "image/png")

    async def _publish(
        self, history: History, record: Record, file: Path, sha256: str, ending: str, **seen: Any
    ) -> History:
        path = f"clips/{record.key}-{sha256[:12]}{ending}"
        stored = next_step(
            record,
            Step.STORED,
            clip=path,
            sha256=sha256,
            bytes=(await asyncio.to_thread(file.stat)).st_size,
            **seen,
        )
        return await durable.publish_and_append(self.ledger, file, path, stored, history)

    async def _keep_unreadable(self, history: History, record: Record, file: Path, sha256: str, why: str) -> History:
        path = f"clips/{record.key}-{sha256[:12]}.unreadable"
        size = (await asyncio.to_thread(file.stat)).st_size
        reason = f"unreadable: {why}, alike hours before; kept as {path}"
        kept = {"clip": path, "sha256": sha256, "bytes": size}
        lost = next_step(record, Step.LOST, kind=FailureReason.UNREADABLE, reason=reason, **kept)
        return await durable.publish_and_append(self.ledger, file, path, lost, history)


def _damaged(sha256: str) -> str:
    """What is noted of bytes that came whole and don't decode."""
    return f"damaged-{sha256[:12]}"
