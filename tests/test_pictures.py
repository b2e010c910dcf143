"""Pictures are checked before a cent is spent, and nobody reads foreign files or private networks through them."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from PIL import Image
from s3_server import RunningS3

from prefect_seedance import links
from prefect_seedance.beside import Folder
from prefect_seedance.catalog import KNOWN
from prefect_seedance.errors import BadInput
from prefect_seedance.pictures import PictureSource, crop_to, examine_picture
from prefect_seedance.store import open_store
from prefect_seedance.storyboard import Board, ShotSpec, Storyboard, read_board


def picture(width: int = 960, height: int = 640, kind: str = "PNG", mode: str = "RGB", **saved: Any) -> bytes:
    """A picture whose left half is dark and whose right half is light."""
    image = Image.new("L", (width, height), 40)
    image.paste(200, (width // 2, 0, width, height))
    target = BytesIO()
    image.convert(mode).save(target, kind, **saved)
    return target.getvalue()


class Host:
    """A web server on loopback that remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.served: dict[str, bytes | str | Callable[[BaseHTTPRequestHandler], None]] = {}
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.asked.append((self.path, self.headers["Host"]))
                answer = host.served.get(self.path.partition("?")[0], b"")
                if callable(answer):
                    return answer(self)
                self.send_response(302 if isinstance(answer, str) else 200 if answer else 404)
                if isinstance(answer, str):
                    self.send_header("Location", answer)
                self.end_headers()
                if isinstance(answer, bytes):
                    self.wfile.write(answer)
                return None

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def speak_tls(self, context: ssl.SSLContext) -> None:
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def host() -> Iterator[Host]:
    running = Host()
    yield running
    running.stop()


async def refusal(location: str, **where: Any) -> str:
    with pytest.raises(BadInput) as refused:
        await examine_picture(location, **{"folder": None} | where)
    return str(refused.value)


def bomb() -> bytes:
    """A small PNG that says that it is 60,000 pixels wide and high."""
    content = bytearray(picture(300, 300))
    content[16:24] = (60_000).to_bytes(4, "big") * 2
    import zlib

    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


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
    assert (source.kind, source.public_url) == ("local", None)
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


PRIVATE = [
    "https://127.0.0.1:{port}/x.png",
    "https://localhost:{port}/x.png",
    "https://[::1]:{port}/x.png",
    "https://[::ffff:127.0.0.1]:{port}/x.png",
    "https://127.1:{port}/x.png",
    "https://2130706433:{port}/x.png",
    "https://0x7f000001:{port}/x.png",
    "https://0.0.0.0:{port}/x.png",
]


@pytest.mark.parametrize("url", PRIVATE)
async def test_a_link_into_a_private_network_is_never_asked(host: Host, url: str) -> None:
    host.served["/x.png"] = picture()
    message = await refusal(url.format(port=host.port))
    assert message.startswith(("its host is not on the public internet", "its host is not known"))
    assert host.asked == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1:{port}/x.png", "only https:// links are fetched"),
        ("https://me:secret@127.0.0.1:{port}/x.png", "a link must not hold a user name or password"),
        ("https://", "it is not a link that can be followed"),
        ("https://x:y/", "it is not a link that can be followed"),
        ("https://[/x", "its host is not known"),
        ("https://a b/x", "its host is not known"),
        ("https://no-such-host.invalid/x", "its host is not known"),
        ("file:///etc/passwd", "file: is not read"),
        ("data:image/png;base64,AAAA", "data: is not read"),
    ],
)
async def test_only_plain_https_links_are_followed(host: Host, url: str, message: str) -> None:
    assert (await refusal(url.format(port=host.port))).startswith(message)
    assert host.asked == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("10.0.0.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::a9fe:a9fe", False),  # NAT64 for 169.254.169.254
        ("64:ff9b::5db8:d822", True),
        ("2002:7f00:1::", False),  # 6to4 for 127.0.0.1
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert links.is_public(address) is public


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """A phone book in the place of DNS: each look-up of a name takes the next address."""
    book: dict[str, list[str]] = {}

    def look_up(name: str | bytes, port: int, *_: Any, **__: Any) -> list[Any]:
        name = name.decode() if isinstance(name, bytes) else name
        answers = book.get(name) or [name]
        address = answers.pop(0)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in address.split(",") if one[0].isdigit()
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return book


async def test_a_name_with_one_private_address_among_public_ones_is_refused(
    host: Host, names: dict[str, list[str]]
) -> None:
    names["two-faced.test"] = ["93.184.216.34,127.0.0.1"]
    message = await refusal(f"https://two-faced.test:{host.port}/x.png")
    assert message == "its host is not on the public internet; put the file beside the storyboard"


