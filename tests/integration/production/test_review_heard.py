"""The page plays what a film sounds like and shows its captions, also from disk."""

from __future__ import annotations

from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By

from prefect_seedance.storage import open_store
from tests.support.boards import keep_clip, leave

PLAY = """
const [video, done] = arguments;
video.addEventListener("timeupdate", () => { if (video.currentTime > 0.5) done("plays"); });
video.play().catch(error => done(String(error)));
"""
HEARD = "const film = arguments[0]; return [film.muted, film.webkitAudioDecodedByteCount > 0, film.duration]"
READ = "return [...arguments[0].textTracks].map(track => [track.mode, track.activeCues[0].text])"


async def test_the_film_is_heard_and_its_captions_are_shown(browser: webdriver.Chrome, tmp_path: Path) -> None:
    store = open_store(tmp_path)
    horn = await keep_clip(store, "horn", seconds=2, sound=True, size=(640, 360))
    _, folder = await leave(store, [horn.model_copy(update={"dialogue": "KEEPER: 到了 <b>now</b>."})])
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get(f"file://{tmp_path / folder / 'index.html'}")
    film = browser.find_element(By.ID, "film")
    assert browser.execute_async_script(PLAY, film) == "plays"
    muted, decoded, seconds = browser.execute_script(HEARD, film)
    assert (muted, decoded, round(seconds, 1)) == (False, True, 2.0)
    assert browser.execute_script(READ, film) == [["showing", "KEEPER: 到了 &lt;b&gt;now&lt;/b&gt;."]]
    assert browser.get_log("browser") == []
