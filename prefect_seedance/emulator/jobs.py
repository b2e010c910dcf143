"""The emulator's jobs: what was accepted, what becomes of it as its clock runs, and what it costs."""

from __future__ import annotations

import dataclasses
import datetime
import json
import time
import uuid
from pathlib import Path
from typing import Any, Literal

from prefect_seedance.catalog.endpoints import KNOWN, Catalog
from prefect_seedance.emulator.asked import price_of
from prefect_seedance.emulator.faults import MODERATED, PREFIXES, Rule

RECORD_KEPT = {"run": 30 * 60, "runsync": 60}
"""Seconds after its end that the API still knows a job, by how it was submitted."""

LINK_KEPT = 7 * 24 * 3600
"""Seconds after the end of a job that its clip can be downloaded."""

Word = Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"]


@dataclasses.dataclass
class Job:
    """One accepted POST. `accepted` and `ends` are seconds on the emulator's clock, `at` is the real time in UTC."""

    id: str
    number: int
    slug: str
    input: dict[str, Any]
    at: str
    accepted: float
    ends: float
    usd: float
    fate: Word = "COMPLETED"
    error: str | None = None
    cost: float | None = None
    purged: bool = False

    @property
    def prompt(self) -> str:
        return str(self.input.get("prompt", ""))

    @property
    def began(self) -> float:
        """When it leaves the queue: after a fifth of its time."""
        return self.accepted + (self.ends - self.accepted) / 5

    def word(self, now: float) -> Word:
        """The status word at *now*. A fate of IN_PROGRESS is a job that never ends."""
        if now < self.ends:
            return "IN_QUEUE" if now < self.began else "IN_PROGRESS"
        return self.fate

    def known(self, now: float) -> bool:
        """Whether the API answers for it at *now*."""
        kept = RECORD_KEPT["runsync" if self.id.startswith(PREFIXES["runsync"]) else "run"]
        return self.accepted <= now and not self.purged and (self.fate == "IN_PROGRESS" or now < self.ends + kept)

    def charge(self, now: float) -> float:
        """Dollars billed for it: the price from its acceptance on; for a failure what it reports, else nothing."""
        if self.word(now) in ("FAILED", "TIMED_OUT", "CANCELLED") and self.cost is not None:
            return self.cost
        return 0 if self.word(now) in ("FAILED", "TIMED_OUT") else self.usd

    def meet(self, rule: Rule, now: float) -> None:
        """Let a fault decide what becomes of this job."""
        fates: dict[str, Word] = {
            "moderated": "FAILED",
            "failed": "FAILED",
            "cancelled": "CANCELLED",
            "timed_out": "TIMED_OUT",
            "never": "IN_PROGRESS",
        }
        if rule.fault in fates:
            self.fate, self.cost = fates[rule.fault], rule.cost
            self.error = MODERATED if rule.fault == "moderated" else rule.error
            self.ends = min(self.ends, now) if rule.on == "status" else self.ends
        self.purged = self.purged or rule.fault == "purged"

    def cancel(self, now: float) -> None:
        """End a job that has not ended. Only one that had not begun costs nothing."""
        if self.word(now) == "IN_QUEUE":
            self.cost = 0
        if self.word(now) in ("IN_QUEUE", "IN_PROGRESS"):
            self.fate, self.ends = "CANCELLED", min(self.ends, now)

    def fail(self, error: str) -> None:
        self.fate, self.error = "FAILED", error

    def answer(self, now: float, link: str, shape: str = "video_url") -> dict[str, Any]:
        """The body of a status call, of the *shape* that the vendor documents or of one seen live."""
        word = self.word(now)
        body: dict[str, Any] = {"id": self.id, "status": word}
        if word == "IN_QUEUE":
            return body
        body |= {"delayTime": round((self.began - self.accepted) * 1000), "workerId": "emulator0"}
        if word == "IN_PROGRESS":
            return body
        body["executionTime"] = round((self.ends - self.began) * 1000)
        if word == "COMPLETED":
            links: dict[str, Any] = {"bare": link, "none": {"cost": self.usd}}
            links["audio_url"] = {"audio_url": link, "cost": self.usd, "result": link}  # as chatterbox-turbo answers
            body["output"] = links.get(shape) or {shape: link, "cost": self.usd}
        elif word != "CANCELLED":
            body["error"] = self.error
        if self.cost is not None and word != "COMPLETED":
            body["output"] = {"status": "error", "cost": self.cost}
        return body