async def test_each_step_of_a_redirect_looks_its_host_up_once_and_goes_to_that_address(
    host: Host, names: dict[str, list[str]]
) -> None:
    """A second look-up would get 192.0.2.1, where nobody is: so a name that changes its address gains nothing."""
    names |= {"one.test": ["127.0.0.1", "192.0.2.1"], "two.test": ["127.0.0.1", "192.0.2.1"]}
    host.served |= {"/a": f"http://two.test:{host.port}/b", "/b": "/c?x=1", "/c": picture()}
    names["two.test"].insert(1, "127.0.0.1")  # /b and /c are two steps
    source = await examine_picture(f"http://one.test:{host.port}/a", folder=None, allow_private=True)
    assert source.picture.width == 960
    assert names == {"one.test": ["192.0.2.1"], "two.test": ["192.0.2.1"]}
    two = f"two.test:{host.port}"
    assert host.asked == [("/a", f"one.test:{host.port}"), ("/b", two), ("/c?x=1", two)]


async def test_the_next_address_is_tried_when_nobody_is_at_the_first(host: Host, names: dict[str, list[str]]) -> None:
    names["one.test"] = ["127.0.0.2,127.0.0.1"]
    host.served["/x"] = picture()
    await examine_picture(f"http://one.test:{host.port}/x", folder=None, allow_private=True)
    assert len(host.asked) == 1


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("file:///etc/passwd", "only https:// links are fetched"),
        ("http://user@127.0.0.1/", "a link must not hold a user name or password"),
        ("/x.png", "it redirects more than 3 times; give the final link"),
    ],
)
async def test_a_redirect_leads_nowhere_else(host: Host, target: str, message: str) -> None:
    host.served["/x.png"] = target
    assert (await refusal(f"{host.url}/x.png", allow_private=True)).startswith(message)
    assert len(host.asked) == (4 if target == "/x.png" else 1)


async def test_what_a_host_does_wrong_is_a_reason_and_not_a_crash(host: Host) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(200):
            handler.wfile.write(bytes(1_000_000))

    def announced(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "30000000")
        handler.end_headers()

    def breaks_off(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        handler.wfile.write(picture()[:100])

    host.served |= {"/endless": endless, "/announced": announced, "/breaks": breaks_off}
    host.served["/garbage"] = lambda handler: handler.wfile.write(b"\0\0\0\0") and None
    for path, message in {
        "/endless": "it has more than 30 MB; make it smaller",
        "/announced": "it has more than 30 MB; make it smaller",
        "/breaks": "it can't be fetched (RemoteProtocolError); check the link",
        "/garbage": "it can't be fetched (RemoteProtocolError); check the link",
        "/none": "its host answered 404; check the link, it may have expired",
    }.items():
        assert await refusal(f"{host.url}{path}", allow_private=True) == message
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/x"
        assert await refusal(closed, allow_private=True) == "it can't be fetched (ConnectError); check the link"


async def test_a_host_that_never_answers_ends_the_wait_and_not_the_run(host: Host) -> None:
    over = threading.Event()
    host.served["/slow"] = lambda handler: over.wait(60) and None
    with pytest.raises(BadInput, match=r"it did not arrive within 0\.3 s"):
        await links.fetch(f"{host.url}/slow", most_bytes=10, seconds=0.3, allow_private=True)
    over.set()


def certificate(folder: Path, name: str) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "own.pem").write_bytes(private + made.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "own.pem")
    return context


async def test_the_certificate_must_be_that_of_the_name_although_the_address_is_called(
    host: Host, tmp_path: Path, names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for: list[str | None] = []
    context = certificate(tmp_path, "pictures.test")
    context.sni_callback = lambda _, name, __: asked_for.append(name)
    host.speak_tls(context)
    host.served["/x.png"] = picture()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))
    links._certificates.cache_clear()
    try:
        names |= {"pictures.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]}
        await examine_picture(f"https://pictures.test:{host.port}/x.png", folder=None, allow_private=True)
        assert await refusal(f"https://other.test:{host.port}/x.png", allow_private=True) == (
            "it can't be fetched (ConnectError); check the link"
        )
    finally:
        links._certificates.cache_clear()
    assert asked_for == ["pictures.test", "other.test"]
    assert host.asked == [("/x.png", f"pictures.test:{host.port}")]


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
        full.wait(60)  # answers only when eight are waiting
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
    tall = board(f"{host.url}/small.png", crop=True).model_copy(
        update={"defaults": Storyboard.model_fields["defaults"].default.model_copy(update={"size": "480x864"})}
    )
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
    assert (source.kind, await source.read()) == ("store", picture())
    gone = await read(f"{url}/inbox/none.yaml", store=store)
    assert [problem.message for problem in gone.problems] == ["there is no such file; check the path of the storyboard"]
    await store.aclose()


async def test_a_source_can_be_read_from_another_event_loop(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(picture())
    source: PictureSource = await examine_picture("x.png", folder=Folder(str(tmp_path)))
    assert await asyncio.to_thread(lambda: asyncio.run(source.read())) == picture()
