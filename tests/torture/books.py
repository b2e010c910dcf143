"""Whether the promises held, from the files of the store and the bill of the API. None of our own rules is asked."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from prefect_seedance.errors import Missing
from prefect_seedance.storage.store import Store

OPEN = ("claimed", "unclear", "accepted", "completed")
OUT = ("claimed", "accepted", "completed")
ZERO = Decimal(0)

Fields = dict[str, Any]


@dataclass
class Files:
    """What a store holds, as it stands there."""

    keys: dict[str, list[Fields]] = field(default_factory=dict)
    markers: set[tuple[str, int]] = field(default_factory=set)
    months: dict[str, list[Fields]] = field(default_factory=dict)
    reservations: dict[str, Fields] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)

    @classmethod
    async def of(cls, store: Store) -> Files:
        files = cls()
        for key in await store.names("ledger"):
            files.keys[key] = await files._folder(store, f"ledger/{key}")
        for name in await store.names("ledger-open"):
            key, _, number = name.rpartition("-")
            files.markers.add((key, int(number)))
        for name in await store.names("spending"):
            if re.fullmatch(r"\d{4}-\d\d", name):
                files.months[name] = await files._folder(store, f"spending/{name}")
        for entry in await files._folder(store, "spending/reservations"):
            files.reservations[entry["id"]] = entry
        for records in files.keys.values():
            await files._clip(store, records[-1])
        return files

    async def _folder(self, store: Store, folder: str) -> list[Fields]:
        names = await store.names(folder)
        return list(await asyncio.gather(*(self._read(store, f"{folder}/{name}") for name in names)))

    async def _read(self, store: Store, path: str) -> Fields:
        fields: Fields = json.loads(await store.read(path), parse_float=Decimal)
        return fields

    async def _clip(self, store: Store, last: Fields) -> None:
        if last["step"] != "stored":
            return
        try:
            clip = await store.read(last["clip"])
        except Missing:
            clip = b""
        if (hashlib.sha256(clip).hexdigest(), len(clip)) != (last["sha256"], last["bytes"]):
            self.damaged.append(last["key"])


@dataclass
class Verdict:
    """The figures of a round, and what is wrong: (rule, key or month, why)."""

    figures: Counter[str] = field(default_factory=Counter)
    wrong: list[tuple[str, str, str]] = field(default_factory=list)

    def says(self, rule: str, where: str, why: str) -> None:
        self.wrong.append((rule, where, why))
        self.figures[rule] += 1


def judge(
    files: Files, bill: list[Fields], prompts: Iterable[str], may_be_lost: set[str], limit: Decimal | None
) -> Verdict:
    """Compare what the store says with what was charged for *prompts*, when all is over."""
    verdict = Verdict()
    by_prompt = {records[0]["request"]["prompt"]: records for records in files.keys.values()}
    for prompt in prompts:
        charges = [charge for charge in bill if charge["prompt"] == prompt and charge["usd"] > 0]
        _judge_key(verdict, prompt, by_prompt.get(prompt, []), charges, prompt in may_be_lost)
        verdict.figures["keys"] += 1
        verdict.figures["charges"] += len(charges)
    for key, records in files.keys.items():
        _judge_markers(verdict, key, records, {number for name, number in files.markers if name == key})
    for key in files.damaged:
        verdict.says("clip wrong", key, "the clip is not there as its record says")
    _judge_months(verdict, files, limit)
    _judge_total(verdict, files, bill, set(prompts))
    return verdict


def _judge_key(verdict: Verdict, prompt: str, records: list[Fields], charges: list[Fields], may_be_lost: bool) -> None:
    if [record["number"] for record in records] != list(range(1, len(records) + 1)):
        verdict.says("history wrong", prompt, "a number is missing")
    last = _state(records)
    step = last["step"] if last else "nothing"
    verdict.figures[step] += 1
    verdict.figures["once unclear"] += any(record["step"] == "unclear" for record in records)
    verdict.figures["late"] += sum(record["kind"] == "late" for record in records)
    verdict.figures["strays"] += sum(record["step"] == "stray" for record in records)
    if len(charges) > 1:
        verdict.says("double", prompt, f"charged {len(charges)} times: {[charge['job_id'] for charge in charges]}")
    for charge in charges:
        named = [record for record in records if record["job_id"] == charge["job_id"]]
        stray = any(record["step"] == "stray" for record in named)
        if not (stray or (named and step in (*OPEN, "stored", "lost")) or step in ("unclear", "lost")):
            verdict.says("silent loss", prompt, f"the ledger says {step} and ${charge['usd']} is charged")
    if step == "stored" and last and last["job_id"] not in [charge["job_id"] for charge in charges]:
        verdict.says("stored unpaid", prompt, f"the job {last['job_id']} is not on the bill")
    if step == "lost" and last and not may_be_lost and last["kind"] != "settled":
        verdict.says("lost without cause", prompt, str(last["reason"]))
    if step in OUT:
        verdict.says("never home", prompt, f"it is still {step}")


def _judge_markers(verdict: Verdict, key: str, records: list[Fields], markers: set[int]) -> None:
    opened, before = 0, None
    for record in records:
        if record["step"] == "stray":
            continue
        if record["step"] == "claimed" or (before == "lost" and record["step"] != "lost"):
            opened = record["number"]
        before = record["step"]
    if before in OPEN and opened not in markers:
        verdict.says("marker wrong", key, f"{before} since {opened} and only {sorted(markers)} marked")
    if before not in OPEN and markers:
        verdict.says("marker wrong", key, f"{before} and {sorted(markers)} marked after collecting")


def _judge_months(verdict: Verdict, files: Files, limit: Decimal | None) -> None:
    spent = reserved = ZERO
    for records in files.keys.values():
        last_of_claim = {record["claim_id"]: record for record in records if record["step"] != "stray"}
        strays = [record for record in records if record["step"] == "stray"]
        for record in last_of_claim.values():
            if record["step"] in OUT and record["reservation"]:
                reserved += Decimal(files.reservations[record["reservation"]]["keys"][record["key"]])
            else:
                spent += charged_of(record)
        spent += sum(map(charged_of, strays), ZERO)
    told_spent = told_reserved = ZERO
    for month, steps in files.months.items():
        told_spent += Decimal(steps[-1]["total"]["spent_usd"])
        told_reserved += Decimal(steps[-1]["total"]["reserved_usd"])
        for record in steps:
            taken = max((_taken(day) for day in record["days"].values()), default=ZERO)
            if limit is not None and record["step"] == "reserved" and taken > limit:
                verdict.says("over the limit", month, f"record {record['number']} takes ${taken} of ${limit} a day")
    if (told_spent, told_reserved) != (spent, reserved):
        told = f"months say ${told_spent} spent and ${told_reserved} reserved"
        verdict.says("month wrong", "all", f"{told}, histories ${spent} and ${reserved}")


def _judge_total(verdict: Verdict, files: Files, bill: list[Fields], prompts: set[str]) -> None:
    charged = sum((Decimal(str(charge["usd"])) for charge in bill if charge["prompt"] in prompts), ZERO)
    told = sum((_taken(steps[-1]["total"]) for steps in files.months.values()), ZERO)
    verdict.figures["cents"] += int(charged * 100)
    if charged > told:
        verdict.says("month wrong", "all", f"${charged} is charged and the months know of ${told}")


def charged_of(record: Fields) -> Decimal:
    """What a claim cost by its last record: nothing if refused or failed, its cost, or else its upper price."""
    if record["step"] in ("refused", "failed"):
        return ZERO
    costs = (record["cost_usd"], record["upper_usd"], record["estimated_usd"])
    return Decimal(next(cost for cost in costs if cost is not None))


def _taken(totals: Fields) -> Decimal:
    return Decimal(totals["spent_usd"]) + Decimal(totals["reserved_usd"])


def _state(records: list[Fields]) -> Fields | None:
    return next((record for record in reversed(records) if record["step"] != "stray"), None)
