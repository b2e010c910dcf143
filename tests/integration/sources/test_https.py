"""A link that a stranger wrote is followed to the public internet or not at all."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from prefect_seedance.errors import BadInput
from prefect_seedance.sources import https
from prefect_seedance.sources.images import examine_picture
from prefect_seedance.sources.public_internet import is_public
from tests.support.pictures import picture
from tests.support.web_host import Host, certificate, refusal


@pytest.fixture
def host() -> Iterator[Host]:
    running = Host()
    yield running
    running.stop()


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
    assert is_public(address) is public


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
    host.served["/garbage"] = lambda handler: handler.wfile.write(b"\0\0\0\0")
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
    host.served["/slow"] = lambda _: over.wait(60)
    with pytest.raises(BadInput, match=r"it did not arrive within 0\.3 s"):
        await https.fetch(f"{host.url}/slow", most_bytes=10, seconds=0.3, allow_private=True)
    over.set()


async def test_the_certificate_must_be_that_of_the_name_although_the_address_is_called(
    host: Host, tmp_path: Path, names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for: list[str | None] = []
    context = certificate(tmp_path, "pictures.test")
    context.sni_callback = lambda _, name, __: asked_for.append(name)
    host.speak_tls(context)
    host.served["/x.png"] = picture()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))
    https._certificates.cache_clear()
    try:
        names |= {"pictures.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]}
        await examine_picture(f"https://pictures.test:{host.port}/x.png", folder=None, allow_private=True)
        assert await refusal(f"https://other.test:{host.port}/x.png", allow_private=True) == (
            "it can't be fetched (ConnectError); check the link"
        )
    finally:
        https._certificates.cache_clear()
    assert asked_for == ["pictures.test", "other.test"]
    assert host.asked == [("/x.png", f"pictures.test:{host.port}")]
