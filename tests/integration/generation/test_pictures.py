"""The pictures of a clip come out of the pass that verifies it; trouble with them holds up no paid clip."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from prefect_seedance.errors import BadInput, StoreUnavailable
from prefect_seedance.generation.frames import last_frame_path
from prefect_seedance.generation.persist import persist
from prefect_seedance.generation.poll import wait
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.generation.submit import submit
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.models import Picture
from prefect_seedance.production.at_hand import AtHand
from prefect_seedance.production.pictures import poster_path
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage.local import LocalStore
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator
from tests.support.one_clip import charges
from tests.support.renderer import QUICK, small


async def brought_home(session: RenderSession, prompt: str) -> Record:
    history = await persist(session, await wait(session, await submit(session, small(prompt))))
    assert history.last is not None
    assert history.last.step is Step.STORED
    return history.last


async def test_a_stored_clip_has_its_poster_and_the_last_frame_that_another_shot_needs(
    emulator: RunningEmulator, client: RunpodClient, store: Store, prompt: str
) -> None:
    session = RenderSession(client, Ledger(store), waiting=QUICK, continued={key_of(small(prompt))})
    stored, other = await brought_home(session, prompt), await brought_home(session, f"{prompt} more")
    sizes = []
    for path in (poster_path(stored.sha256 or ""), last_frame_path(stored)):
        with Image.open(io.BytesIO(await store.read(path))) as image:
            sizes.append((image.format, image.size))
    assert sizes == [("JPEG", (480, 864)), ("PNG", (480, 864))]
    assert await store.exists(poster_path(other.sha256 or ""))
    assert not await store.exists(last_frame_path(other))
    assert list(store.scratch().iterdir()) == []
    assert charges(emulator, prompt) == 1


class TakesNoPictures(LocalStore):
    """A store whose disk is full as soon as a picture comes."""

    async def put(self, local: Path, path: str, content_type: str | None = None, **how: Any) -> None:
        if not path.startswith("clips/"):
            raise StoreUnavailable("no space left")
        await super().put(local, path, content_type, **how)


async def test_a_picture_that_can_not_be_kept_holds_up_no_paid_clip(
    emulator: RunningEmulator, client: RunpodClient, store: Store, prompt: str
) -> None:
    full, continued = TakesNoPictures(Path(store.url)), {key_of(small(prompt))}
    session = RenderSession(client, Ledger(full), waiting=QUICK, continued=continued)
    stored = await brought_home(session, prompt)
    assert await store.exists(stored.clip or "")
    assert session.at_hand.posters == set()
    assert await store.names("posters") == []
    assert list(store.scratch().iterdir()) == []
    assert charges(emulator, prompt) == 1


@pytest.mark.parametrize("store_url", ["s3"], indirect=True)
async def test_a_clip_that_went_to_a_bucket_stays_at_hand_until_it_is_forgotten(
    emulator: RunningEmulator, client: RunpodClient, either_store: Store, prompt: str
) -> None:
    at_hand = AtHand(keeps_files=True)
    session = RenderSession(client, Ledger(either_store), waiting=QUICK, at_hand=at_hand)
    stored = await brought_home(session, prompt)
    file = at_hand.file(stored.sha256 or "")
    assert file is not None
    assert file.read_bytes() == await either_store.read(stored.clip or "")
    at_hand.forget()
    assert list(either_store.scratch().iterdir()) == []
    assert charges(emulator, prompt) == 1


PICTURE = Picture(sha256="a" * 64, format="PNG", width=480, height=864, bytes=9, source="a.png")
LINK = "https://example.com/a.png"


@pytest.mark.parametrize(
    ("asked", "given", "told"),
    [
        ({"image": PICTURE}, {}, "not those of the request .`image`"),
        ({}, {"image": LINK}, "not those of the request .`image`"),
        ({"last_image": PICTURE}, {"image": LINK}, "`image`, `last_image`"),
        ({"references": (PICTURE,)}, {"references": [LINK, LINK]}, "`references`"),
        ({"image": PICTURE}, {"image": "stills/a.png"}, "can't fetch stills/a.png from"),
        ({"last_image": PICTURE}, {"last_image": "stills/a.png"}, "can't fetch stills/a.png from"),
    ],
    ids=["left out", "not asked for", "another", "too many", "out of reach", "last one out of reach"],
)
async def test_no_clip_is_paid_without_the_very_pictures_of_its_key(
    asked: dict[str, Any],
    given: dict[str, Any],
    told: str,
    emulator: RunningEmulator,
    client: RunpodClient,
    folder_store: Store,
    prompt: str,
) -> None:
    session = RenderSession(client, Ledger(folder_store), waiting=QUICK)
    with pytest.raises(BadInput, match=told):
        await submit(session, small(prompt, **asked), **given)
    assert charges(emulator, prompt) == 0
