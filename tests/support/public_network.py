"""Run in a network of its own: a host at a public address of this machine gives a clip and redirects inwards."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import struct
import sys
from pathlib import Path

from prefect_seedance.errors import DownloadFailed
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from tests.support.web_host import Host, certificate

PUBLIC = "93.184.216.34"


def lend_address() -> None:
    """Make `PUBLIC` an address of the loopback interface (SIOCSIFADDR, SIOCSIFFLAGS)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        family = struct.pack("16sH2s4s8x", b"lo", socket.AF_INET, b"", socket.inet_aton(PUBLIC))
        fcntl.ioctl(control, 0x8916, family)
        fcntl.ioctl(control, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))


async def main(folder: Path) -> None:
    lend_address()
    host = Host(PUBLIC, 443)
    host.speak_tls(certificate(folder, "media.test"))
    host.served |= {"/clip.mp4": b"the clip", "/inward": f"https://127.0.0.1:{host.port}/clip.mp4"}
    os.environ["SSL_CERT_FILE"] = str(folder / "own.pem")
    socket.getaddrinfo = lambda name, port, *_, **__: [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (PUBLIC if name == "media.test" else str(name), port))
    ]
    try:
        async with RunpodClient(Account("k", "https://api.runpod.ai/v2")) as client:
            await client.download("https://media.test/clip.mp4", folder / "clip.mp4")
            sys.stdout.write(f"{(folder / 'clip.mp4').read_text()}\n{host.asked}\n")
            try:
                await client.download("https://media.test/inward", folder / "second.mp4")
            except DownloadFailed as error:
                known = "nothing was asked there or kept"
                sys.stdout.write(f"DownloadFailed {known if known in str(error) else error}\n{host.asked}\n")
    finally:
        host.stop()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
