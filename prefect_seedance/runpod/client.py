"""The HTTP API: submit, status, cancel, download. What its answers mean is in `responses`."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx

from prefect_seedance.errors import (
    ApiUnreachable,
    BadInput,
    EndpointGone,
    JobGone,
    NeedsAttention,
    NoEndpoint,
    Refused,
    SubmissionUnclear,
    TooLate,
    TryAgainLater,
)
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.ask import KeptConnections
from prefect_seedance.runpod.bodies import unpacked_so_far
from prefect_seedance.runpod.download import DOWNLOAD_SECONDS, LARGEST_CLIP, MediaHost
from prefect_seedance.runpod.post import post
from prefect_seedance.runpod.rate_limit import status_calls_of, submits_of
from prefect_seedance.runpod.responses import (
    Answer,
    as_kept,
    classify,
    hidden,
    json_of,
    message_of,
    retry_after,
    what_came,
    without_key,
)

log = logging.getLogger(__name__)

ANSWER_SECONDS = 30.0
"""How long the answer to a POST may take; /run usually answers within one or two."""

BUSY = 429
REFUSALS = frozenset({400, 401, 402, 403, 404, 413, 422})
"""With `BUSY`, the documented refusals: nothing was accepted. Other 4xx (408, 409, 425, 499) are a gateway's words."""

NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)
"""Raised before a byte of the request left: nothing was accepted."""


class RunpodClient:
    """One account's API, with its connections. Open it with `async with`. Quotas are shared by the whole process."""

    def __init__(self, account: Account, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self.account = account
        self.answer_seconds = answer_seconds

    async def __aenter__(self) -> Self:
        self._api = KeptConnections(
            self.account.base_url, 20, headers=self._headers, patience=15.0, within=self.answer_seconds
        )
        self._media = MediaHost(public_only=self.account.kind == "real")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._api.aclose()
        await self._media.aclose()

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.account.api_key}", "Accept": "application/json"}

    def _url(self, slug: str, *parts: str) -> str:
        return "/".join([self.account.base_url.rstrip("/"), quote(slug, safe=""), *(quote(p, safe="") for p in parts)])

    async def _ask(self, method: str, slug: str, *parts: str) -> httpx.Response:
        """Ends whatever the API sends: within *answer_seconds* and a bounded body, or with an `httpx.HTTPError`."""
        return self._without_key(await self._api.ask(method, self._url(slug, *parts)))

    def _without_key(self, response: httpx.Response) -> httpx.Response:
        """Whatever is read of an answer may come into a record, and the key never does."""
        content = without_key(response.content, self.account.api_key)
        return httpx.Response(response.status_code, headers=response.headers, content=content)

    async def _look(self, slug: str, job_id: str) -> httpx.Response:
        async with status_calls_of(self.account).call():
            return await self._ask("GET", slug, "status", job_id)

    async def turn_to_submit(self) -> None:
        """Wait until the account's quota allows one more submit. Before a claim is made, never after it."""
        if (quota := submits_of(self.account)) is not None:
            await quota.turn()

    async def submit(
        self,
        slug: str,
        fields: dict[str, Any],
        *,
        late: Callable[[], bool] = lambda: False,
        wait_seconds: float | None = None,
    ) -> Answer:
        """The only line that costs money: POST /run once, or /runsync where *wait_seconds* are given.

        Opens a new connection and asks *late* when nothing is sent yet, so that a process that was suspended past its
        claim sends nothing. Raises `TryAgainLater`, `Refused` or `TooLate` when surely nothing was accepted, and
        `SubmissionUnclear` for everything else. Nothing is repeated and no redirect is followed.
        """

        def last_look() -> None:
            if late():
                raise TooLate("The claim or its reservation ended before anything was sent; nothing was charged.")

        url = httpx.URL(self._url(slug, "run" if wait_seconds is None else "runsync"))
        if wait_seconds is not None:
            url = url.copy_merge_params({"wait": str(int(wait_seconds * 1000))})
        patience, came = self.answer_seconds + (wait_seconds or 0), bytearray()
        try:
            async with asyncio.timeout(patience * 2):
                response = await post(
                    url, {"input": fields}, self._headers, last_look=last_look, patience=patience, came=came
                )
        except NEVER_LEFT as error:
            raise TryAgainLater(f"{self.account.base_url} was not reached ({error}); nothing was charged.") from error
        except (httpx.HTTPError, TimeoutError) as error:
            what = hidden(str(error), self.account.api_key) or type(error).__name__
            told = what_came(without_key(unpacked_so_far(bytes(came)), self.account.api_key))
            raise SubmissionUnclear(f"The answer to the POST was lost: {what}{told}") from error
        return _submitted(self._without_key(response))

    async def status(self, slug: str, job_id: str) -> Answer | None:
        """What the API says of a job; None when it says nothing usable this time.

        That is trouble on the way, 429, 5xx, half an answer, or one that names another job than was asked for.

        Raises `JobGone` for "job not found", `EndpointGone` for "endpoint not found", `NeedsAttention` for 401 and 403.
        """
        try:
            response = await self._look(slug, job_id)
        except httpx.HTTPError:
            return None
        body = json_of(response)
        detail = message_of(body, response).lower() if response.status_code == 404 else ""
        match response.status_code:
            case 200 if isinstance(body, dict) and body.get("id", job_id) != job_id:
                log.warning("The API was asked for the job %s and answered for %r.", job_id, body["id"])
                return None
            case 200 if isinstance(body, dict) and isinstance(body.get("status"), str):
                return Answer(job_id, classify(body["status"]), as_kept(body), retry_after(response))
            case 401 | 403:
                raise NeedsAttention(
                    f"The API does not take this key ({response.status_code}); the job {job_id} goes on and its id is "
                    "kept; correct the key and run again."
                )
            case 404 if "endpoint not found" in detail:
                raise EndpointGone(f"The endpoint {slug} is not there (404); the job id {job_id} is kept.")
            case 404 if "job not found" in detail:
                raise JobGone(f"{job_id}: {detail}")
            case _:
                return Answer(job_id, None, {}, retry_after(response)) if retry_after(response) else None

    async def cancel(self, slug: str, job_id: str) -> bool:
        """Ask the API to cancel a job; it may still be charged. False when the API did not take the request."""
        try:
            response = await self._ask("POST", slug, "cancel", job_id)
        except httpx.HTTPError:
            return False
        return response.status_code == httpx.codes.OK

    async def check(self, slug: str) -> None:
        """For nothing: does the API answer, take this key and know *slug*? Inconclusive answers pass.

        Asks for the status of a job that can't exist (a published observation of the live API: "job not found" means
        that key and slug are good, "endpoint not found" that the slug is withdrawn, 401 that the key is bad).
        """
        try:
            response = await self._look(slug, f"{uuid.uuid4()}-u1")
        except NEVER_LEFT as error:
            raise ApiUnreachable(
                f"{self.account.base_url} can't be reached ({error}); nothing was submitted; check the network and "
                "RUNPOD_BASE_URL."
            ) from error
        except httpx.HTTPError:
            return
        if response.status_code in (401, 403):
            raise BadInput(
                f"The API at {self.account.base_url} refuses this key ({response.status_code}); nothing was submitted; "
                "set another RUNPOD_API_KEY."
            )
        if response.status_code == 404 and "endpoint not found" in message_of(json_of(response), response).lower():
            raise NoEndpoint(
                f"The endpoint {slug} does not exist at {self.account.base_url}; nothing was submitted; it may have "
                "been withdrawn: choose another model."
            )

    async def download(
        self,
        link: str,
        path: Path,
        *,
        at_most: int = LARGEST_CLIP,
        within: float = DOWNLOAD_SECONDS,
        on_begin: Callable[[], None] = lambda: None,
    ) -> str:
        """Stream the clip at *link* to *path* and return its sha256; see `MediaHost.fetch`. The key is never sent."""
        return await self._media.fetch(link, path, at_most=at_most, within=within, on_begin=on_begin)


