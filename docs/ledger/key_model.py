"""The history of one key: renderers, collectors, a person, the provider and the store, in any order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from docs.ledger.key_turn import Steps, Turn
from docs.ledger.key_world import (
    OPEN,
    Job,
    Person,
    Record,
    Rules,
    Troubles,
    World,
    first_world,
    marker_of,
)
from docs.ledger.search import Violation, put

STRAIGHT = ("claimed", "accepted", "completed", "stored")
"""Whoever has written these of a key does not ask what follows."""
JOB_GOES_ON = {"runs": ["done"], "done": ["forgotten"]}


@dataclass(frozen=True)
class KeyModel:
    """Promises: a key is paid once (a), a paid job has a record (b), nothing waits for ever (c), open keys have markers
    (e), a moment's trouble loses no clip (f), and no stray follows an only attempt that went straight (g)."""

    rules: Rules
    troubles: Troubles

    @property
    def first(self) -> World:
        return first_world(self.troubles)

    def steps(self, w: World) -> Steps:
        yield from self._time_and_provider(w)
        yield from self._person(w)
        for i, process in enumerate(w.processes):
            if process.at not in ("ended", "dead"):
                for label, new in Turn(self.rules, self.troubles, w, i).steps():
                    yield label, self._in_order(new) if self.troubles.alike and isinstance(new, World) else new

    def broken(self, w: World, *, ended: bool) -> Iterator[str]:
        last = w.last
        step = last.step if last else None
        if sum(job.status != "failed" for job in w.jobs) > 1:
            yield "a: paid twice"
        if any(self._is_nowhere(w, number) for number in range(len(w.jobs))):
            yield "b: a paid job that no record names"
        if step in OPEN and marker_of(self.rules, _opening(w.history)) not in w.markers:
            yield "e: an open key without a marker"
        if _lost_for_a_moment(w):
            yield "f: lost, though the link lives"
        if w.history[4:] and tuple(record.step for record in w.history[:5]) == (*STRAIGHT, "stray"):
            yield "g: a stray that who counts money does not ask for"
        if ended and any(process.at not in ("ended", "dead") for process in w.processes):
            yield "c: waits for ever on a dead claim" if step == "claimed" else "c: stuck"
        if last and step == "lost" and self.troubles.wants_again and self._is_forsaken(w, last):
            yield "c: a clip that could be had stays lost"

    def _is_forsaken(self, w: World, lost: Record) -> bool:
        """The job still runs or has its result, and neither a process nor a person can go on."""
        if lost.job is None or w.jobs[lost.job].status not in ("runs", "done") or not w.person.looks:
            return False
        return all(process.at in ("ended", "dead") for process in w.processes) and not any(self._person(w))

    def _in_order(self, w: World) -> World:
        """Processes of one role in any fixed order: states that differ by their order alone are one."""
        roles = self.troubles.roles  # those of one role stand together, as in "RRC"
        order = sorted(range(len(roles)), key=lambda i: (roles.index(roles[i]), hash(w.processes[i])))
        return w._replace(processes=tuple(w.processes[i] for i in order))

    def _is_nowhere(self, w: World, number: int) -> bool:
        job, last = w.jobs[number], w.last
        if job.status == "failed":
            return False
        in_doubt = last is not None and last.claim == job.claim and last.step in ("claimed", "unclear")
        return not (
            in_doubt
            or any(record.job == number or record[:2] == ("lost", job.claim) for record in w.history)
            or any(process.at == "got" and process.job == number for process in w.processes)
            or any(record.job == number for _, record in w.late_puts)
        )

    def _time_and_provider(self, w: World) -> Steps:
        for record in w.history:
            if record.step == "claimed" and (age := w.age(record.claim)) < 2:
                ages = tuple(sorted({**dict(w.ages), record.claim: age + 1}.items()))
                yield f"claim {record.claim} is now {('overdue', 'an hour old')[age]}", w._replace(ages=ages)
        for number, record in w.late_puts:
            if len(w.history) == number:
                yield (
                    f"a late PUT lands: {record.step} {record.claim}",
                    w._replace(history=(*w.history, record), late_puts=w.late_puts - {(number, record)}),
                )
        for marker in w.late_deletes:
            yield (
                f"a late DELETE lands: marker {marker}",
                w._replace(markers=w.markers - {marker}, late_deletes=w.late_deletes - {marker}),
            )
        for claim in w.slow_posts:
            if w.age(claim) < 2:
                yield (
                    f"the provider accepts the slow POST of claim {claim}",
                    w._replace(jobs=(*w.jobs, Job(claim, "runs")), slow_posts=w.slow_posts - {claim}),
                )
        for number, job in enumerate(w.jobs):
            for status in self._next_statuses(job):
                jobs = put(w.jobs, number, Job(job.claim, status))
                yield f"job {number}: {job.status} -> {status}", w._replace(jobs=jobs)
        if w.media in ("to come", "spell"):
            media = "spell" if w.media == "to come" else None
            yield f"the media host {'has trouble' if media else 'is well again'}", w._replace(media=media)
        if w.note and not w.note.hours_old and w.media != "spell":
            yield "hours pass", w._replace(note=w.note._replace(hours_old=True))

    def _next_statuses(self, job: Job) -> list[str]:
        after = list(JOB_GOES_ON.get(job.status, []))
        if job.status == "runs":
            after += ["failed"] * self.troubles.fails + ["cancelled"] * self.troubles.cancels
        if job.status == "forgotten" and self.troubles.link_dies:
            after.append("dead")
        return after

    def _person(self, w: World) -> Steps:
        """The person is right about what can be seen at the moment of looking, and may answer much later."""
        about, answer, looks = w.person.about, w.person.answer, w.person.looks
        last = w.last
        if w.person.at == "idle":
            if last and last.step == "unclear" and looks:
                yield from self._person_looks(w, last)
            if (
                last
                and last.step == "lost"
                and last.job is not None
                and looks
                and self.rules.retry
                and self.troubles.wants_again
            ):
                asked = Person("says", len(w.history), "retry", looks - 1)
                yield f"person wants job {last.job} tried again", w._replace(person=asked)
            return
        idle = Person(looks=looks)
        if answer == "retry":
            yield from self._person_retries(w, last)
        elif last is None or last.step != "unclear" or (self.rules.names_record and last.claim != about):
            yield "the answer came too late", w._replace(person=idle)
        elif answer == "charged" and not self.rules.charged:
            yield "person has no right answer to give", Violation("c: unclear for ever, no right answer exists")
        else:
            record = Record("refused" if answer == "not charged" else "lost", last.claim)
            label = f"person settles: {answer} (meant claim {about}, falls on {last.claim})"
            yield label, w._replace(history=(*w.history, record), person=idle)

    def _person_looks(self, w: World, last: Record) -> Steps:
        looks = w.person.looks - 1
        if any(job.claim == last.claim for job in w.jobs):
            person = Person("says", last.claim, "charged", looks)
            yield f"person sees a charge for claim {last.claim}, no id", w._replace(person=person)
        elif not self.rules.hour or w.age(last.claim) == 2:
            person = Person("says", last.claim, "not charged", looks)
            yield f"person sees no charge for claim {last.claim}", w._replace(person=person)

    def _person_retries(self, w: World, last: Record | None) -> Steps:
        number, idle = len(w.history), Person(looks=w.person.looks)
        if number != w.person.about or last is None:
            yield "the answer came too late", w._replace(person=idle)
        elif w.person.at == "says":
            marked = w._replace(markers=w.markers | {marker_of(self.rules, number)})
            yield "settle writes its marker", marked._replace(person=w.person._replace(at="marked"))
        else:
            answered = any(record.step == "completed" and record.job == last.job for record in w.history)
            record = Record("completed" if answered else "accepted", last.claim, last.job)
            yield (
                f"person settles: retry, {record.step} job {record.job}",
                w._replace(history=(*w.history, record), person=idle),
            )


def _opening(history: tuple[Record, ...]) -> int:
    """The number that opened the key: its last claim, or the last step out of lost."""
    opening, before = 0, None
    for number, record in enumerate(history):
        if record.step == "stray":
            continue
        if record.step == "claimed" or (before == "lost" and record.step != "lost"):
            opening = number
        before = record.step
    return opening


def _lost_for_a_moment(w: World) -> bool:
    """The last step says that a clip is lost whose link still answers."""
    if not w.history or w.history[-1].step != "lost" or w.history[-1].job is None:
        return False
    before = next((record.step for record in reversed(w.history[:-1]) if record.step != "stray"), None)
    return before == "completed" and w.jobs[w.history[-1].job].status in ("done", "forgotten")
