"""A web server on loopback with pictures, and what is said when one of them is refused."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from prefect_seedance.errors import BadInput
from prefect_seedance.sources.images import examine_picture


def picture(width: int = 960, height: int = 640, kind: str = "PNG", mode: str = "RGB", **saved: Any) -> bytes:
    """A picture whose left half is dark and whose right half is light."""
    image = Image.new("L", (width, height), 40)
    image.paste(200, (width // 2, 0, width, height))
    target = BytesIO()
    image.convert(mode).save(target, kind, **saved)
    return target.getvalue()


class Host:
    """A web server on loopback that remembers what it was asked."""

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
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

        self._server = ThreadingHTTPServer((address, port), Handler)
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


async def refusal(location: str, **where: Any) -> str:
    with pytest.raises(BadInput) as refused:
        await examine_picture(location, **{"folder": None} | where)
    return str(refused.value)