def _submitted(response: httpx.Response) -> Answer:
    """Read the answer to a POST: an id means accepted, a documented refusal surely not; all else is unclear."""
    body, code = json_of(response), response.status_code
    if code == BUSY:
        raise TryAgainLater("The API is too busy (429); nothing was charged.", retry_after(response))
    if code in REFUSALS:
        raise Refused(f"The API refused it ({code}): {message_of(body, response)}", code)
    if not 200 <= code < 300:
        told = what_came(response.content)
        raise SubmissionUnclear(f"The POST was answered with {code}, which says nothing about acceptance{told}")
    job_id = body.get("id") if isinstance(body, dict) else None
    if not isinstance(job_id, str) or not job_id:
        raise SubmissionUnclear(f"The POST was answered with {code} and no job id{what_came(response.content)}")
    return Answer(job_id, classify(body.get("status")), as_kept(body))


_shared: dict[tuple[asyncio.AbstractEventLoop, Account], tuple[RunpodClient, int]] = {}


@asynccontextmanager
async def open_client(account: Account) -> AsyncIterator[RunpodClient]:
    """The client of *account* on this loop, shared by all who have it open: one pool of connections."""
    place = (asyncio.get_running_loop(), account)
    client, users = _shared.get(place) or (await RunpodClient(account).__aenter__(), 0)
    _shared[place] = (client, users + 1)
    try:
        yield client
    finally:
        client, users = _shared.pop(place)
        if users > 1:
            _shared[place] = (client, users - 1)
        else:
            await client.__aexit__()
