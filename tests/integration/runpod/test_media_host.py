"""A real account's clips come by https from the public internet, wherever links lead; a pretend one's from here."""

from __future__ import annotations

import contextlib
import gzip
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest

from prefect_seedance.errors import DownloadFailed
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.runpod.connections import certificates
from prefect_seedance.runpod.public_only import PublicOnly
from tests.support.web_host import Host

REAL = Account("k", "https://api.runpod.ai/v2")


@pytest.fixture
def host() -> Iterator[Host]:
    running = Host()
    running.served["/clip.mp4"] = b"a secret of this network"
    yield running
    running.stop()


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        ("http://127.0.0.1:{port}/clip.mp4", "is no plain https link"),
        ("https://me:word@127.0.0.1:{port}/clip.mp4", "is no plain https link"),
        ("https://127.0.0.1:{port}/clip.mp4", "is not on the public internet"),
        ("https://localhost:{port}/clip.mp4", "is not on the public internet"),
        ("https://[::ffff:127.0.0.1]:{port}/clip.mp4", "is not on the public internet"),
        ("https://169.254.169.254/latest/meta-data", "is not on the public internet"),
    ],
)
async def test_a_private_host_is_never_asked_for_a_real_clip(
    host: Host, tmp_path: Path, link: str, reason: str
) -> None:
    async with RunpodClient(REAL) as client:
        with pytest.raises(DownloadFailed, match=reason):
            await client.download(link.format(port=host.port), tmp_path / "clip.mp4")
    assert host.asked == []
    assert (tmp_path / "clip.mp4").read_bytes() == b""


@pytest.mark.parametrize("where", ["http://127.0.0.1:{port}/clip.mp4", "https://10.0.0.1/clip.mp4"])
async def test_each_step_of_a_redirect_is_checked(host: Host, where: str) -> None:
    def media(_: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"Location": where.format(port=host.port)})

    mounts = {"https://media.test": httpx.MockTransport(media)}
    transport = PublicOnly(certificates())
    async with httpx.AsyncClient(transport=transport, mounts=mounts, follow_redirects=True) as client:
        with pytest.raises(DownloadFailed, match="nothing was asked there or kept"):
            await client.get("https://media.test/clip.mp4")
    assert host.asked == []


async def test_a_pretend_clip_comes_from_this_machine(host: Host, tmp_path: Path) -> None:
    host.served["/moved"] = "/clip.mp4"
    async with RunpodClient(Account("k", "http://127.0.0.1:1/v2")) as client:
        await client.download(f"{host.url}/moved", tmp_path / "clip.mp4")
    assert (tmp_path / "clip.mp4").read_bytes() == b"a secret of this network"


@pytest.mark.parametrize(("coding", "kept"), [("gzip, gzip", False), ("br", False), ("aws-chunked", True)])
async def test_a_clip_that_comes_packed_is_not_unpacked(host: Host, tmp_path: Path, coding: str, kept: bool) -> None:
    clip = gzip.compress(gzip.compress(bytes(2**20)))

    def packed(asked: BaseHTTPRequestHandler) -> None:
        asked.send_response(200)
        asked.send_header("Content-Encoding", coding)
        asked.end_headers()
        asked.wfile.write(clip)

    host.served["/packed.mp4"] = packed
    async with RunpodClient(Account("k", "http://127.0.0.1:1/v2")) as client:
        with contextlib.nullcontext() if kept else pytest.raises(DownloadFailed, match=r"packed.*fetched again later"):
            await client.download(f"{host.url}/packed.mp4", tmp_path / "clip.mp4")
    assert (tmp_path / "clip.mp4").read_bytes() == (clip if kept else b"")
    assert len(host.asked) == 1


def test_a_clip_of_the_public_internet_comes_from_an_address_that_was_checked(tmp_path: Path) -> None:
    """In a network of its own, where a public address is this machine: by name, with the certificate of the name."""
    own_network = ["unshare", "--user", "--map-root-user", "--net"]
    if subprocess.run([*own_network, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lends nobody a network of their own")
    ended = subprocess.run(
        [*own_network, sys.executable, "-m", "tests.support.public_network", tmp_path],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.stdout.splitlines() == [
        "the clip",
        "[('/clip.mp4', 'media.test')]",
        "DownloadFailed nothing was asked there or kept",
        "[('/clip.mp4', 'media.test'), ('/inward', 'media.test')]",
    ], ended.stderr
