"""What the emulator does wrong on request: the rules, and the answers that break on the wire."""

from __future__ import annotations

import asyncio
import http
import random
import uuid
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import Message, Receive, Scope, Send

Call = Literal["run", "runsync", "status", "cancel", "media", "health"]
Wire = Literal["drop", "drop_after", "silent", "half", "status", "html", "no_id", "redirect", "slow", "accept_late"]
"""How the answer to a call goes wrong on its way."""

Fate = Literal["moderated", "failed", "cancelled", "timed_out", "never", "purged"]
"""What becomes of the job itself."""

Look = Literal["unknown_word", "hidden", "signed", "shape"]
"""What a look at the status of a job shows, though the job itself is well."""

Media = Literal["truncated", "short", "corrupt", "gone"]
"""What is wrong with a clip that is downloaded."""

OF_A_JOB = (*get_args(Fate), *get_args(Look), *get_args(Media))
PREFIXES = {"run": "", "runsync": "sync-"}
"""How the ids begin that a POST answers with, refused or not."""

POSTS = tuple(PREFIXES)
NOT_ACCEPTED = ("drop", "status", "html")
"""The faults of a POST after which there is no job and no charge, unless the rule says `"accept": true`."""

MODERATED = (
    'Error submitting task: 400, {"error":{"code":"InputTextSensitiveContentDetected","message":"The request failed '
    'because the input text may contain sensitive information.","param":"","type":"BadRequest"}}'
)


class Rule(BaseModel):
    """One fault: at which calls it strikes, how often, and what it does."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    on: Call
    fault: Wire | Fate | Look | Media
    times: int = Field(1, ge=0, description="How many calls it strikes.")
    after: int = Field(0, ge=0, description="How many matching calls it lets pass first.")
    prompt: str = Field("", description="Only where the prompt contains this.")
    accept: bool | None = Field(None, description="Whether a POST makes a job and a charge all the same.")
    seconds: float = Field(3600, ge=0, description="How long silent, slow and accept_late take.")
    code: int = Field(500, description="The HTTP status of the fault status.")
    retry_after: float | None = None
    html: bool = Field(False, description="The fault status answers with a page instead of JSON.")
    detail: str | None = Field(None, description="What the JSON of the fault status says.")
    error: str = Field("the model crashed", description="What a job says that failed.")
    cost: float | None = Field(
        None, allow_inf_nan=False, description="What a failed job reports, and is billed for, all the same."
    )
    shape: Literal["result", "url", "bare", "none"] = Field("result", alias="as")

    @model_validator(mode="after")
    def _known_at_this_call(self) -> Rule:
        where: dict[tuple[str, ...], tuple[str, ...]] = {
            get_args(Fate): (*POSTS, "status"),
            ("hidden", "unknown_word", "signed"): ("status",),
            ("shape",): ("status", "runsync"),
            get_args(Media): ("media",),
            ("no_id", "accept_late"): POSTS,
        }
        for faults, calls in where.items():
            if self.fault in faults and self.on not in calls:
                raise ValueError(f"{self.fault} is a fault of {' or '.join(calls)}, not of {self.on}")
        return self

    @property
    def accepts(self) -> bool:
        return self.fault not in NOT_ACCEPTED if self.accept is None else self.accept


RULES = TypeAdapter(list[Rule])


class Rules(list[Rule]):
    """The rules in force. Each counts the calls that it matches; of those that are due only the first one strikes."""

    def due(self, on: str, prompt: str | None, *, has_output: bool = False) -> Rule | None:
        """The rule that strikes this call, if any. *prompt* is None for a job that the API does not know."""
        struck = None
        for rule in self:
            if rule.on != on or rule.prompt not in (prompt or ""):
                continue
            if (prompt is None and rule.fault in OF_A_JOB) or (rule.fault == "shape" and not has_output):
                continue
            if rule.after:
                rule.after -= 1
            elif rule.times and struck is None:
                rule.times -= 1
                struck = rule
        return struck


def problem(code: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error as Runpod answers it. Its `status` is the HTTP code, not the status of a job."""
    return JSONResponse({"status": code, "title": _phrase(code), "detail": detail}, code, headers)


def malformed(error: str, call: str) -> JSONResponse:
    """The answer to a *call* that the API refuses at once: the body has an id, but there is no job."""
    return JSONResponse({"id": f"{PREFIXES[call]}{uuid.uuid4()}-u1", "status": "FAILED", "error": error}, 400)


def spoiled(rule: Rule, answer: Response, path: str) -> Response:
    """The *answer* as the wire faults make it arrive; faults of another kind leave it alone."""
    match rule.fault:
        case "drop" | "drop_after":
            return HangUp()
        case "silent":
            return HangUp(after_seconds=rule.seconds)
        case "half" | "truncated":
            return HalfOf(answer)
        case "status":
            return _refusal(rule)
        case "accept_late":
            return HTMLResponse(_page(504), 504)
        case "html":
            return HTMLResponse(_page(200))
        case "no_id":
            return JSONResponse({"status": "IN_QUEUE"})
        case "redirect":
            return RedirectResponse(f"{path}?moved=1", 307)  # a client that follows pays twice, and the bill shows it
        case "gone":
            return Response("<Error><Code>NoSuchKey</Code></Error>", 404, media_type="application/xml")
    return answer


def damaged(clip: bytes, fault: str) -> bytes:
    """The bytes of a clip as the faults short and corrupt deliver them, in an answer that looks whole."""
    if fault == "short":
        return clip[: len(clip) // 2]
    third = len(clip) // 3
    return clip[:third] + random.Random(third).randbytes(third) + clip[2 * third :]


class HangUp(Response):
    """Close the connection without an answer, at once or after a silence."""

    def __init__(self, after_seconds: float = 0) -> None:
        super().__init__()
        self.after_seconds = after_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(_client_gone(receive))
        await asyncio.wait([gone], timeout=self.after_seconds)
        scope["state"]["transport"].abort()
        await gone


class HalfOf(Response):
    """Promise the whole of an answer, send half of it and close the connection."""

    def __init__(self, whole: Response) -> None:
        super().__init__()
        self.whole = whole

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        left = 0

        async def half(message: Message) -> None:
            nonlocal left
            if message["type"] == "http.response.start":
                left = int(dict(message["headers"])[b"content-length"]) // 2
                await send(message)
            elif left:
                piece = message.get("body", b"")[:left]
                left -= len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": True})

        await self.whole(scope, receive, half)
        scope["state"]["transport"].close()  # what is written already still goes out
        await _client_gone(receive)


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _refusal(rule: Rule) -> Response:
    headers = {} if rule.retry_after is None else {"Retry-After": f"{rule.retry_after:g}"}
    if rule.html:
        return HTMLResponse(_page(rule.code), rule.code, headers)
    if rule.code == 404 and rule.detail is None:
        return problem(404, "endpoint not found" if rule.on in POSTS else "job not found", headers)
    if rule.code == 400 and rule.on in POSTS:
        return malformed(rule.detail or "Invalid parameter: the emulator was asked to refuse it", rule.on)
    return problem(rule.code, rule.detail or "the emulator was asked to answer so", headers)


def _phrase(code: int) -> str:
    """What a code is called; gateways also use some that have no official name, such as 524."""
    return http.HTTPStatus(code).phrase if code in set(http.HTTPStatus) else "Error"


def _page(code: int) -> str:
    title = f"{code} {_phrase(code)}"
    return f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
