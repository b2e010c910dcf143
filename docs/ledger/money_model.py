"""A month's money: runs that reserve, claim and reconcile, a collector that releases, a person who settles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from docs.ledger.money_world import (
    Claim,
    Entry,
    Money,
    MoneyRules,
    MoneyTroubles,
    Reconciler,
    Run,
    Shot,
    first_money,
)
from docs.ledger.search import put

Steps = Iterator[tuple[str, Money]]

FREE = ("free", "settled")
OUT = ("claimed", "accepted")
ON_ITS_WAY = ("admitted", "check", "send")
"""Where a shot can't be stopped any more."""


@dataclass(frozen=True)
class MoneyModel:
    """Promises: the limit is never exceeded (d), what can still be spent is set aside or counted (e), no money stays
    set aside or spent for nothing (c)."""

    rules: MoneyRules
    troubles: MoneyTroubles

    @property
    def first(self) -> Money:
        return first_money(self.troubles)

    def broken(self, m: Money, *, ended: bool) -> Iterator[str]:
        if sum(claim.billed for claims in m.keys for claim in claims) > self.troubles.limit:
            yield "d: the limit is exceeded"
        for reservation, entry in enumerate(m.entries):
            have = entry.spent + entry.reserved if entry else 0
            if self._may_cost(m, reservation) > have:
                yield "e: what can still be spent is not set aside"
            spent, out, settled = self._known(m, reservation)
            if not ended or entry is None or m.files[reservation] == "damaged":
                continue  # what can't be read counts in full, until a person restores it
            if entry.is_open and not out:
                yield "c: what nobody can spend any more stays set aside"
            if settled and entry.spent > spent:
                yield "c: settled as not charged, and stays spent"

    def _may_cost(self, m: Money, reservation: int) -> int:
        """What was charged under *reservation*, and what a sender past its last check may still spend."""
        under = [claim for claims in m.keys for claim in claims if claim.reservation == reservation]
        shots = [shot for run in m.runs if run.at != "dead" for shot in run.shots if shot.at == "send"]
        return sum(claim.billed for claim in under) + sum(shot.reservation == reservation for shot in shots)

    def _known(self, m: Money, reservation: int) -> tuple[int, int, int]:
        """How many claims under *reservation* count, are out, and were settled as not charged."""
        steps = [claim.step for claims in m.keys for claim in claims if claim.reservation == reservation]
        return (
            sum(step in ("charged", "unclear") for step in steps),
            sum(step in OUT for step in steps),
            steps.count("settled"),
        )

    def steps(self, m: Money) -> Steps:
        yield from self._time_and_provider(m)
        for i, run in enumerate(m.runs):
            if run.at == "dead":
                continue
            if m.kills and run.at not in ("start", "ended"):
                yield f"run {i} is killed", m._replace(runs=put(m.runs, i, run._replace(at="dead")), kills=m.kills - 1)
            yield from self._run(m, i, run)
            for n, shot in enumerate(run.shots):
                yield from self._shot(m, i, n, shot)
        yield from self._collect(m)
        yield from self._person(m)

    def _time_and_provider(self, m: Money) -> Steps:
        if self.troubles.ends_pass:
            for r, entry in enumerate(m.entries):
                if entry and entry.is_open and not m.past_end[r]:
                    yield f"reservation {r} comes to its end", m._replace(past_end=put(m.past_end, r, True))
        for r, file in enumerate(m.files):
            if m.damages and file == "whole":
                yield (
                    f"the keys of {r} are damaged",
                    m._replace(files=put(m.files, r, "damaged"), damages=m.damages - 1),
                )
        for reservation, amount in m.late_puts:
            landed = self._appended(m, reservation, Entry(0, amount))
            yield f"a late PUT of reservation {reservation} lands", landed
        for key, claims in enumerate(m.keys):
            if claims and claims[-1].step == "accepted":
                yield f"the job of key {key} completes", self._learned(m, key, "charged", billed=True)
                yield f"the job of key {key} fails, free", self._learned(m, key, "free", billed=False)

    def _learned(self, m: Money, key: int, step: str, *, billed: bool) -> Money:
        claims = m.keys[key]
        return m._replace(keys=put(m.keys, key, (*claims[:-1], Claim(claims[-1].reservation, step, billed))))

    def _appended(self, m: Money, reservation: int, entry: Entry) -> Money:
        """The next number is taken: who adds up has to read the month again.

        What was read of a reservation's keys stands, unless this step is about the same reservation.
        """

        def kept(turn: Reconciler) -> Reconciler:
            return turn._replace(fresh=turn.fresh and turn.reservation != reservation)

        def goes_on(run: Run) -> Run:
            reconciles = run.at in ("load", "reconcile") and run.held != reservation
            return run._replace(fresh=run.fresh and reconciles)

        return m._replace(
            entries=put(m.entries, reservation, entry),
            runs=tuple(map(goes_on, m.runs)),
            collector=kept(m.collector),
            person=kept(m.person),
            late_puts=frozenset(),
        )

    def _charges_of(self, m: Money, reservation: int) -> Entry:
        """What the histories say that the claims under *reservation* have cost and may still cost."""
        spent = reserved = 0
        keys = self.troubles.runs[reservation // self.troubles.reservations]
        for key in keys:
            under = [claim for claim in m.keys[key] if claim.reservation == reservation or not self.rules.names]
            counted = ("charged", "unclear") if self.rules.in_full else ("charged",)
            spent += sum(claim.step in counted for claim in under)
            reserved += any(claim.step in OUT for claim in under)
        return Entry(spent, reserved, is_open=reserved > 0)

    def _run(self, m: Money, i: int, run: Run) -> Steps:
        def to(at: str, state: Money = m, **changed: object) -> Money:
            return state._replace(runs=put(state.runs, i, run._replace(at=at, **changed)))  # type: ignore[arg-type]

        if run.at == "start":
            yield f"run {i} reads the month", to("keys" if self.rules.keys_first else "reserve", fresh=True)
        elif run.at == "keys":
            reservation = self._next(i, run) if self.rules.keys_first else run.held
            written = m._replace(files=put(m.files, reservation, "whole"))
            then = "reserve" if self.rules.keys_first else "works"
            yield f"run {i} writes the keys of {reservation}", to(then, written)
        elif run.at == "reserve":
            yield from self._reserve(m, i, run)
        elif run.at == "works":
            yield from self._work(m, i, run)
        elif run.at == "extend":
            entry = m.entries[run.held]
            if not run.fresh and self.rules.exclusive:
                yield f"run {i} lost the number", to("works")
            elif entry and entry.is_open:
                in_time = m._replace(past_end=put(m.past_end, run.held, False))
                extended = self._appended(to("works", in_time), run.held, entry)
                yield f"run {i} extends reservation {run.held}", extended
            else:
                yield f"run {i} finds its reservation closed", to("works", held=-1)
        elif run.at == "close":
            if not self.rules.awaits or not any(shot.at in ON_ITS_WAY for shot in run.shots):
                yield f"run {i} reads the month", to("load", fresh=True)
        elif run.at == "load":
            yield f"run {i} reads its keys", to("reconcile", found=self._charges_of(m, run.held))
        elif run.at == "reconcile" and run.found:
            if not run.fresh and self.rules.exclusive:
                yield f"run {i} lost the number", to("load", fresh=True, found=None)
            elif m.entries[run.held] == run.found:
                yield f"run {i} has nothing to reconcile", to(run.then, fresh=False, found=None)
            else:
                appended = self._appended(to(run.then, found=None), run.held, run.found)
                yield f"run {i} reconciles {run.found[:2]}", appended

    def _next(self, i: int, run: Run) -> int:
        """The reservation that run *i* makes next."""
        return i * self.troubles.reservations + run.made

    def _reserve(self, m: Money, i: int, run: Run) -> Steps:
        keys = len(run.shots) - (self.troubles.resumed and i == 0)
        reservation = self._next(i, run)
        lost = run._replace(fresh=True)
        if not run.fresh and self.rules.exclusive:
            yield f"run {i} lost the number", m._replace(runs=put(m.runs, i, lost))
            return
        taken = m.taken if self.rules.renewed_as_new or not run.made else 0
        # Where steps are not exclusive, what it adds up is what it has read, which is the state of a while ago.
        if taken + keys > self.troubles.limit and (self.rules.exclusive or run.fresh):
            ended = run._replace(at="ended", fresh=False, then="ended")
            yield f"run {i} is over the limit", m._replace(runs=put(m.runs, i, ended))
            return
        then = "works" if self.rules.keys_first else "keys"
        works = run._replace(at=then, held=reservation, made=run.made + 1, fresh=False, then="ended")
        amount = keys if self.rules.reserves else 0
        reserved = self._appended(m._replace(runs=put(m.runs, i, works)), reservation, Entry(0, amount))
        yield f"run {i} reserves {amount} as {reservation}", reserved
        if m.unknown:
            yield (
                f"run {i} reserves {amount} as {reservation}, on its way, and gives up",
                m._replace(
                    runs=put(m.runs, i, run._replace(at="ended", fresh=False)),
                    late_puts=m.late_puts | {(reservation, amount)},
                    unknown=m.unknown - 1,
                ),
            )

    def _work(self, m: Money, i: int, run: Run) -> Steps:
        done = all(shot.at in ("done", "waits") for shot in run.shots)
        if done or self.troubles.cancels:
            what = "has nothing more to do" if done else "is cancelled"
            at = "close" if run.held >= 0 else "ended"
            yield f"run {i} {what}", m._replace(runs=put(m.runs, i, run._replace(at=at)))
        if run.held < 0 or m.past_end[run.held]:
            if 0 < run.made < self.troubles.reservations and not any(shot.at in ON_ITS_WAY for shot in run.shots):
                anew = run._replace(at="close", then="keys" if self.rules.keys_first else "reserve")
                yield f"run {i} wants a reservation anew", m._replace(runs=put(m.runs, i, anew))
        elif m.extends:
            longer = put(m.runs, i, run._replace(at="extend", fresh=True))
            yield f"run {i} finds its end near", m._replace(runs=longer, extends=m.extends - 1)

    def _shot(self, m: Money, i: int, n: int, shot: Shot) -> Steps:
        run, key = m.runs[i], self.troubles.runs[i][n]
        claims = m.keys[key]

        def to(at: str, state: Money = m, **changed: int) -> Money:
            moved = shot._replace(at=at, **changed)  # type: ignore[arg-type]
            return state._replace(runs=put(state.runs, i, run._replace(shots=put(run.shots, n, moved))))

        def now(step: str, *, billed: bool) -> Money:
            return self._learned(m, key, step, billed=billed)

        who = f"run {i}, key {key}:"
        is_free = not claims or claims[-1].step in FREE
        if shot.at == "idle":
            if not is_free:
                yield f"{who} another's job is out", to("done")
            elif self._admits(m, i, n) and shot.claims_left:
                yield f"{who} admitted", to("admitted", reservation=run.held, claims_left=shot.claims_left - 1)
            elif run.at == "works" and self.rules.holds and not self._holds(i, n):
                yield f"{who} blocked, nothing set aside for it", to("done")
            elif not shot.claims_left:
                yield f"{who} ends", to("done")
        elif shot.at == "admitted":
            if is_free:
                claimed = (*claims, Claim(shot.reservation, "claimed"))
                yield f"{who} claims", to("check", m._replace(keys=put(m.keys, key, claimed)))
            else:
                yield f"{who} lost the race", to("done")
        elif shot.at == "check":
            past = m.past_end[shot.reservation] and self.rules.late_end
            if past and claims[-1].step in ("claimed", "unclear"):
                yield f"{who} is past the reservation's end", to("idle", now("free", billed=False), reservation=-1)
            if not past or not self.rules.two_clocks:
                yield f"{who} is in time", to("send")
        elif shot.at == "send":
            known = "accepted" if claims[-1].step in ("claimed", "unclear") else claims[-1].step
            yield f"{who} POSTs: accepted", to("waits", now(known, billed=True))
            yield f"{who} POSTs: accepted, answer lost", to("done", now("unclear", billed=True))
            yield f"{who} POSTs: lost", to("done", now("unclear", billed=False))
            yield f"{who} POSTs: 429", to("idle", now("free", billed=False), reservation=-1)
        elif shot.at == "waits" and claims[-1].step in FREE:
            yield f"{who} may be tried again", to("idle", reservation=-1)

    def _admits(self, m: Money, i: int, n: int) -> bool:
        run = m.runs[i]
        if run.held < 0 or (self.rules.holds and not self._holds(i, n)):
            return False
        return (run.at in ("works", "extend") and not m.past_end[run.held]) or not self.rules.admits

    def _holds(self, i: int, n: int) -> bool:
        return not (self.troubles.resumed and i == 0 and n == len(self.troubles.runs[0]) - 1)

    def _collect(self, m: Money) -> Steps:
        for key, claims in enumerate(m.keys):
            if claims and claims[-1].step == "claimed":  # early is harmless
                yield f"the collector calls key {key} unclear", self._learned(m, key, "unclear", billed=False)
        if m.collector.at == "idle" and self.rules.released:
            for r, entry in enumerate(m.entries):
                readable = m.files[r] == "whole" or not self.rules.unreadable_in_full
                if entry and entry.is_open and readable and self._is_over(m, r):
                    begun = Reconciler("load", r, fresh=True)
                    yield f"the collector finds reservation {r} over", m._replace(collector=begun)
        elif m.collector.at != "idle":
            for label, state, turn in self._reconcile(m, m.collector, "the collector"):
                yield label, state._replace(collector=turn)

    def _is_over(self, m: Money, reservation: int) -> bool:
        """Nothing more can be spent under it, as far as the collector knows."""
        gone = m.runs[reservation // self.troubles.reservations].at in ("dead", "ended")
        return gone or m.past_end[reservation] or not self.rules.store_clock or not self.rules.kernel

    def _reconcile(self, m: Money, turn: Reconciler, who: str) -> Iterator[tuple[str, Money, Reconciler]]:
        r, found = turn.reservation, turn.found
        if turn.at == "load":
            entry, before = self._charges_of(m, r), m.entries[r]
            if m.files[r] != "whole":
                entry = Entry(0, 0, is_open=False)
                if self.rules.unreadable_in_full:
                    yield f"{who} can't read the keys of {r}", m, Reconciler()
                    return
            goes_on = before is not None and before.is_open and not self._is_over(m, r)
            if before == entry or (goes_on and self.rules.left_to_the_run and who == "settle"):
                yield f"{who} finds nothing to write", m, Reconciler()
            else:
                yield f"{who} reads the keys of {r}", m, turn._replace(at="write", found=entry)
        elif found is not None and turn.fresh:
            yield f"{who} writes {found[:2]} for {r}", self._appended(m, r, found), Reconciler()
        elif not self.rules.fresh:
            yield f"{who} lost the number, keeps what it read", m, turn._replace(fresh=True)
        elif who == "the collector" and self.rules.judged_again:
            yield f"{who} lost the number", m, Reconciler()
        else:
            yield f"{who} lost the number, reads the keys again", m, Reconciler("load", r, fresh=True)

    def _person(self, m: Money) -> Steps:
        if m.person.at != "idle":
            for label, state, turn in self._reconcile(m, m.person, "settle"):
                yield label, state._replace(person=turn)
            return
        for key, claims in enumerate(m.keys):
            if m.looks and claims and claims[-1].step == "unclear" and not self._may_be_sent(m, key):
                if claims[-1].billed:
                    continue
                reservation = claims[-1].reservation
                # Of a run that is about to reconcile the answer may come a moment too late: it stays counted.
                step = "settled" if self._is_over(m, reservation) else "free"
                settled = self._learned(m, key, step, billed=False)._replace(looks=m.looks - 1)
                if self.rules.corrects:
                    settled = settled._replace(person=Reconciler("load", reservation, fresh=True))
                yield f"a person settles key {key} as not charged", settled

    def _may_be_sent(self, m: Money, key: int) -> bool:
        """A writer may still wake within the hour that a person has to wait."""
        return any(
            shot.at in ("check", "send") and self.troubles.runs[i][n] == key
            for i, run in enumerate(m.runs)
            if run.at != "dead"
            for n, shot in enumerate(run.shots)
        )
