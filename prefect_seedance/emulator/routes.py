"""The routes of a pretend Runpod: the calls of the API, and those that steer it and tell its bill.

Beside the API it has `GET /bill`, `GET /calls`, `POST /clock {"advance_seconds": n}`, `POST /faults [rule, …]` and
`DELETE /faults`; a rule is described by `faults.Rule`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import secrets
from collections import Counter
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from prefect_seedance.emulator.asked import Malformed, refusal
from prefect_seedance.emulator.clips import Clips, PictureMissing
from prefect_seedance.emulator.faults import (
    PREFIXES,
    RULES,
    Call,
    Fate,
    Rule,
    Rules,
    damaged,
    malformed,
    problem,
    spoiled,
)
from prefect_seedance.emulator.jobs import Books, Job
from prefect_seedance.video.endings import content_type

LARGEST_BODY = {"run": 10_000_000, "runsync": 20_000_000}
"""Bytes; what is larger is answered with 413."""


class Emulator:
    """Answers every call, from the jobs, their clips and the faults that were asked for."""

    def __init__(self, origin: str, books: Books, clips: Clips, rules: Rules, files: Path | None) -> None:
        self.origin = origin
        self.books = books
        self.clips = clips
        self.rules = rules
        self.files = files
        self.calls: Counter[str] = Counter()
        self.fetching: dict[str, asyncio.Task[None]] = {}

    def app(self) -> Starlette:
        routes: list[Route | Mount] = [
            Route("/v2/{slug}/run", self.run, methods=["POST"]),
            Route("/v2/{slug}/runsync", self.runsync, methods=["POST"]),
            Route("/v2/{slug}/status/{job}", self.status),
            Route("/v2/{slug}/status-sync/{job}", self.status_sync),
            Route("/v2/{slug}/cancel/{job}", self.cancel, methods=["POST"]),
            Route("/v2/{slug}/health", self.health),
            Route("/v2/{slug}/{rest:path}", self.nowhere, methods=["POST", "GET", "PUT", "PATCH", "DELETE"]),
            Route("/media/{job}/output.{ending}", self.media),
            Route("/bill", self.bill),
            Route("/calls", self.counted),
            Route("/clock", self.clock, methods=["POST"]),
            Route("/faults", self.faults, methods=["POST", "DELETE"]),
        ]
        if self.files is not None:
            routes.append(Mount("/files", StaticFiles(directory=self.files)))
        app = Starlette(routes=routes, exception_handlers={HTTPException: _not_here})
        app.router.redirect_slashes = False
        return app

    async def run(self, request: Request) -> Response:
        return await self._post(request, "run")

    async def runsync(self, request: Request) -> Response:
        return await self._post(request, "runsync")

    async def _post(self, request: Request, call: str) -> Response:
        self.calls[call] += 1
        body = await request.body()
        if stranger := self._stranger(request):
            return stranger
        fields = _input_of(body)
        rule = await self._rule(call, str((fields or {}).get("prompt", "")), has_output=True)
        if len(body) > LARGEST_BODY[call]:
            answer: Response = problem(413, f"the body is larger than {LARGEST_BODY[call]} bytes")
        elif fields is None:
            answer = malformed("Invalid request: the body must be a JSON object that has an object named input", call)
        elif call == "runsync" and _wait_seconds(request) is None:
            answer = malformed("Invalid request: wait must be a whole number of milliseconds", call)
        elif rule is None or rule.accepts:
            answer = await self._accepted(request, call, fields, rule)
        else:
            answer = Response()
        return answer if rule is None else spoiled(rule, answer, request.url.path)

    async def _accepted(self, request: Request, call: str, fields: dict[str, Any], rule: Rule | None) -> Response:
        try:
            job = self.books.accept(request.path_params["slug"], fields, rule, PREFIXES[call])
        except Malformed as error:
            return malformed(str(error), call)
        self.fetch_pictures(job)
        if call == "run" or (rule is not None and rule.fault == "accept_late"):
            return JSONResponse({"id": job.id, "status": "IN_QUEUE"})
        await self._until_ended(job, _wait_seconds(request) or 0)
        return await self._answer(job, rule, self.books.now())

    async def _until_ended(self, job: Job, seconds: float) -> None:
        until = self.books.now() + seconds
        while self.books.now() < min(until, job.ends):  # noqa: ASYNC110 (its clock may jump)
            await asyncio.sleep(0.02)

    async def status_sync(self, request: Request) -> Response:
        """The status as soon as the job has ended, or after `wait` milliseconds."""
        if stranger := self._stranger(request):
            return stranger
        seconds = _wait_seconds(request)
        if seconds is None:
            return malformed("Invalid request: wait must be a whole number of milliseconds", "run")
        if job := self._asked_for(request):
            await self._until_ended(job, seconds)
        return await self.status(request)

    async def nowhere(self, request: Request) -> Response:
        """What the API answers to an operation that it does not have. As everywhere, a bad key is refused first."""
        return self._stranger(request) or problem(404, "not found")

    async def status(self, request: Request) -> Response:
        self.calls["status"] += 1
        if stranger := self._stranger(request):
            return stranger
        job, now = self._asked_for(request), self.books.now()
        completed = job is not None and job.word(now) == "COMPLETED"
        rule = await self._rule("status", job.prompt if job else None, has_output=completed)
        if job is not None and rule is not None and rule.fault in get_args(Fate):
            job.meet(rule, now)
            self.books.remember(job)
        if job is None or job.purged or (rule is not None and rule.fault == "hidden"):
            answer: Response = problem(404, "job not found")
        else:
            answer = await self._answer(job, rule, now)
        return answer if rule is None else spoiled(rule, answer, request.url.path)

    async def cancel(self, request: Request) -> Response:
        self.calls["cancel"] += 1
        if stranger := self._stranger(request):
            return stranger
        job = self._asked_for(request)
        rule = await self._rule("cancel", job.prompt if job else None)
        if job is None:
            answer: Response = problem(404, "job not found")
        else:
            if rule is None or rule.accepts:
                job.cancel(self.books.now())
                self.books.remember(job)
            answer = JSONResponse({"id": job.id, "status": job.word(self.books.now())})
        return answer if rule is None else spoiled(rule, answer, request.url.path)

    async def health(self, request: Request) -> Response:
        """Figures are for the owner of an endpoint only, and nobody owns a public one: 401 even with a good key."""
        self.calls["health"] += 1
        rule = await self._rule("health", None)
        answer = self._stranger(request) or problem(401, "unauthorized")
        return answer if rule is None else spoiled(rule, answer, request.url.path)

    async def media(self, request: Request) -> Response:
        self.calls["media"] += 1
        job = self.books.linked(request.path_params["job"])
        rule = await self._rule("media", job.prompt if job else None)
        if job is None:
            answer = Response("no such clip", 404)
        else:
            clip = await self.clips.clip(job)
            if rule is not None and rule.fault in ("short", "corrupt"):
                answer = Response(damaged(clip.read_bytes(), rule.fault), media_type=content_type(clip.name))
            else:
                tag = hashlib.sha256(job.id.encode()).hexdigest()[:32]
                answer = FileResponse(clip, media_type=content_type(clip.name), headers={"ETag": f'"{tag}"'})
        return answer if rule is None else spoiled(rule, answer, request.url.path)

    async def bill(self, request: Request) -> Response:
        return JSONResponse(self.books.bill())

    async def counted(self, request: Request) -> Response:
        return JSONResponse({call: self.calls[call] for call in get_args(Call)})

    async def clock(self, request: Request) -> Response:
        self.books.advance(float((await request.json())["advance_seconds"]))
        return JSONResponse({"now": self.books.now()})

    async def faults(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.rules.clear()
        else:
            try:
                self.rules.extend(RULES.validate_json(await request.body()))
            except ValidationError as error:
                return problem(400, str(error))
        return JSONResponse([rule.model_dump(by_alias=True) for rule in self.rules])

    def fetch_pictures(self, job: Job) -> None:
        """Begin to fetch the pictures of *job*, as the vendor does while the job waits."""

        async def fetch() -> None:
            try:
                await self.clips.fetch(job)
            except PictureMissing as error:
                if job.fate == "COMPLETED":  # what has been cancelled meanwhile stays so
                    job.fail(refusal(str(error)))
                    self.books.remember(job)

        if job.fate == "COMPLETED":
            self.fetching[job.id] = asyncio.create_task(fetch())

    async def _rule(self, call: str, prompt: str | None, *, has_output: bool = False) -> Rule | None:
        rule = self.rules.due(call, prompt, has_output=has_output)
        if rule is not None and rule.fault == "slow":
            await asyncio.sleep(rule.seconds)
        return rule

    def _stranger(self, request: Request) -> Response | None:
        """The refusal of a call for an unknown endpoint or without a good key."""
        if request.path_params["slug"] not in self.books.catalog:
            return problem(404, "endpoint not found")
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not key.strip():
            return problem(401, "no token provided")
        return problem(401, "unauthorized") if key.strip() == "wrong" else None

    def _asked_for(self, request: Request) -> Job | None:
        return self.books.job(request.path_params["slug"], request.path_params["job"])

    async def _answer(self, job: Job, rule: Rule | None, now: float) -> Response:
        if job.word(now) == "COMPLETED" and job.id in self.fetching:
            await self.fetching[job.id]  # only now is it sure that it completes
        ending = self.clips.ending(job)
        usual = "video_url" if ending == "mp4" else "audio_url"
        shape = rule.shape if rule is not None and rule.fault == "shape" else usual
        anew = f"?signed={secrets.token_hex(8)}" if rule is not None and rule.fault == "signed" else ""
        body = job.answer(now, f"{self.origin}/media/{job.id}/output.{ending}{anew}", shape)
        if rule is not None and rule.fault == "unknown_word":
            body = {"id": job.id, "status": "WARMING_UP"}
        return JSONResponse(body)


def _not_here(_: Request, error: Exception) -> Response:
    code = error.status_code if isinstance(error, HTTPException) else 500
    return problem(code, "not found" if code == 404 else "method not allowed")


def _wait_seconds(request: Request) -> float | None:
    """How long a call waits for the end of its job: 90 s, or `wait` milliseconds; None if that is no number."""
    asked = request.query_params.get("wait", "90000")
    if not re.fullmatch("[0-9]{1,9}", asked):
        return None
    return min(max(int(asked), 1000), 300_000) / 1000


def _input_of(body: bytes) -> dict[str, Any] | None:
    try:
        fields = json.loads(body)["input"]
    except (ValueError, TypeError, KeyError):
        return None
    return fields if isinstance(fields, dict) else None
