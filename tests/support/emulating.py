"""The emulator as a real process, for any test that needs an API."""

from __future__ import annotations

import os
import signal
from types import TracebackType
from typing import Any

import httpx

from tests.support.forked import Forked, light_forker


class RunningEmulator:
    """An emulator in a process of its own, and a synchronous handle to its bill, its clock and its faults.

    `with RunningEmulator.start(speed=50, state=path) as emulator:` ends it; so does `stop()`.
    """

    def __init__(self, process: Forked) -> None:
        assert process.stdout is not None
        self.process = process
        self.base_url = process.stdout.readline().strip()
        if not self.base_url:
            raise RuntimeError(f"the emulator did not start: exit code {process.wait()}")
        self.origin = self.base_url.removesuffix("/v2")
        self._http = httpx.Client(base_url=self.origin, timeout=30, trust_env=False, verify=False)

    @classmethod
    def start(cls, **options: Any) -> RunningEmulator:
        """Start it with the options of its command line: port, speed, latency, faults, serve, state."""
        words = [f"--{name}={value}" for name, value in options.items() if value is not None]
        forker = light_forker()
        environment = os.environ | {"PREFECT_SEEDANCE_EMULATOR_PARENT": str(forker.pid)}
        says, hears = os.pipe()
        process = forker.start(["prefect_seedance.emulator", *words], environment, os.getcwd(), hears, 2)
        os.close(hears)
        process.stdout = os.fdopen(says)
        return cls(process)

    def stop(self) -> int:
        """End it and return its exit code."""
        self._http.close()
        return self._ended_by(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would."""
        self._ended_by(signal.SIGKILL)

    def _ended_by(self, number: signal.Signals) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout=30)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def __enter__(self) -> RunningEmulator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def public_base_url(self) -> str:
        """Where the folder given as `serve` can be read."""
        return f"{self.origin}/files"

    @property
    def port(self) -> int:
        return httpx.URL(self.origin).port or 0

    def bill(self) -> dict[str, Any]:
        bill: dict[str, Any] = self._http.get("/bill").json()
        return bill

    @property
    def charges(self) -> list[dict[str, Any]]:
        """What was really charged: jobs that failed are left out."""
        return [charge for charge in self.bill()["charges"] if charge["usd"] > 0]

    def calls(self) -> dict[str, int]:
        """How often each kind of call was made: run, runsync, status, cancel, media, health."""
        calls: dict[str, int] = self._http.get("/calls").json()
        return calls

    def fault(self, on: str, fault: str, **arguments: Any) -> None:
        """Misbehave at the next call of the kind *on*. Write `as_` for the argument `as`."""
        rule = {"on": on, "fault": fault} | {name.rstrip("_"): value for name, value in arguments.items()}
        answer = self._http.post("/faults", json=[rule])
        assert answer.is_success, answer.text

    def clear_faults(self) -> None:
        self._http.delete("/faults").raise_for_status()

    def advance(self, seconds: float) -> None:
        """Let the emulator's clock jump."""
        self._http.post("/clock", json={"advance_seconds": seconds}).raise_for_status()
