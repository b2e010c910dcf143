"""Memory of moving a clip of 1 GB from the media host into a bucket, above the same process when idle."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.s3_server import RunningS3

GIGABYTE = 2**30

PROGRAM = """
import asyncio, hashlib, resource, sys
from pathlib import Path
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage import open_store

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

async def main(link, bucket, scratch):
    store = open_store(bucket)
    await store.write("probe", b"x")
    async with RunpodClient(Account("k", "http://127.0.0.1:1/v2")) as client:
        idle = peak()
        await client.download(link, Path(scratch))
        downloaded = peak()
        await store.put(Path(scratch), "clips/large.mp4")
    await store.aclose()
    print(f"idle {idle:.0f} MB, downloaded +{downloaded - idle:.0f} MB, uploaded +{peak() - idle:.0f} MB")

asyncio.run(main(*sys.argv[1:]))
"""


def run() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large.mp4"
        with large.open("wb") as file:
            file.truncate(GIGABYTE)
        host = subprocess.Popen(
            [sys.executable, "-c", HOST, folder], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        server = RunningS3().start()
        try:
            assert host.stdout is not None
            link = f"http://127.0.0.1:{host.stdout.readline().strip()}/large.mp4"
            yield subprocess.check_output(
                [sys.executable, "-c", PROGRAM, link, f"s3://{server.new_bucket()}/x", f"{folder}/scratch"],
                env={**server.environment, "PATH": ""},
                text=True,
            ).strip()
        finally:
            host.terminate()
            server.stop()


HOST = """
import http.server, functools, sys
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""
