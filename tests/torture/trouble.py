"""What the API, the media host and the line to S3 do wrong in a round."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from tests.support.emulating import RunningEmulator
from tests.support.s3_server import Line, RunningS3

LONGEST_SECONDS = 8.0
"""After this much peace no request of the storm is on its way any more."""
ACCEPTED_ALL_THE_SAME = (408, 409, 425, 499, 500, 502, 503, 504, 524)
REFUSED = (400, 402, 404, 413, 422)


@dataclass
class ApiTrouble:
    """Rules of misbehaviour for the keys of a round, drawn at random."""

    emulator: RunningEmulator
    chance: random.Random
    speed: float
    may_be_lost: set[str] = field(default_factory=set)
    """Prompts whose job the API may cancel, forget, or bill though it failed: those clips there is no way to."""

    def begin(self, prompts: list[str], tag: str) -> None:
        hidden = set[str]()
        for prompt in prompts:
            for _ in range(self.chance.choice((0, 1, 1, 2))):
                on, fault, more = self._of_a_post()
                self._tell(on, fault, prompt, more)
            if self.chance.random() < 0.35:
                on, fault, more = self._of_a_job()
                if fault == "hidden" and prompt in hidden:
                    continue
                hidden |= {prompt} if fault == "hidden" else set()
                self._tell(on, fault, prompt, more)
        for _ in range(8):
            on, fault, more = self._of_any_call()
            self._tell(on, fault, tag, more | {"after": self.chance.randrange(12)})
        # As slow as the real API, so that kills and stops meet a POST on its way.
        self._tell("run", "slow", tag, {"seconds": 0.5, "times": 1000})

    def end(self) -> None:
        self.emulator.clear_faults()

    def _tell(self, on: str, fault: str, prompt: str, more: dict[str, Any]) -> None:
        if fault in ("cancelled", "purged") or (fault == "failed" and more.get("cost")):
            self.may_be_lost.add(prompt)
        self.emulator.fault(on, fault, prompt=prompt, **more)

    def _of_a_post(self) -> tuple[str, str, dict[str, Any]]:
        wall = self.chance.uniform(0.3, 5)
        faults: list[tuple[str, dict[str, Any]]] = [
            ("drop_after", {}),
            ("drop", {}),
            ("half", {}),
            ("html", {"accept": True}),
            ("no_id", {}),
            ("redirect", {}),
            ("silent", {"seconds": wall}),
            ("slow", {"seconds": wall}),
            ("slow", {"seconds": wall}),
            ("accept_late", {"seconds": wall * self.speed}),
            ("status", {"code": 429, "retry_after": 0}),
            ("status", {"code": self.chance.choice(REFUSED)}),
            ("status", {"code": self.chance.choice(ACCEPTED_ALL_THE_SAME), "accept": True}),
            ("status", {"code": self.chance.choice(ACCEPTED_ALL_THE_SAME), "accept": True, "html": True}),
            ("status", {"code": self.chance.choice(ACCEPTED_ALL_THE_SAME)}),
        ]
        return "run", *self.chance.choice(faults)

    def _of_a_job(self) -> tuple[str, str, dict[str, Any]]:
        faults: list[tuple[str, str, dict[str, Any]]] = [
            ("run", "failed", {}),
            ("run", "failed", {}),
            ("run", "failed", {"cost": 0.04}),
            ("run", "timed_out", {}),
            ("run", "moderated", {}),
            ("run", "cancelled", {}),
            ("status", "purged", {"after": self.chance.randrange(4)}),
            ("status", "hidden", {}),
            ("status", "hidden", {}),
            ("status", "shape", {"as": self.chance.choice(("result", "url", "bare", "none"))}),
            ("media", "corrupt", {"times": 3}),
            ("media", "gone", {"times": self.chance.randrange(1, 6)}),
        ]
        return self.chance.choice(faults)

    def _of_any_call(self) -> tuple[str, str, dict[str, Any]]:
        faults: list[tuple[str, str, dict[str, Any]]] = [
            ("status", "status", {"code": 503, "times": 4}),
            ("status", "status", {"code": 429, "retry_after": 1}),
            ("status", "html", {"times": 2}),
            ("status", "drop", {"times": 2}),
            ("status", "half", {}),
            ("status", "slow", {"seconds": 1.5, "times": 3}),
            ("status", "unknown_word", {"times": 3}),
            ("media", "status", {"code": 503, "times": 3}),
            ("media", "short", {"times": 2}),
            ("media", "truncated", {"times": 2}),
            ("media", "slow", {"seconds": 1.5}),
            ("run", "status", {"code": 429, "times": 3}),
        ]
        return self.chance.choice(faults)


class BadLine:
    """A line to S3 that drops answers of PUTs that landed, lets PUTs land late, and says 503 for a while."""

    def __init__(self, server: RunningS3, chance: random.Random) -> None:
        self.line = Line(server)
        self.chance = chance
        self.endpoint_url = self.line.endpoint_url
        self._bad = threading.Event()
        self.line.on_request = self._passing

    def _passing(self, method: str, path: str) -> None:
        if not self._bad.is_set():
            self.line.answer_instead, self.line.answers_to_drop = None, 0
            return
        fate = self.chance.random()
        if method == "PUT" and fate < 0.08:
            self.line.answers_to_drop += 1
        elif method == "PUT" and fate < 0.12:
            time.sleep(self.chance.uniform(0.2, LONGEST_SECONDS - 2))
        elif fate > 0.98:
            self.line.answer_instead = (503, "SlowDown")
        elif fate > 0.7:
            self.line.answer_instead = None

    def begin(self) -> None:
        self._bad.set()

    def end(self) -> None:
        self._bad.clear()
        self.line.answer_instead, self.line.answers_to_drop = None, 0

    def stop(self) -> None:
        self.line.stop()
