"""Check the rules of prefect_seedance/ledger/PROTOCOL.md: all of them together hold, and what breaks without each.

python -m docs.ledger.model            every check (`make model`)
python -m docs.ledger.model -t NAME    one rule turned off, with the shortest way to break a promise
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from docs.ledger.key_model import KeyModel
from docs.ledger.key_world import Rules, Troubles
from docs.ledger.money_model import MoneyModel
from docs.ledger.money_world import MoneyRules, MoneyTroubles
from docs.ledger.publish_model import PublishModel
from docs.ledger.search import Model, explore

ALL_RULES, ALL_MONEY_RULES = Rules(), MoneyRules()


def _key(rules: Rules = ALL_RULES, **troubles: Any) -> KeyModel:
    return KeyModel(rules, Troubles(**troubles))


def _money(rules: MoneyRules = ALL_MONEY_RULES, **troubles: Any) -> MoneyModel:
    return MoneyModel(rules, MoneyTroubles(**troubles))


SMALL: dict[str, Any] = {"roles": "RR", "kills": 1, "looks": 1, "slow": True, "link_dies": True}
PUTS: dict[str, Any] = {"roles": "RR", "unknown": 1}
MEDIA: dict[str, Any] = {"roles": "RC", "link_dies": True}
SEVERAL: dict[str, Any] = {"runs": ((0, 1), (2,)), "limit": 2}

HOLDS: dict[str, Model[Any]] = {
    "key: 2 writers, kill, person, clocks without bound, false 404": _key(
        roles="RR", alike=True, kills=1, looks=1, any_age=True, false_404=True
    ),
    "key: 2 writers, kill, person, slow POST": _key(roles="RR", alike=True, kills=1, looks=1, slow=True),
    "key: 2 writers, unknown PUT, kill, false 404": _key(roles="RR", alike=True, kills=1, unknown=1, false_404=True),
    "key: 2 writers, unknown PUT, person": _key(roles="RR", alike=True, unknown=1, looks=1),
    "key: writer and collector, 2 claims, person twice": _key(roles="RC", looks=2, claims=2),
    "key: writer and collector, failed, cancelled, kill, 2 claims": _key(
        roles="RC", kills=1, claims=2, fails=True, cancels=True
    ),
    "key: 2 writers and a collector that closes free numbers": _key(roles="RRC", alike=True, closes=True),
    "key: writer and a closing collector, unknown PUT, 2 claims": _key(roles="RC", unknown=1, claims=2, closes=True),
    "key: media host in trouble for a while, kill, person retries": _key(
        roles="RC", kills=1, looks=1, wants_again=True, link_dies=True, media="spell"
    ),
    "key: one machine can't reach the media host, kill, person retries": _key(
        roles="RC", kills=1, looks=1, wants_again=True, link_dies=True, media="path"
    ),
    "key: false 404, person retries": _key(roles="RC", looks=2, wants_again=True, false_404=True, link_dies=True),
    "key: person retries, a collector closes free numbers, kill": _key(
        roles="RC", kills=1, looks=2, wants_again=True, false_404=True, closes=True
    ),
    "money: 2 runs for the last of a limit, ends, kill": _money(ends_pass=True, kills=1),
    "money: an end that is put off": _money(ends_pass=True, extends=1),
    "money: reservations made anew": _money(runs=((0, 1),), limit=2, ends_pass=True, reservations=2),
    "money: cancelled runs of several shots": _money(runs=((0, 1), (2,)), limit=2, cancels=True),
    "money: person, kill, cancelled": _money(kills=1, looks=1, cancels=True),
    "money: person, while the run goes on": _money(**SEVERAL, looks=1),
    "money: unknown PUT, kill, 2 claims": _money(late_puts=1, kills=1, claims=2),
    "money: 2 runs with the same key": _money(runs=((0,), (0,)), limit=2, kills=1, cancels=True),
    "money: a resumed job that may be tried again": _money(runs=((0, 1), (2,)), limit=2, resumed=True),
    "money: keys that can't be read, kill": _money(kills=1, damages=1, ends_pass=True),
    "money: keys that can't be read, person": _money(looks=1, damages=1, cancels=True),
    "publish: 3 processes, different bytes, kill": PublishModel(publishers=3),
}
"""Every line has to hold."""

WITHOUT: dict[str, tuple[Model[Any], str | None]] = {
    "own claim not recognised": (_key(Rules(own=None), **PUTS), "c"),
    "own claim by task run": (_key(Rules(own="task run"), **PUTS), "a"),
    "steps not bound to the claim, unknown PUT": (_key(Rules(bound=False), **PUTS, claims=2), "a"),
    "steps not bound to the claim, person right": (_key(Rules(bound=False), **SMALL), "b"),
    "settle names the key only": (_key(Rules(names_record=False), roles="RR", looks=2, claims=2), "a"),
    "no connection before the check": (_key(Rules(connection=False), **SMALL), "a"),
    "no hour before not-charged": (_key(Rules(hour=False), **SMALL), "a"),
    "no answer charged": (_key(Rules(charged=False), **SMALL), "c"),
    "any 4xx is free": (_key(Rules(documented=False), roles="RR"), "a"),
    "lost is final": (_key(Rules(out_of_lost=False), **{**SMALL, "roles": "RC"}), "b"),
    "no settle --retry": (_key(Rules(retry=False), roles="RC", looks=1, false_404=True, wants_again=True), "c"),
    "one marker per key": (_key(Rules(marker_per_number=False, out_of_lost=False), roles="RRC"), "e"),
    "a free number's marker removed by age": (_key(Rules(close="by age"), roles="RC", closes=True), "e"),
    "a lost key's marker removed by age": (
        _key(Rules(close_lost=False), roles="RC", looks=1, false_404=True, wants_again=True, closes=True),
        "e",
    ),
    "closed with the announced claim id, known by it alone": (
        _key(Rules(nobody=False, own="claim id"), roles="RRC", closes=True),
        "a",
    ),
    "cancelled is free": (_key(Rules(cancelled_is_lost=False), **SMALL, cancels=True), "a"),
    "age by its date only": (_key(Rules(watch=False), **SMALL, future=True), "c"),
    "dead link believed at once": (_key(Rules(hours=False), **MEDIA, media="spell"), "f"),
    "dead link, the note's age told after the look": (_key(Rules(aged_before=False), **MEDIA, media="spell"), "f"),
    "dead link believed by the run that saw it first": (_key(Rules(another_run=False), **MEDIA, media="path"), "f"),
    "money: only added up, never reserved": (_money(MoneyRules(reserves=False)), "d"),
    "money: numbers not exclusive": (_money(MoneyRules(exclusive=False)), "d"),
    "money: never released": (_money(MoneyRules(released=False), kills=1), "c"),
    "money: claim of a key not reserved": (_money(MoneyRules(holds=False), **SEVERAL, resumed=True), "d"),
    "money: settled run admits a claim": (_money(MoneyRules(admits=False), cancels=True), "d"),
    "money: settled before what it began has ended": (_money(MoneyRules(awaits=False), cancels=True), "d"),
    "money: late without the reservation's end": (_money(MoneyRules(late_end=False), ends_pass=True), "d"),
    "money: end by one clock of the claimer": (_money(MoneyRules(two_clocks=False), ends_pass=True), "d"),
    "money: end by the collector's clock": (_money(MoneyRules(store_clock=False)), "d"),
    "money: gone is what can't be seen": (_money(MoneyRules(kernel=False)), "d"),
    "money: not judged again after a lost number": (
        _money(MoneyRules(judged_again=False), ends_pass=True, extends=1),
        "d",
    ),
    "money: histories read before the month": (_money(MoneyRules(fresh=False), ends_pass=True, extends=1), "d"),
    "money: unclear counts nothing": (_money(MoneyRules(in_full=False)), "d"),
    "money: made anew without the limit": (
        _money(MoneyRules(renewed_as_new=False), ends_pass=True, reservations=2),
        "d",
    ),
    "money: settle reconciles a run that goes on": (_money(MoneyRules(left_to_the_run=False), **SEVERAL, looks=1), "e"),
    "money: keys written after the reservation": (_money(MoneyRules(keys_first=False), kills=1), "c"),
    "money: unreadable keys are no keys": (_money(MoneyRules(unreadable_in_full=False), kills=1, damages=1), "d"),
    "money: not-charged returns nothing": (_money(MoneyRules(corrects=False), looks=1), "c"),
    "publish: overwritten": (PublishModel("overwrite"), "b"),
    "(as good) publish: created exclusively": (PublishModel("exclusive", 3), None),
    "(as good) closed with the announced claim id": (_key(Rules(nobody=False), roles="RRC", closes=True), None),
    "(as good) claim known by its id alone": (_key(Rules(own="claim id"), roles="RRC", closes=True), None),
    "(not needed) no late check by the claim's age": (
        _key(Rules(late_check=False), **{**SMALL, "link_dies": False}, any_age=True),
        None,
    ),
    "(not needed for the money) no stray record": (_key(Rules(stray=False), **SMALL), None),
}
"""Name: the model without a rule, and how the violation begins that it has to show; None where none is known."""


def check_all() -> bool:
    """Print a line for every check; true if all is as expected."""
    as_expected, total, begun = True, 0, time.process_time()
    for name, model in HOLDS.items():
        since = time.process_time()
        result = explore(model)
        as_expected, total = as_expected and not result.violations, total + result.states
        seconds, verdict = time.process_time() - since, "holds" if not result.violations else sorted(result.violations)
        print(f"{name:66} {result.states:>9,} states, {seconds:4.0f} s  {verdict}", flush=True)
    for name in WITHOUT:
        found, states, _ = without(name)
        as_expected, total = as_expected and found is not None, total + states
        print(f"without: {name:57} {states:>9,} states  {found or 'NOT as expected'}", flush=True)
    print(f"{total:,} states in {time.process_time() - begun:.0f} s; {'all' if as_expected else 'NOT'} as expected")
    return as_expected


def without(name: str) -> tuple[str | None, int, list[str]]:
    """(what happens without the rule or None if that is not what was expected, states explored, the shortest trace)."""
    model, wanted = WITHOUT[name]
    result = explore(model, only=wanted)
    if wanted is None:
        return None if result.violations else "holds", result.states, []
    for violation, trace in result.violations.items():
        if violation.startswith(wanted):
            return f"{violation} ({len(trace)} steps)", result.states, trace
    return None, result.states, []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-t", metavar="NAME", choices=list(WITHOUT), help="one of: " + "; ".join(WITHOUT))
    name = parser.parse_args().t
    if name is None:
        return 0 if check_all() else 1
    found, states, trace = without(name)
    print(f"without: {name}: {found or 'NOT as expected'}, {states:,} states explored")
    for number, label in enumerate(trace, 1):
        print(f"{number:4}  {label}")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
