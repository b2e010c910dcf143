"""A server that keeps every byte it is sent, to see what leaves and on which connection."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any


class RawServer:
    """Counts connections and keeps what arrives on each; answers as a fake API does, and keeps connections open."""

    def __init__(self) -> None:
        self.received: list[bytearray] = []

    async def __aenter__(self) -> RawServer:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.base_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v2"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken = bytearray()
        self.received.append(taken)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):  # cancelled with the test's loop
            while piece := await reader.read(65536):
                taken += piece
                answer = json.dumps(self.answer(bytes(piece))).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
        writer.close()

    def answer(self, request: bytes) -> dict[str, Any]:
        """As an API that echoes what it was asked, and whose jobs fail."""
        echoed = {"input": {"image": "https://secret-link"}, "webhook": "https://secret-link"}
        state = "IN_QUEUE" if request.startswith(b"POST") else "FAILED"
        return {"id": "job-u1", "status": state, "error": "no luck", **echoed}
