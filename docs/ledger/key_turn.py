"""What one process may do next: render a key, or collect what is open."""

from __future__ import annotations

from collections.abc import Iterator

from docs.ledger.key_world import (
    MAY_FOLLOW,
    OF_THE_KEY,
    Job,
    Note,
    Process,
    Record,
    Rules,
    Troubles,
    World,
    marker_of,
)
from docs.ledger.search import Violation, put

Steps = Iterator[tuple[str, "World | Violation"]]


class Turn:
    """What one process may do next in one state."""

    def __init__(self, rules: Rules, troubles: Troubles, world: World, i: int) -> None:
        self.rules, self.troubles = rules, troubles
        self.w, self.i, self.p = world, i, world.processes[i]
        self.role = self.troubles.roles[i]
        self.who = f"{self.role}{i}"
        self.last = world.last
        self.step = self.last.step if self.last else None

    def steps(self) -> Steps:
        if self.w.kills and self.p.at != "read":
            yield f"{self.who} is killed at {self.p.at}", self._to("dead")._replace(kills=self.w.kills - 1)
        yield from getattr(self, "_" + self.p.at.replace(" ", "_"))()

    def _to(self, at: str, *, seen: int = 0, claim: int | None = None, job: int | None = None) -> World:
        """The process stands elsewhere, and knows only what it is given."""
        process = Process(at, seen, claim, job, 0 if at in ("ended", "dead") else self.p.claims_left)
        return self.w._replace(processes=put(self.w.processes, self.i, process))

    def _write(self, record: Record, then: World, note: str = "") -> Steps:
        """A compare-and-append that won, that won unknown to its writer, or that lands later."""
        w, what = self.w, f"{self.who} appends {record.step} {record.claim}{note}"
        if record.step != "stray" and self.rules.bound and record.step not in MAY_FOLLOW[self.step]:
            yield what, Violation("a step that is not in the table")
            return
        history = (*w.history, record)
        yield what, then._replace(history=history)
        if w.unknown:
            yield f"{what}, answer lost", w._replace(history=history, unknown=w.unknown - 1)
            late = w.late_puts | {(len(w.history), record)}
            yield f"{what}, on its way", w._replace(late_puts=late, unknown=w.unknown - 1)

    def _mark_again(self) -> Steps:
        """The marker of a step out of lost."""
        markers = self.w.markers | {marker_of(self.rules, len(self.w.history))}
        yield f"{self.who} writes its marker again", self.w._replace(markers=markers)

    @property
    def _is_marked(self) -> bool:
        return not self.rules.marker_per_number or len(self.w.history) in self.w.markers

    def _read(self) -> Steps:
        w, last = self.w, self.last
        again = self.step in (None, "refused", "failed")
        if (again or self.step == "lost") and self.role == "C":
            yield from self._close_free_number()
        if self.step == "claimed" and last:
            overdue = w.age(last.claim) >= 1 and (not self.troubles.future or self.rules.watch)
            if overdue or self.troubles.any_age:
                yield from self._write(Record("unclear", last.claim), self._to("read"))
        elif again and self.role == "R" and self.p.claims_left:
            decided = Process("mark", len(w.history), w.claims_made, None, self.p.claims_left - 1)
            processes = put(w.processes, self.i, decided)
            yield f"{self.who} decides to claim", w._replace(processes=processes, claims_made=w.claims_made + 1)
        elif self.step == "accepted" and last:
            yield f"{self.who} polls", self._to("poll", job=last.job)
        elif self.step == "completed" and last and last.job is not None:
            if w.jobs[last.job].status in ("done", "forgotten") and not self._media_trouble:
                yield f"{self.who} downloads", self._to("publish", job=last.job)
            else:
                seen = int(self._has_old_note())
                dead = self._to("dead link", job=last.job, seen=seen)
                yield f"{self.who} finds the link dead or the bytes damaged", dead
        elif self.step in (None, "unclear") or (self.step == "refused" and self.role == "R"):
            yield f"{self.who} ends ({self.step})", self._to("ended")
        else:
            yield f"{self.who} sees the end ({self.step})", self._to("clean", seen=len(w.history))

    @property
    def _media_trouble(self) -> bool:
        return self.w.media == "spell" or (self.w.media == "path" and self.i == 0)

    def _close_free_number(self) -> Steps:
        w, number = self.w, len(self.w.history)
        if not self.troubles.closes or number not in w.markers:
            return
        if self.rules.close == "by age" or (self.step == "lost" and not self.rules.close_lost):
            yield f"{self.who} removes the marker of a free number", w._replace(markers=w.markers - {number})
            return
        if self.step == "lost" and self.last:
            if w.history[-2].step != "lost":
                again = Record("lost", self.last.claim, self.last.job)
                yield from self._write(again, self._to("read"), f" at the free number {number}")
            return
        announced = (p.claim for p in w.processes if p.at == "claim" and p.seen == number and p.claim is not None)
        claim = -1 - number if self.rules.nobody else next(announced, -1 - number)
        yield from self._write(Record("refused", claim), self._to("read"), f" at the free number {number}")

    def _mark(self) -> Steps:
        markers = self.w.markers | {marker_of(self.rules, self.p.seen)}
        yield (
            f"{self.who} writes its marker",
            self._to("claim", seen=self.p.seen, claim=self.p.claim)._replace(markers=markers),
        )

    def _claim(self) -> Steps:
        w, mine = self.w, self.p.claim
        if mine is None:
            return
        if len(w.history) == self.p.seen:
            yield from self._write(Record("claimed", mine), self._to("check", claim=mine))
            return
        there = w.history[self.p.seen]
        own = {
            "bytes": there == Record("claimed", mine),
            "claim id": there.claim == mine,
            "task run": there.step == "claimed",  # two executions of one task run
            None: False,
        }
        if own[self.rules.own]:
            yield f"{self.who} takes {there.step} {there.claim} for its own claim", self._to("check", claim=mine)
        elif there == Record("claimed", mine):
            yield (
                f"{self.who} takes its own claim for a stranger's",
                Violation("c: unclear, though nobody sent and nobody died"),
            )
        else:
            yield f"{self.who} lost the race", self._to("read")

    def _check(self) -> Steps:
        late = self.rules.late_check and self.w.age(self.p.claim or 0) >= 1
        yield (
            f"{self.who} is {'late' if late else 'in time'}",
            self._to("refuse" if late else "send", claim=self.p.claim),
        )

    def _send(self) -> Steps:
        w, claim = self.w, self.p.claim or 0
        if self.rules.connection and w.age(claim) == 2:
            yield f"{self.who} sends on a dead connection", self._to("doubt", claim=claim)
            return
        jobs = (*w.jobs, Job(claim, "runs"))
        yield f"{self.who} POSTs: accepted", self._to("got", claim=claim, job=len(w.jobs))._replace(jobs=jobs)
        yield f"{self.who} POSTs: accepted, answer lost", self._to("doubt", claim=claim)._replace(jobs=jobs)
        if not self.rules.documented:
            yield f"{self.who} POSTs: accepted, a gateway says 408", self._to("refuse", claim=claim)._replace(jobs=jobs)
        yield f"{self.who} POSTs: 429", self._to("refuse", claim=claim)
        yield f"{self.who} POSTs: lost before acceptance", self._to("doubt", claim=claim)
        if self.troubles.slow:
            slow = w.slow_posts | {claim}
            yield (
                f"{self.who} POSTs: timed out, still on its way",
                self._to("doubt", claim=claim)._replace(slow_posts=slow),
            )

    def _got(self) -> Steps:
        w, last, mine, job = self.w, self.last, self.p.claim or 0, self.p.job
        is_mine = last is not None and last.claim == mine
        accepted = Record("accepted", mine, job)
        if any(record.job == job for record in w.history):
            yield f"{self.who} finds job {job} recorded", self._to("read")
        elif self.step in ("claimed", "unclear") and (is_mine or not self.rules.bound):
            yield from self._write(accepted, self._to("read"), f", job {job}")
        elif last and self.step == "lost" and is_mine and last.job is None and self.rules.out_of_lost:
            yield from (
                self._write(accepted, self._to("read"), f", job {job}, after lost")
                if self._is_marked
                else self._mark_again()
            )
        elif self.rules.stray:
            yield from self._write(Record("stray", mine, job), self._to("read"), f", job {job}")
        else:
            yield f"{self.who} has no place for job {job}", Violation("b: a paid job that no record names")

    def _refuse(self) -> Steps:
        yield from self._outcome("refused", ("claimed", "unclear"))

    def _doubt(self) -> Steps:
        yield from self._outcome("unclear", ("claimed",))

    def _outcome(self, step: str, after: tuple[str, ...]) -> Steps:
        last = self.last
        if last and last.step in after and (last.claim == self.p.claim or not self.rules.bound):
            yield from self._write(Record(step, last.claim), self._to("read"), f" (meant claim {self.p.claim})")
        else:
            yield f"{self.who} finds its claim closed", self._to("read")

    def _poll(self) -> Steps:
        last, job = self.last, self.p.job or 0
        status = self.w.jobs[job].status
        if last is None or last.step != "accepted":
            yield f"{self.who} sees it go on", self._to("read")
            return
        if status == "done":
            yield f"{self.who} gets the final answer", self._to("have", job=job)
        elif status == "failed":
            yield from self._write(Record("failed", last.claim, job), self._to("read"))
        elif status == "cancelled":
            step = "lost" if self.rules.cancelled_is_lost else "failed"
            yield from self._write(Record(step, last.claim, job), self._to("read"), ", cancelled")
        if status in ("forgotten", "dead") or (self.troubles.false_404 and status == "runs"):
            yield f"{self.who} gets 404", self._to("gone", job=job)

    def _gone(self) -> Steps:
        last = self.last
        if last and last.step == "accepted":
            yield from self._write(Record("lost", last.claim, self.p.job), self._to("read"), " (404)")
        else:
            yield f"{self.who} sees it go on", self._to("read")

    def _completed_at(self) -> int:
        return max(number for number, record in enumerate(self.w.history) if record.step == "completed")

    def _note(self) -> Note | None:
        """The note about the record that is current."""
        return self.w.note if self.w.note and self.w.note.number == self._completed_at() else None

    def _has_old_note(self) -> bool:
        note = self._note()
        if note is None:
            return False
        return (note.hours_old or not self.rules.hours) and (note.by != self.i or not self.rules.another_run)

    def _dead_link(self) -> Steps:
        """Believed only when hours later another run than the first sees it too."""
        last = self.last
        if last is None or last.step != "completed":
            yield f"{self.who} sees it go on", self._to("read")
        elif self.p.seen if self.rules.aged_before else self._has_old_note():
            yield from self._write(Record("lost", last.claim, self.p.job), self._to("read"), " (link)")
        elif self._note() is None:
            note = Note(self._completed_at(), self.i)
            yield f"{self.who} notes the first sight", self._to("read")._replace(note=note)
        else:
            yield f"{self.who} leaves it for later", self._to("read")

    def _have(self) -> Steps:
        yield from self._bring_home("completed", "accepted")

    def _publish(self) -> Steps:
        yield from self._bring_home("stored", "completed")

    def _bring_home(self, step: str, after: str) -> Steps:
        last = self.last
        if last is None or self.step not in (after, "lost"):
            yield f"{self.who} sees that it went on", self._to("read")
            return
        record = Record(step, last.claim, self.p.job)
        if self.step == after:
            yield from self._write(record, self._to("read"))
        elif not self.rules.out_of_lost:
            yield f"{self.who} must throw it away", Violation("b: an answer in hand, and the record says lost")
        elif not self._is_marked:
            yield from self._mark_again()
        else:
            yield from self._write(record, self._to("read"), ", after lost")

    def _clean(self) -> Steps:
        w = self.w
        gone = {m for m in w.markers if m == OF_THE_KEY or m < self.p.seen}
        yield f"{self.who} removes the closed markers", self._to("ended")._replace(markers=w.markers - gone)
        if w.unknown and gone:
            late = w.late_deletes | gone
            yield (
                f"{self.who} removes the closed markers, on its way",
                self._to("ended")._replace(late_deletes=late, unknown=w.unknown - 1),
            )
