"""How much time has passed, for decisions that money hangs on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class Elapsed:
    """Seconds since it was made, by two clocks: one can be set back, the other stands still while a machine sleeps."""

    wall: float = field(default_factory=time.time)
    monotonic: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return max(time.time() - self.wall, time.monotonic() - self.monotonic)
