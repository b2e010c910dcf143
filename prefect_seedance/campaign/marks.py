"""What people decided about a campaign, as files beside it: approved, looked at, stopped. Good for every restart."""

from __future__ import annotations

import datetime
import json

from prefect_seedance.campaign.document import Campaign
from prefect_seedance.errors import Missing
from prefect_seedance.ledger.writer import this_writer
from prefect_seedance.storage.store import Store


class Marks:
    """The decisions about one campaign in one store."""

    def __init__(self, store: Store, campaign: Campaign) -> None:
        self.store = store
        self.campaign = campaign

    async def approved(self) -> bool:
        """Whether somebody has approved just this campaign."""
        return (await self._read("approved")).get("hash") == self.campaign.hash

    async def approve(self) -> None:
        await self._write("approved", hash=self.campaign.hash)

    async def looked_at(self) -> bool:
        """Whether somebody has looked at the canary and let the others go."""
        return (await self._read("canary")).get("hash") == self.campaign.hash

    async def look(self) -> None:
        await self._write("canary", hash=self.campaign.hash)

    async def stopped(self) -> str | None:
        """Why no new shard may begin; None where one may."""
        return await self.stopped_by_somebody() or await self.stopped_by_a_rule()

    async def stopped_by_somebody(self) -> str | None:
        """What only somebody lifts: no word of a run does, since whoever restarts it says the same words again."""
        return await self._why("stopped")

    async def stop(self) -> None:
        await self._write("stopped", reason="somebody stopped it with campaign stop")

    async def lift(self) -> None:
        await self.store.delete(self._path("stopped"))

    async def stopped_by_a_rule(self) -> str | None:
        """What an approval lifts: a rule that still holds stops the campaign again."""
        return await self._why("broken")

    async def break_off(self, rule: str) -> None:
        await self._write("broken", reason=rule)

    async def go_on(self) -> None:
        await self.store.delete(self._path("broken"))

    async def _why(self, name: str) -> str | None:
        mark = await self._read(name)
        return str(mark.get("reason", "it was stopped")) if mark else None

    def _path(self, name: str) -> str:
        return f"{self.campaign.folder}/{name}.json"

    async def _read(self, name: str) -> dict[str, object]:
        """What was decided; nothing where nobody has. A mark that can't be read decides nothing but a stop."""
        try:
            mark = json.loads(await self.store.read(self._path(name)))
        except Missing:
            return {}
        except ValueError:
            mark = None
        return mark if isinstance(mark, dict) else {"reason": f"{self._path(name)} can't be read"}

    async def _write(self, name: str, **said: str) -> None:
        writer = this_writer()
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        mark = {**said, "at": at, "by": {"host": writer.host, "pid": writer.pid}}
        await self.store.write(self._path(name), json.dumps(mark, indent=1).encode(), "application/json")
