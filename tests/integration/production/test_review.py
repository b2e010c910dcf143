"""The page as a person meets it: in a real browser, from disk and from a bucket."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from prefect_seedance.models import Words
from prefect_seedance.storage import open_store
from prefect_seedance.storage.store import Store
from tests.support.boards import keep_clip, key_for, leave, without_clip
from tests.support.s3_server import RunningS3

EVIL = """<script>document.title = "owned"</script> "'><img src=x onerror="document.title='owned'"> {{ 7 * 7 }} </p>"""
LONG = "x" * 600
PLAY = """
const [video, done] = arguments;
video.addEventListener("timeupdate", () => { if (video.currentTime > 0.2) done("plays"); });
video.addEventListener("ended", () => done("plays"));
video.muted = true;
video.play().catch(error => done(String(error)));
"""

CONTRAST = """
const parse = colour => colour.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
const behind = element => {
  for (let at = element; at; at = at.parentElement) {
    const colour = parse(getComputedStyle(at).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
};
return [...document.querySelectorAll("body *")].filter(element => !element.closest("svg, script, .skip, .strip")
  && [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim())).map(element => {
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
    return [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), element.outerHTML.slice(0, 80)];
  }).filter(([ratio]) => ratio < 4.5);
"""


@pytest.fixture(autouse=True)
def desktop(browser: webdriver.Chrome) -> None:
    look(browser, width=1280)
    browser.get("about:blank")
    browser.get_log("browser")


def look(browser: webdriver.Chrome, *, width: int, dark: bool = False) -> None:
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


async def leave_partial(store: Store) -> str:
    """Two clips of different shapes, a refused shot with a nasty prompt and an unclear one."""
    shots = [
        await keep_clip(store, "arrival"),
        without_clip("fog", error=f"Refused: {EVIL}"),
        without_clip("horn", "unclear", "No answer came back."),
        await keep_clip(store, "lamp", size=(72, 128)),
    ]
    prompts = {"arrival": LONG, "fog": EVIL, "horn": "A horn.\nFar off.", "lamp": "The lamp turns."}
    _, folder = await leave(store, shots, title=EVIL, prompts=prompts, notes=[EVIL])
    return folder


SAID = Words(
    notes=f"需要雾。{EVIL}", dialogue="الحارس: اقتربنا.\nمساعد: نعم.", metadata={"场景": "12", "tags": ["夜", EVIL]}
)


async def leave_in_many_scripts(store: Store) -> str:
    """A Chinese board with a shot in Arabic, one in Hindi, and words for people."""
    ids = ("到达", "المنارة القديمة", "कि 登る")
    shots = [(await keep_clip(store, name)).model_copy(update=dict(SAID)) for name in ids]
    _, folder = await leave(store, shots, title="灯塔：第一集", words=SAID)
    return folder


Leave = Callable[[Store], Coroutine[Any, Any, str]]


def address_on_disk(leave_one: Leave, tmp_path_factory: pytest.TempPathFactory) -> str:
    store = open_store(tmp_path_factory.mktemp("store"))
    folder = asyncio.run(leave_one(store))
    moved = shutil.move(Path(store.url) / folder, tmp_path_factory.mktemp("moved") / "production")
    return (Path(moved) / "index.html").as_uri()


