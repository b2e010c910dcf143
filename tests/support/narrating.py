"""Processes that have a text spoken, to be killed or to race."""

from __future__ import annotations

from typing import Any

from prefect_seedance.generation.session import RenderSession
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.models import AUTO, Request
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage.store import Store
from tests.support.generating import generate
from tests.support.renderer import API_KEY, QUICK, HookedClient, HookedStore, Killer


def spoken(text: str, model: str = "chatterbox-turbo", **inputs: Any) -> Request:
    """A text as a board asks for it."""
    return Request(model=model, prompt=text, size="", duration=AUTO, inputs=inputs)


async def speak_aloud(base_url: str, store: Store, text: str, killer: Killer) -> dict[str, Any]:
    """Bring the sound of *text* home."""
    async with HookedClient(Account(API_KEY, base_url), killer) as client:
        run = RenderSession(client, Ledger(HookedStore(store, killer)), waiting=QUICK)
        history = await generate(run, spoken(text))
    return {"state": history.state}
