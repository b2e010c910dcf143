"""`python -m tests.support.only_s3 PORT`: moto's S3 on loopback, who lends keys for it, and moto's own switches.

Moto's command has all of AWS, and finds out anew which service each request means: a third of what an answer costs.
And it answers side by side what it keeps in plain dictionaries: among ten thousand objects a list fails (500) whenever
an object is put meanwhile. Here requests are read side by side and answered one after the other.
"""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterable
from typing import Any

from moto.moto_server.werkzeug_app import create_backend_app
from werkzeug.serving import run_simple


def main(port: int) -> None:
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