def address_in_a_bucket(leave_one: Leave, s3_server: RunningS3) -> str:
    async def link() -> str:
        url = f"s3://{s3_server.new_bucket()}/films"
        store = open_store(url, key="k", secret="s", endpoint_url=s3_server.endpoint_url, region="us-east-1")
        address = await store.link(f"{await leave_one(store)}/index.html", 600)
        await store.aclose()
        assert address is not None
        return address

    return asyncio.run(link())


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a page on disk, in a folder that was moved away from its store."""
    return address_on_disk(leave_partial, tmp_path_factory)


@pytest.fixture(scope="module")
def in_a_bucket(s3_server: RunningS3) -> str:
    """The address of a page in a private bucket."""
    return address_in_a_bucket(leave_partial, s3_server)


@pytest.fixture(scope="module", params=["disk", "bucket"])
def in_many_scripts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, s3_server: RunningS3
) -> str:
    if request.param == "disk":
        return address_on_disk(leave_in_many_scripts, tmp_path_factory)
    return address_in_a_bucket(leave_in_many_scripts, s3_server)


@pytest.fixture(params=["on_disk", "in_a_bucket"])
def address(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


def words(browser: webdriver.Chrome) -> str:
    return browser.find_element(By.TAG_NAME, "body").text


def test_film_and_every_shot_play_and_nothing_is_logged(browser: webdriver.Chrome, address: str) -> None:
    browser.get(address)
    videos = browser.find_elements(By.TAG_NAME, "video")
    assert [browser.execute_async_script(PLAY, video) for video in videos] == ["plays"] * 3
    pictures = browser.execute_script("return [...document.images].map(image => image.naturalWidth > 0)")
    assert pictures == [True, True]
    assert browser.get_log("browser") == []


def test_a_page_in_any_script_plays_and_says_what_people_wrote(browser: webdriver.Chrome, in_many_scripts: str) -> None:
    browser.get(in_many_scripts)
    videos = browser.find_elements(By.TAG_NAME, "video")
    assert [browser.execute_async_script(PLAY, video) for video in videos] == ["plays"] * 4
    assert [shot.text for shot in browser.find_elements(By.TAG_NAME, "h3")] == ["到达", "المنارة القديمة", "कि 登る"]
    told = [one.text for one in browser.find_elements(By.CSS_SELECTOR, ".shot:first-child .words dd")][:4]
    assert told == [SAID.dialogue, SAID.notes, "12", json.dumps(["夜", EVIL], ensure_ascii=False)]
    assert len(browser.find_elements(By.CSS_SELECTOR, ".board .words dd")) == 4
    browser.execute_script("document.querySelector('.strip li:nth-child(2) a').click()")
    assert browser.execute_script("return document.querySelector('.shot:target h3').textContent") == "المنارة القديمة"
    assert browser.execute_script(CONTRAST) == []
    assert browser.get_log("browser") == []
    look(browser, width=320)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 320


def test_one_video_plays_at_a_time(browser: webdriver.Chrome, on_disk: str) -> None:
    browser.get(on_disk)
    first, second, _ = browser.find_elements(By.TAG_NAME, "video")
    for video in (first, second):
        assert browser.execute_async_script(PLAY, video) == "plays"
    assert browser.execute_script("return arguments[0].paused", first)


def test_a_prompt_full_of_html_is_shown_as_text(browser: webdriver.Chrome, address: str) -> None:
    browser.get(address)
    assert browser.title == f"{EVIL} · partial"
    assert browser.find_element(By.TAG_NAME, "h1").text == EVIL
    shown = [element.text for element in browser.find_elements(By.CLASS_NAME, "prompt")]
    assert shown == [LONG, EVIL, "A horn.\nFar off.", "The lamp turns."]
    assert browser.find_element(By.CSS_SELECTOR, ".error p").text == f"Refused: {EVIL}"
    assert browser.find_elements(By.CSS_SELECTOR, ".prompt *, h1 *, .error script, .error img, .notes *:not(li)") == []


def test_no_script_but_its_own_would_run(browser: webdriver.Chrome, address: str) -> None:
    browser.get(address)
    added = "const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s);"
    assert browser.execute_script(f"{added} return window.ran") is None
    assert "Content Security Policy" in browser.get_log("browser")[0]["message"]


def test_it_says_what_is_missing_and_what_to_do(browser: webdriver.Chrome, on_disk: str) -> None:
    browser.get(on_disk)
    text = words(browser)
    assert "2 of 4 shots are here, 2 are missing." in text
    assert "2 shots, 0:02 minutes. Left out: fog (refused), horn (unclear)." in text
    assert [badge.text for badge in browser.find_elements(By.CSS_SELECTOR, ".head .badge")] == [
        *("✓ stored", "✕ refused", "? unclear", "✓ stored"),
    ]
    assert f" {key_for('horn')}@3 --not-charged" not in text  # the answer that pays twice when it is wrong
    assert "128 × 72, 24 fps, 1 s, 24 frames" in text
    assert "$0.12 paid by this run, estimated $0.12" in text
    assert "nothing charged, estimated $0.12" in text
    assert key_for("arrival") in text


def test_totals_are_those_of_the_manifest(browser: webdriver.Chrome, on_disk: str) -> None:
    browser.get(on_disk)
    totals = [element.text.replace("\n", " ") for element in browser.find_elements(By.CSS_SELECTOR, ".totals > div")]
    assert totals == [
        "SHOTS 2 of 4 2 missing",
        "LENGTH 0:02 minutes of video",
        "ESTIMATED $0.24 before this run",
        "PAID $0.12 by this run",
        "REUSED $0.12 paid by earlier runs",
    ]


@pytest.mark.parametrize("width", [320, 390, 820])
def test_a_phone_never_scrolls_sideways(browser: webdriver.Chrome, on_disk: str, width: int) -> None:
    look(browser, width=width)
    browser.get(on_disk)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("dark", [False, True])
def test_everything_is_readable_by_day_and_by_night(browser: webdriver.Chrome, on_disk: str, *, dark: bool) -> None:
    look(browser, width=1280, dark=dark)
    browser.get(on_disk)
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (int(paper.strip("rgb()").split(",")[0]) < 40) == dark
    assert browser.execute_script(CONTRAST) == []


def test_everything_is_reached_by_tab(browser: webdriver.Chrome, on_disk: str) -> None:
    browser.get(on_disk)
    wanted = browser.execute_script(
        "window.left = new Set(document.querySelectorAll('a, button, video')); return left.size"
    )
    for _ in range(12 * wanted):  # a video has many stops of its own
        browser.switch_to.active_element.send_keys(Keys.TAB)
        if browser.execute_script("left.delete(document.activeElement); return left.size") == 0:
            break
    assert browser.execute_script("return [...left].map(element => element.outerHTML)") == []


def test_focus_can_be_seen(browser: webdriver.Chrome, on_disk: str) -> None:
    browser.get(on_disk)
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    focused = browser.switch_to.active_element
    assert focused.text == "Skip to the shots"
    assert focused.rect["x"] > 0
    assert focused.value_of_css_property("outline-style") == "solid"


def test_a_key_is_copied_by_its_button(browser: webdriver.Chrome, address: str) -> None:
    browser.get(address)
    button = browser.find_element(By.CSS_SELECTOR, "button[data-copy='01-arrival-key']")
    assert browser.execute_script("return arguments[0].textContent", button) == "Copy the key of arrival"
    browser.execute_script("arguments[0].click()", button)
    told = WebDriverWait(browser, 60).until(lambda _: browser.execute_script("return said.textContent"))
    assert told in {"Copied", "Selected"}


def test_a_page_in_a_bucket_says_until_when_its_links_live(browser: webdriver.Chrome, in_a_bucket: str) -> None:
    browser.get(in_a_bucket)
    ends = datetime.strptime(browser.find_element(By.CSS_SELECTOR, "a[href='#links']").text, "%d %B %Y, %H:%M UTC")
    left = ends.replace(tzinfo=UTC) - datetime.now(UTC)
    assert timedelta(days=7, minutes=-10) < left <= timedelta(days=7)
    assert "costs $0 for what is stored" in words(browser)


def test_a_page_on_disk_links_only_beside_itself(browser: webdriver.Chrome, on_disk: str) -> None:
    browser.get(on_disk)
    links = "return [...document.querySelectorAll('[src], [href], [poster]')].flatMap("
    links += "e => ['src', 'href', 'poster'].map(name => e.getAttribute(name)).filter(Boolean))"
    found = set(browser.execute_script(links))
    assert {link for link in found if not link.startswith(("#", "shots/", "posters/", "data:image/svg+xml,"))} == {
        *("film.mp4", "timeline.otio", "timeline.edl", "manifest.json"),
    }
    assert "links of this page live" not in words(browser)
