"""What there is in the model of a month's money: its history, the runs, their claims, the rules, the troubles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class MoneyRules:
    """The rules of PROTOCOL.md about money, each with a switch. The values here are the rules as they are."""

    reserves: bool = True
    """A run sets money aside before it claims; False: it adds up what was spent, and records what it spends."""
    exclusive: bool = True
    """A step of the month is written at the next number or not at all; False: at whatever number is free."""
    holds: bool = True
    """A claim is made only for a key that its reservation holds."""
    admits: bool = True
    """Right before a claim is written it is asked whether the run still admits one."""
    awaits: bool = True
    """A run reconciles only when everything that it began has ended."""
    late_end: bool = True
    """Late, right before the POST, includes: past the reservation's end."""
    two_clocks: bool = True
    """The claimer judges the end by two clocks, of which one may be wrong."""
    store_clock: bool = True
    """The collector judges the end by the store's clock; False: by its own, which may be hours ahead."""
    kernel: bool = True
    """Gone is only what the kernel says; False: also what can't be seen."""
    judged_again: bool = True
    """Who has lost a number to another step judges the end again before it gives money back."""
    fresh: bool = True
    """The keys' histories are read after the month's record that a step follows."""
    in_full: bool = True
    """What is unclear counts in full."""
    names: bool = True
    """A claim names its reservation, which alone is charged with it."""
    renewed_as_new: bool = True
    """A reservation that has ended is made anew by the rules of a new one; False: without looking at the limit."""
    keys_first: bool = True
    """The keys of a reservation stand in a file of their own before the month says that it is open."""
    unreadable_in_full: bool = True
    """A reservation whose keys can't be read keeps what it has set aside; False: it counts as one without keys."""
    released: bool = True
    """The collector gives back what a dead or ended run had reserved."""
    left_to_the_run: bool = True
    """While a reservation is open and has not ended, what a person settles is left to its run to bring in."""
    corrects: bool = True
    """What a person settles as not charged returns to the month."""


@dataclass(frozen=True)
class MoneyTroubles:
    """What is wanted and what may go wrong in one search. A clip costs 1."""

    runs: tuple[tuple[int, ...], ...] = ((0,), (1,))
    """The keys that each run renders."""
    limit: int = 1
    claims: int = 1
    """How many claims a run makes for one key."""
    reservations: int = 1
    """How many reservations a run makes, one after another."""
    resumed: bool = False
    """Run 0 has set nothing aside for its last key: a job was out for it, and may have to be claimed anew."""
    kills: int = 0
    late_puts: int = 0
    cancels: bool = False
    ends_pass: bool = False
    """Reservations come to their ends."""
    extends: int = 0
    """How often a run puts off an end."""
    looks: int = 0
    """How often a person settles something unclear as not charged."""
    damages: int = 0
    """How many files with keys are damaged or lost."""


class Claim(NamedTuple):
    """One claim of a key, with what became of it."""

    reservation: int
    step: str
    """claimed, accepted, charged, unclear, free (refused or failed), settled (by a person, as not charged)."""
    billed: bool = False
    """What the provider charges, which nobody here can see."""


class Entry(NamedTuple):
    """Where a reservation stands in the month's newest record."""

    spent: int
    reserved: int
    is_open: bool = True


class Shot(NamedTuple):
    """The rendering of one key by one run."""

    at: str = "idle"
    reservation: int = -1
    claims_left: int = 1


class Run(NamedTuple):
    """One process with all its shots. Suspended, it is not scheduled; it may wake in any later state."""

    at: str
    shots: tuple[Shot, ...]
    held: int = -1
    """The reservation that it believes to hold."""
    made: int = 0
    fresh: bool = False
    """The month's newest record is still the one that its next step follows."""
    found: Entry | None = None
    """What it would write of its reservation."""
    then: str = "ended"
    """Where it goes on once that is written: to its end, or to a reservation anew."""


class Reconciler(NamedTuple):
    """A collector or a person's settle command, bringing one reservation to what the histories say."""

    at: str = "idle"
    reservation: int = -1
    fresh: bool = False
    found: Entry | None = None


class Money(NamedTuple):
    """One state."""

    entries: tuple[Entry | None, ...]
    """What the month's newest record says of each reservation."""
    past_end: tuple[bool, ...]
    """By the store's clock, for each reservation."""
    files: tuple[str, ...]
    """The file with each reservation's keys: none, whole or damaged."""
    keys: tuple[tuple[Claim, ...], ...]
    runs: tuple[Run, ...]
    collector: Reconciler
    person: Reconciler
    late_puts: frozenset[tuple[int, int]]
    """(reservation, amount) of reservations still on their way to a number that is still free."""
    kills: int
    unknown: int
    extends: int
    looks: int
    damages: int

    @property
    def taken(self) -> int:
        """What is spent and reserved, as the month's newest record says."""
        return sum(entry.spent + entry.reserved for entry in self.entries if entry)


def first_money(troubles: MoneyTroubles) -> Money:
    slots = len(troubles.runs) * troubles.reservations
    shots = [tuple(Shot(claims_left=troubles.claims) for _ in keys) for keys in troubles.runs]
    return Money(
        entries=(None,) * slots,
        past_end=(False,) * slots,
        files=("none",) * slots,
        keys=((),) * (1 + max(key for keys in troubles.runs for key in keys)),
        runs=tuple(Run("start", mine) for mine in shots),
        collector=Reconciler(),
        person=Reconciler(),
        late_puts=frozenset(),
        kills=troubles.kills,
        unknown=troubles.late_puts,
        extends=troubles.extends,
        looks=troubles.looks,
        damages=troubles.damages,
    )
