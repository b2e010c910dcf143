"""What there is in the model of one key's history: the records, the rules that can be turned off, the troubles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

MAY_FOLLOW: dict[str | None, frozenset[str]] = {
    None: frozenset({"claimed", "refused"}),
    "refused": frozenset({"claimed", "refused"}),
    "failed": frozenset({"claimed", "refused"}),
    "claimed": frozenset({"accepted", "refused", "unclear"}),
    "unclear": frozenset({"accepted", "refused", "lost"}),
    "accepted": frozenset({"completed", "failed", "lost"}),
    "completed": frozenset({"stored", "lost"}),
    "lost": frozenset({"accepted", "completed", "stored", "lost"}),
    "stored": frozenset(),
}
"""The table of legal steps that was checked. A test compares it with that of prefect_seedance/ledger/rules.py."""

OPEN = frozenset({"claimed", "unclear", "accepted", "completed"})

OF_THE_KEY = -1
"""The name of the one marker, where markers are named by the key alone."""


@dataclass(frozen=True)
class Rules:
    """The rules of PROTOCOL.md, each with a switch. The values here are the rules as they are."""

    own: str | None = "bytes"
    """By what a writer knows its claim at the number again: its bytes, its "claim id", its "task run", None."""
    nobody: bool = True
    """A collector that takes the number of an overdue marker writes a claim id that is nobody's."""
    close: str = "by a record"
    """How a marker ends whose number is free: "by a record" at that number, or "by age", being removed."""
    close_lost: bool = True
    """A marker of a step out of lost whose number is free ends by `lost` once more there, and is not just removed."""
    bound: bool = True
    """A step about a claim is written only while that claim is the current one."""
    names_record: bool = True
    """Settling names the record it is about, not only the key."""
    connection: bool = True
    """The POST goes out on a connection opened before the late check, or not at all."""
    hour: bool = True
    """"Not charged" is taken only for a claim an hour old."""
    stray: bool = True
    """A job id that has no place in the table is appended as a stray."""
    charged: bool = True
    """Settling can say "charged, id unknown"."""
    documented: bool = True
    """Only the documented refusals are free; other 4xx are a gateway's words."""
    out_of_lost: bool = True
    """Who holds the job id, the answer or the file of a lost claim goes on."""
    retry: bool = True
    """A person leads out of lost, where a job id or an answer is known."""
    marker_per_number: bool = True
    """Markers are named by key and number; False: by the key."""
    cancelled_is_lost: bool = True
    """A cancelled job counts as perhaps billed and is never claimed again."""
    late_check: bool = True
    """The writer looks at its clocks before the POST."""
    watch: bool = True
    """The age of another's claim counts by the observer's own clock as well as by its date."""
    hours: bool = True
    """A dead link is believed only hours, by the store's clock, after the note of its first sight."""
    aged_before: bool = True
    """The note was hours old before the second look began: a machine may sleep between a look and its conclusion."""
    another_run: bool = True
    """A dead link is believed only by another run than the one that noted it first."""


@dataclass(frozen=True)
class Troubles:
    """What may go wrong in one search, and how often."""

    roles: str = "RRC"
    """One process each: R renders, C collects."""
    claims: int = 1
    """How many claims a renderer may make."""
    kills: int = 0
    unknown: int = 0
    """Answers of the store that are lost, their writes landing at once or any time later."""
    looks: int = 0
    """How often a person looks and settles."""
    wants_again: bool = False
    """The person also wants lost things tried again."""
    any_age: bool = False
    """A claim may be taken for overdue at any time: clocks without bound."""
    future: bool = False
    """A claim may be dated in the future."""
    slow: bool = False
    """The provider may accept a POST long after its writer gave up."""
    false_404: bool = False
    fails: bool = False
    cancels: bool = False
    link_dies: bool = False
    media: str | None = None
    """At the media host: one "spell" of trouble for all, or a bad "path" of process 0 alone."""
    alike: bool = False
    """Processes of one role are told apart by nothing, which spares states; their names in a trace then mean little.

    Not where a note is made: it says who made it.
    """
    closes: bool = False
    """A collector may take the number of a marker whose number is free, at any time; out of lost once in a row."""


class Record(NamedTuple):
    step: str
    claim: int
    """Negative: a claim id that is nobody's."""
    job: int | None = None


class Job(NamedTuple):
    claim: int
    status: str
    """runs, done, failed (free), cancelled (perhaps billed), forgotten (404), dead (the link too)."""


class Process(NamedTuple):
    at: str = "read"
    seen: int = 0
    """The length of the history when it decided."""
    claim: int | None = None
    job: int | None = None
    claims_left: int = 0


class Person(NamedTuple):
    at: str = "idle"
    about: int | None = None
    """The claim, or, out of lost, the length of the history."""
    answer: str | None = None
    looks: int = 0


class Note(NamedTuple):
    """The first sight of a dead link, created exclusively in the store."""

    number: int
    by: int
    hours_old: bool = False


class World(NamedTuple):
    """One state. A suspended process is one that is not scheduled; it may wake in any later state."""

    history: tuple[Record, ...]
    jobs: tuple[Job, ...]
    ages: tuple[tuple[int, int], ...]
    """Of claims: 1 overdue, 2 an hour old."""
    processes: tuple[Process, ...]
    late_puts: frozenset[tuple[int, Record]]
    markers: frozenset[int]
    late_deletes: frozenset[int]
    slow_posts: frozenset[int]
    person: Person
    kills: int
    unknown: int
    claims_made: int
    note: Note | None
    media: str | None
    """The trouble at the media host as it is now; "to come" before a spell."""

    def age(self, claim: int) -> int:
        return next((age for known, age in self.ages if known == claim), 0)

    @property
    def last(self) -> Record | None:
        """The record that tells the state: the last that is not a stray."""
        return next((record for record in reversed(self.history) if record.step != "stray"), None)


def first_world(troubles: Troubles) -> World:
    none: frozenset[Any] = frozenset()
    return World(
        history=(),
        jobs=(),
        ages=(),
        processes=(Process(claims_left=troubles.claims),) * len(troubles.roles),
        late_puts=none,
        markers=none,
        late_deletes=none,
        slow_posts=none,
        person=Person(looks=troubles.looks),
        kills=troubles.kills,
        unknown=troubles.unknown,
        claims_made=0,
        note=None,
        media="to come" if troubles.media == "spell" else troubles.media,
    )


def marker_of(rules: Rules, number: int) -> int:
    """The marker that goes in before the record *number* opens the key."""
    return number if rules.marker_per_number else OF_THE_KEY
