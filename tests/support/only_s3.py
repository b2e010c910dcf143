"""`python -m tests.support.only_s3 PORT`: moto's S3 on loopback, who lends keys for it, and moto's own switches.

Moto's command has all of AWS, and finds out anew which service each request means: a third of what an answer costs.
And it answers side by side what it keeps in plain dictionaries: among ten thousand objects a list fails (500) whenever
an object is put meanwhile. Here requests are read side by side and answered one after the other. A list looks at what
lies below its prefix; moto's looks at all objects, so that a plan of ten thousand shots took it minutes.
"""

from __future__ import annotations

import io
import sys
import threading
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any

from moto.moto_server.werkzeug_app import create_backend_app
from moto.s3 import models
from werkzeug.serving import run_simple


class Sorted(models._VersionedKeyStore):  # type: ignore[misc]
    """The objects of a bucket, with their names in order."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __setitem__(self, name: str, version: Any) -> None:
        self._remember(name)
        super().__setitem__(name, version)

    def setlist(self, name: str, versions: Any) -> None:
        self._remember(name)
        super().setlist(name, versions)

    def pop(self, name: str) -> None:
        super().pop(name)
        del self.names[bisect_left(self.names, name)]

    def below(self, prefix: str) -> Iterator[tuple[str, Any]]:
        for at in range(bisect_left(self.names, prefix), len(self.names)):
            if not self.names[at].startswith(prefix):
                return
            yield self.names[at], self[self.names[at]]

    def _remember(self, name: str) -> None:
        if name not in self:
            insort(self.names, name)


EVERYTHING = models.S3Backend.list_objects


def _list_objects(self: models.S3Backend, bucket: Any, prefix: str | None, *how: Any, **more: Any) -> Any:
    found = SimpleNamespace(items=lambda: bucket.keys.below(prefix or ""))
    return EVERYTHING(self, SimpleNamespace(keys=found), prefix, *how, **more)


def main(port: int) -> None:
    models._VersionedKeyStore, models.S3Backend.list_objects = Sorted, _list_objects
    s3, keys, switches = (create_backend_app(name) for name in ("s3", "sts", "moto_api"))
    turn = threading.Lock()

    def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        meant = switches if path.startswith("/moto-api/") else keys if (method, path) == ("POST", "/") else s3
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        with turn:
            return meant(environ, start)

    run_simple("127.0.0.1", port, answer, threaded=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
