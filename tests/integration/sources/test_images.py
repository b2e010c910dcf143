"""Pictures are checked before a cent is spent, fetched once, cropped here, and never read from foreign places."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import threading
import time
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import pytest
from PIL import Image

from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.errors import BadInput
from prefect_seedance.sources.folder import Folder
from prefect_seedance.sources.images import MOST_BYTES, PictureSource, crop_to, examine_picture
from prefect_seedance.storage import open_store
from prefect_seedance.storyboard.reading import Board, Defaults, ShotSpec, Storyboard, read_board, read_boards
from tests.support.pictures import picture, shade_at
from tests.support.s3_server import RunningS3
from tests.support.web_host import Host, refusal


@pytest.fixture
def host() -> Iterator[Host]:
    running = Host()
    yield running
    running.stop()


def bomb() -> bytes:
    """A small PNG that says that it is 60,000 pixels wide and high."""
    content = bytearray(picture(300, 300))
    content[16:24] = (60_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


def saved(image: Image.Image, kind: str, **how: Any) -> bytes:
    target = BytesIO()
    image.save(target, kind, **how)
    return target.getvalue()


FORMATS = "JPEG, PNG, WEBP, BMP, TIFF or GIF"
BAD = {
    "text": (b"not a picture", f"it is not a picture that can be read; save it as {FORMATS}"),
    "empty": (b"", f"it is not a picture that can be read; save it as {FORMATS}"),
    "another format": (picture(kind="PPM"), f"it is not a picture that can be read; save it as {FORMATS}"),
    "cut PNG": (picture()[:-60], f"it is damaged and can't be decoded; save it again as {FORMATS}"),
    "cut JPEG": (picture(kind="JPEG")[:-60], f"it is damaged and can't be decoded; save it again as {FORMATS}"),
    "small": (picture(299, 640), "it is 299x640; each side must have at least 300 pixels, so enlarge it"),
    "wide": (picture(6001, 3000), "it is 6001x3000; each side may have at most 6000 pixels, so scale it down"),
    "flat": (picture(800, 319), "it is 800x319; width to height must lie between 0.4 and 2.5, so cut it"),
    "tall": (picture(319, 800), "it is 319x800; width to height must lie between 0.4 and 2.5, so cut it"),
    "heavy": (picture() + bytes(30_000_000), "it has more than 30 MB; make it smaller"),
    "bomb": (bomb(), "it has too many pixels; its sides may be at most 6000"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD.keys())
async def test_a_picture_that_the_endpoint_would_refuse_is_refused_first(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "x.png").write_bytes(content)
    assert await refusal("x.png", folder=Folder(str(tmp_path))) == message


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "MPO"])
async def test_the_bytes_say_what_a_picture_is_and_not_its_name(tmp_path: Path, kind: str) -> None:
    content = picture(kind=kind)
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "x.txt").write_bytes(content)
    source = await examine_picture("below/x.txt", folder=Folder(str(tmp_path)))
    assert source.picture.model_dump() == {
        "sha256": hashlib.sha256(content).hexdigest(),
        "format": "JPEG" if kind == "MPO" else kind,
        "width": 960,
        "height": 640,
        "bytes": len(content),
        "source": "below/x.txt",
        "crop": False,
    }
    assert (source.place.kind, source.public_url) == ("local", None)
    assert await source.read() == content


async def test_the_limits_themselves_are_allowed(tmp_path: Path) -> None:
    for number, (width, height) in enumerate([(300, 300), (750, 300), (300, 750), (6000, 2400)]):
        (tmp_path / f"{number}.png").write_bytes(picture(width, height))
        assert (await examine_picture(f"{number}.png", folder=Folder(str(tmp_path)))).picture.width == width


async def test_a_picture_that_changed_after_the_plan_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(picture())
    source = await examine_picture("x.png", folder=Folder(str(tmp_path)))
    (tmp_path / "x.png").write_bytes(picture(961))
    with pytest.raises(BadInput, match="has changed since it was checked; nothing was submitted, plan again"):
        await source.read()


async def test_no_path_and_no_link_leads_out_of_the_folder(tmp_path: Path) -> None:
    secret, beside = tmp_path / "secret.png", tmp_path / "board"
    secret.write_bytes(picture())
    (beside / "real").mkdir(parents=True)
    (beside / "real" / "x.png").write_bytes(picture())
    (beside / "out.png").symlink_to(secret)
    (beside / "up").symlink_to(tmp_path)
    (beside / "circle.png").symlink_to(beside / "circle.png")
    (beside / "in.png").symlink_to(beside / "real" / "x.png")
    os.mkfifo(beside / "pipe.png")
    folder = Folder(str(beside))

    assert (await examine_picture("in.png", folder=folder)).picture.width == 960
    for path in ("../secret.png", "real/../../secret.png", str(secret), "~/x.png", "C:\\x.png", "..\\secret.png"):
        assert "it leads out of the folder of the storyboard" in await refusal(path, folder=folder)
    for path in ("out.png", "up/secret.png"):
        assert "it is a link out of the folder of the storyboard" in await refusal(path, folder=folder)
    for path in ("circle.png", "pipe.png", "real", "none.png", "x" * 300, "real/x.png/y.png"):
        assert "there is no such file" in (message := await refusal(path, folder=folder)) or "can't be read" in message
    for path in ("real//x.png", "./in.png", "a\0b", "real\\x.png", "x\x1b[31m"):
        assert "it is not a path such as references/keeper.png" in await refusal(path, folder=folder)


def board(*places: str, crop: bool = False) -> Storyboard:
    shots = [ShotSpec(id=f"s{number}", prompt="x", image=place, crop=crop) for number, place in enumerate(places)]
    return Storyboard(title="Film", shots=tuple(shots))


async def read(given: Storyboard | str, **where: Any) -> Board:
    return await read_board(given, catalog=KNOWN, **{"store": None, "allow_private": True} | where)


async def test_each_place_is_fetched_once_and_equal_bytes_have_equal_keys(host: Host) -> None:
    host.served |= {"/x.png": picture(), "/y.png": picture(), "/z.png": picture(961)}
    signed = f"{host.url}/x.png?X-Amz-Signature=secret#here"
    made = await read(board(signed, signed, signed, f"{host.url}/y.png", f"{host.url}/z.png"))
    assert made.problems == ()
    assert len(host.asked) == 3
    keys = [shot.key for shot in made.shots]
    assert keys[0] == keys[1] == keys[2] == keys[3] != keys[4]
    source = made.shots[0].image
    assert source is not None
    assert source.public_url == signed
    assert source.picture.source == f"{host.url}/x.png"
    assert "secret" not in repr(made)


async def test_a_picture_that_all_rows_share_is_fetched_once(host: Host, tmp_path: Path) -> None:
    host.served["/x.png"] = picture()
    shot = f"{{id: a, prompt: 'A {{product}}.', image: '{host.url}/x.png'}}"
    (tmp_path / "board.yaml").write_text(f"title: Film\nrows: rows.csv\nshots: [{shot}]\n")
    (tmp_path / "rows.csv").write_text("product\nmug\nkettle\n")
    boards = await read_boards(str(tmp_path / "board.yaml"), catalog=KNOWN, store=None, allow_private=True)
    assert [made.problems for made in boards] == [(), ()]
    assert len(host.asked) == 1


async def test_no_link_is_followed_into_a_private_network_from_a_storyboard(host: Host) -> None:
    made = await read(board(f"https://127.0.0.1:{host.port}/?token=secret"), allow_private=False)
    assert [str(problem) for problem in made.problems] == [
        f"storyboard: shot s0: picture https://127.0.0.1:{host.port}/: "
        "its host is not on the public internet; put the file beside the storyboard"
    ]
    assert host.asked == []


async def test_at_most_eight_links_are_fetched_at_once(host: Host) -> None:
    content, lock, now, most = picture(), threading.Lock(), 0, 0
    full = threading.Barrier(8)

    def serve(handler: BaseHTTPRequestHandler) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        full.wait(60)  # answers only when eight are waiting,
        time.sleep(0.05)  # and late enough for a ninth to be seen
        with lock:
            now -= 1
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(content)

    host.served |= {f"/{number}": serve for number in range(16)}
    made = await read(board(*(f"{host.url}/{number}" for number in range(16))))
    assert (made.problems, most) == ((), 8)


async def test_a_cropped_picture_is_another_request_and_is_never_sent_by_its_link(host: Host) -> None:
    host.served |= {"/x.png": picture(), "/small.png": picture(700, 320)}
    plain, cropped = [await read(board(f"{host.url}/x.png", crop=crop)) for crop in (False, True)]
    assert plain.shots[0].key != cropped.shots[0].key
    source = cropped.shots[0].image
    assert source is not None
    assert (source.picture.crop, source.public_url) == (True, None)
    tall = board(f"{host.url}/small.png", crop=True).model_copy(update={"defaults": Defaults(size="480x864")})
    assert [problem.message for problem in (await read(tall)).problems] == [
        f"picture {host.url}/small.png: cropped to 480x864 it has only 178x320 pixels of at least 300; use a larger one"
    ]


@pytest.mark.parametrize(
    ("size", "expected"), [("1920x1080", (960, 540)), ("640x640", (640, 640)), ("480x864", (356, 640))]
)
def test_a_crop_keeps_the_middle_in_the_ratio_of_the_clip(size: str, expected: tuple[int, int]) -> None:
    made = crop_to(picture(), size)
    assert made == crop_to(picture(), size)
    image = Image.open(BytesIO(made))
    assert (image.size, image.format) == (expected, "PNG")
    middle = expected[0] // 2
    assert [image.getpixel((x, 5)) for x in (0, middle - 1, middle, expected[0] - 1)] == [
        (40, 40, 40), (40, 40, 40), (200, 200, 200), (200, 200, 200),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "mode", "expected"),
    [("JPEG", "RGB", "JPEG"), ("JPEG", "L", "JPEG"), ("JPEG", "CMYK", "JPEG"), ("MPO", "RGB", "JPEG"),
     ("PNG", "RGBA", "PNG"), ("PNG", "P", "PNG"), ("PNG", "1", "PNG"), ("PNG", "I;16", "PNG"), ("TIFF", "CMYK", "PNG"),
     ("WEBP", "RGBA", "PNG"), ("BMP", "RGB", "PNG"), ("GIF", "P", "PNG")],
)  # fmt: skip
def test_a_jpeg_stays_a_jpeg_and_all_else_becomes_a_png(kind: str, mode: str, expected: str) -> None:
    image = Image.open(BytesIO(crop_to(picture(kind=kind, mode=mode), "640x640")))
    image.load()
    assert (image.format, image.size) == (expected, (640, 640))


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
async def test_a_crop_of_a_grey_picture_of_16_bits_keeps_its_shades(tmp_path: Path, mode: str) -> None:
    order: Literal["big", "little"] = "big" if mode == "I;16B" else "little"
    row = b"".join((column * 68).to_bytes(2, order) for column in range(960))
    (tmp_path / "x.tiff").write_bytes(content := saved(Image.frombytes(mode, (960, 640), row * 640), "TIFF"))
    assert Image.open(BytesIO(content)).mode == mode
    assert (await examine_picture("x.tiff", folder=Folder(str(tmp_path)))).picture.format == "TIFF"
    image = Image.open(BytesIO(crop_to(content, "640x640")))
    assert [image.getpixel((x, 300)) for x in (0, 320, 639)] == [160 * 68, 480 * 68, 799 * 68]


@pytest.mark.parametrize("mode", ["I", "F"])
async def test_a_picture_of_32_bits_a_channel_is_refused_and_not_ruined(tmp_path: Path, mode: str) -> None:
    (tmp_path / "x.tiff").write_bytes(saved(Image.new(mode, (960, 640), 40_000), "TIFF"))
    refused = await refusal("x.tiff", folder=Folder(str(tmp_path)))
    assert refused == "it has 32 bits a channel; save it with 8 or 16 bits a channel"


@pytest.mark.parametrize(
    ("mode", "sides", "how"),
    [("RGB", (4500, 3000), {"compression": "jpeg", "quality": 60}), ("RGBA", (4000, 2500), {}),
     ("I;16", (6000, 3600), {})],
)  # fmt: skip
def test_a_crop_that_the_endpoint_would_refuse_as_too_large_is_scaled_down(
    mode: str, sides: tuple[int, int], how: dict[str, Any]
) -> None:
    noise = random.Random(1).randbytes(sides[0] * sides[1] * {"RGB": 3, "RGBA": 4, "I;16": 2}[mode])
    made = crop_to(saved(Image.frombytes(mode, sides, noise), "TIFF", **how), "1920x1080")
    assert 20_000_000 < len(made) <= MOST_BYTES
    image = Image.open(BytesIO(made))
    assert (image.format, image.mode) == ("PNG", mode)
    assert image.width / image.height == pytest.approx(16 / 9, rel=0.001)


def test_a_picture_of_the_right_ratio_is_sent_as_it_is() -> None:
    content = picture(1600, 900, kind="JPEG")
    assert crop_to(content, "1920x1080") is content


async def test_a_photo_taken_upright_is_cropped_as_people_see_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "x.jpg").write_bytes(content := picture(1600, 900, kind="JPEG", exif=exif))
    seen = (await examine_picture("x.jpg", folder=Folder(str(tmp_path)))).picture
    assert (seen.width, seen.height) == (900, 1600)
    image = Image.open(BytesIO(crop_to(content, "640x640")))
    assert image.size == (900, 900)
    assert [shade_at(image, at) < 120 for at in ((10, 10), (890, 10), (10, 890))] == [True, True, False]
    assert image.getexif().get(0x0112, 1) == 1


@pytest.fixture
def s3(s3_server: RunningS3, monkeypatch: pytest.MonkeyPatch) -> RunningS3:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server


async def put(url: str, **files: bytes) -> None:
    store = open_store(url)
    for path, content in files.items():
        await store.write(path.replace("__", "/").replace("_", "."), content)
    await store.aclose()


async def test_a_storyboard_in_a_bucket_finds_its_pictures_there_and_in_no_other(s3: RunningS3) -> None:
    own, foreign = s3.new_bucket(), s3.new_bucket()
    await put(f"s3://{own}", shared__a_png=picture(), film__ref__b_png=picture(961))
    await put(f"s3://{foreign}", secret_png=picture(962))
    text = (
        "title: Film\nshots:\n"
        f"  - {{id: a, prompt: x, image: 's3://{own}/shared/a.png'}}\n"
        "  - {id: b, prompt: x, image: ref/b.png}\n"
        f"  - {{id: c, prompt: x, image: 's3://{foreign}/secret.png'}}\n"
        "  - {id: d, prompt: x, image: ../shared/a.png}\n"
        "  - {id: e, prompt: x, image: ref/none.png}\n"
        f"  - {{id: f, prompt: x, image: 's3://{own}/film/../shared/a.png'}}\n"
    )
    await put(f"s3://{own}", film__board_yaml=text.encode())
    location = f"s3://{own}/film/board.yaml"
    made = await read(location)
    out = "it leads out of the folder of the storyboard; put the file beside the storyboard or below"
    foreign_one = f"s3://{foreign}/secret.png"
    assert [str(problem) for problem in made.problems] == [
        f"{location}:5: shot c: picture {foreign_one}: it lies in a bucket that is not the storyboard's; "
        "copy it beside the storyboard",
        f"{location}:6: shot d: picture ../shared/a.png: {out}",
        f"{location}:7: shot e: picture ref/none.png: there is no such file; check the path",
        f"{location}:8: shot f: picture s3://{own}/film/../shared/a.png: {out}",
    ]
    assert [shot.image and shot.image.picture.source for shot in made.shots[:2]] == [
        f"s3://{own}/shared/a.png",
        f"s3://{own}/film/ref/b.png",
    ]
    with_store = await read(location, store=open_store(f"s3://{foreign}/clips"))
    assert [problem.shot for problem in with_store.problems] == ["d", "e", "f"]
    source = with_store.shots[2].image
    assert source is not None
    assert await source.read() == picture(962)


async def test_a_storyboard_in_the_store_is_read_with_the_keys_of_the_store(s3_server: RunningS3) -> None:
    """As an inbox does it whose keys come from a block: the environment has none."""
    url = f"s3://{s3_server.new_bucket()}/some"
    store = open_store(url, key="k", secret="s", endpoint_url=s3_server.endpoint_url, region="us-east-1")
    await store.write("inbox/board.yaml", b"title: Film\nshots: [{id: a, prompt: x, image: a.png}]\n")
    await store.write("inbox/a.png", picture())
    made = await read(f"{url}/inbox/board.yaml", store=store)
    assert made.problems == ()
    source = made.shots[0].image
    assert source is not None
    assert (source.place.kind, await source.read()) == ("store", picture())
    gone = await read(f"{url}/inbox/none.yaml", store=store)
    assert [problem.message for problem in gone.problems] == ["there is no such file; check the path of the storyboard"]
    await store.aclose()


async def test_a_source_can_be_read_from_another_event_loop(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(picture())
    source: PictureSource = await examine_picture("x.png", folder=Folder(str(tmp_path)))
    assert await asyncio.to_thread(lambda: asyncio.run(source.read())) == picture()
