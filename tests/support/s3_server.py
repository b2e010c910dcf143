"""A real S3 server for tests (moto, in a process of its own, on loopback), and a bad line to it."""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.support.processes import free_port


class RunningS3:
    """Empty at the start, gone at the end. Any keys are good. Writes a line for each request to *log*, if given."""

    def __init__(self, log: Path | None = None) -> None:
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._log = log or Path(os.devnull)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to find this server and no other."""
        return {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def start(self) -> RunningS3:
        command = [sys.executable, "-m", "tests.support.only_s3", str(self._port)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, env={**os.environ, **self.environment}, stdout=subprocess.DEVNULL, stderr=log
            )
        deadline = time.monotonic() + 120
        while True:
            try:
                httpx.get(self.endpoint_url, timeout=10, verify=False)
                return self
            except httpx.TransportError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise RuntimeError("the S3 server for tests did not start") from None
                time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def new_bucket(self) -> str:
        """The name of an empty bucket that nobody else uses."""
        return self.make_bucket(f"bucket-{secrets.token_hex(6)}")

    def make_bucket(self, name: str) -> str:
        """Make sure that the bucket *name* is there."""
        httpx.put(f"{self.endpoint_url}/{name}", verify=False).raise_for_status()
        return name


class Line:
    """A line to the S3 server that a test can make a bad one. What it is silent at gets not even a "continue"."""

    def __init__(self, server: RunningS3) -> None:
        self.strips_conditions = False
        self.connections = 0
        self.answers_to_drop = 0
        self.breaks_after: int | None = None
        self.answer_instead: tuple[int, str] | None = None
        self.on_request: Callable[[str, str], None] = lambda method, path: None
        self.silent_at: Callable[[str, str], bool] = lambda method, path: False
        self.trickles = False
        self._ended = threading.Event()
        self.signed_with: list[tuple[str, str | None]] = []
        target, line = urlsplit(server.endpoint_url).netloc, self

        class Passing(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self) -> None:
                line.connections += 1
                try:
                    with contextlib.suppress(ConnectionError):  # who asked may have been killed
                        super().handle()
                finally:
                    line.connections -= 1

            def handle_expect_100(self) -> bool:
                self.keep_silent()
                return super().handle_expect_100()

            def keep_silent(self) -> None:
                if line.silent_at(self.command, self.path):
                    line._ended.wait()

            def pass_on(self) -> None:
                self.keep_silent()
                sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                line.on_request(self.command, self.path)
                line.signed_with.append(_keys_of(self.headers.get("Authorization", ""), self.headers))
                headers = dict(self.headers.items())
                if line.strips_conditions:
                    headers.pop("If-None-Match", None)
                if line.answer_instead:
                    status, code = line.answer_instead
                    return self.give(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())
                server = http.client.HTTPConnection(target)
                server.request(self.command, self.path, sent, headers)
                answer = server.getresponse()
                body = answer.read()
                server.close()
                if self.command == "PUT" and line.answers_to_drop > 0:
                    line.answers_to_drop -= 1
                    self.close_connection = True
                    return None
                return self.give(answer.status, body, answer.getheaders())

            def give(self, status: int, body: bytes, headers: list[tuple[str, str]] | None = None) -> None:
                self.send_response_only(status)
                own = ("content-length", "connection", "transfer-encoding")
                for name, value in headers or ():
                    if name.lower() not in own:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                while line.trickles and not line._ended.wait(0.01):
                    self.wfile.write(b"x")
                if self.command != "HEAD":
                    self.wfile.write(body[: line.breaks_after])
                    self.close_connection = line.breaks_after is not None

            def log_message(self, *_: object) -> None:
                pass

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on  # noqa: N815

        self._listener = ThreadingHTTPServer(("127.0.0.1", 0), Passing)
        self._listener.daemon_threads = True
        self.endpoint_url = f"http://127.0.0.1:{self._listener.server_port}"
        threading.Thread(target=self._listener.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._ended.set()
        self._listener.shutdown()
        self._listener.server_close()


def _keys_of(authorization: str, headers: Message) -> tuple[str, str | None]:
    """The key that a request was signed with, and the token of its session."""
    return authorization.partition("Credential=")[2].partition("/")[0], headers.get("X-Amz-Security-Token")