class Books:
    """All jobs and the clock. With a file, both outlive the process: a line is on disk before any answer is sent."""

    def __init__(self, speed: float, latency: float, file: Path | None, catalog: Catalog = KNOWN) -> None:
        self.catalog = catalog
        self.speed = speed
        self.latency = latency
        self.jobs: dict[str, Job] = {}
        self._wall, self._emulated = time.time(), time.time()
        self._lines = None
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._read(file)
            self._lines = file.open("a", encoding="utf-8")
            self._lines.write("\n")  # ends the line that a killed process left half written
        self.advance(0)

    def now(self) -> float:
        """The emulator's time in seconds."""
        return self._emulated + (time.time() - self._wall) * self.speed

    def advance(self, seconds: float) -> None:
        """Set the clock forward by *seconds*, and write down where it stands."""
        self._emulated, self._wall = self.now() + seconds, time.time()
        self._write({"clock": {"emulated": self._emulated, "wall": self._wall}})

    def accept(self, slug: str, fields: dict[str, Any], rule: Rule | None, prefix: str) -> Job:
        """Make a job of a POST and charge for it; raises `asked.Malformed` where there is neither."""
        now = self.now()
        late = rule.seconds if rule is not None and rule.fault == "accept_late" else 0
        job = Job(
            id=f"{prefix}{uuid.uuid4()}-u1",
            number=len(self.jobs) + 1,
            slug=slug,
            input=fields,
            at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            accepted=now + late,
            ends=now + late + self.latency,
            usd=0,
        )
        try:
            job.usd = price_of(self.catalog[slug], fields)
        except ValueError as error:
            job.fail(str(error))
        if rule is not None:
            job.meet(rule, now)
        self.jobs[job.id] = job
        self.remember(job)
        return job

    def remember(self, job: Job) -> None:
        """Write *job* down as it is now; the last line of a job counts."""
        self._write({"job": dataclasses.asdict(job)})

    def job(self, slug: str, job_id: str) -> Job | None:
        """The job, as long as the API knows it."""
        job = self.jobs.get(job_id)
        return job if job is not None and job.slug == slug and job.known(self.now()) else None

    def linked(self, job_id: str) -> Job | None:
        """The job, as long as its clip can be downloaded."""
        job, now = self.jobs.get(job_id), self.now()
        finished = job is not None and job.word(now) == "COMPLETED" and now < job.ends + LINK_KEPT
        return job if finished else None

    def bill(self) -> dict[str, Any]:
        """The dollars charged so far, in all and for each job."""
        now = self.now()
        charges: list[dict[str, Any]] = [
            {
                "job_id": job.id,
                "slug": job.slug,
                "prompt": job.prompt,
                "size": job.input.get(self.catalog[job.slug].size_key),
                "duration": job.input.get("duration"),
                "usd": job.charge(now),
                "at": job.at,
                "status": job.word(now),
            }
            for job in self.jobs.values()
            if job.accepted <= now
        ]
        return {"total_usd": round(sum(job["usd"] for job in charges), 6), "charges": charges}

    def _write(self, line: dict[str, Any]) -> None:
        if self._lines is not None:
            self._lines.write(json.dumps(line) + "\n")
            self._lines.flush()

    def _read(self, file: Path) -> None:
        for text in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
            try:
                line = json.loads(text)
            except ValueError:  # written when the process was killed: nobody was answered
                continue
            if "job" in line:
                self.jobs[line["job"]["id"]] = Job(**line["job"])
            else:
                self._emulated, self._wall = line["clock"]["emulated"], line["clock"]["wall"]
