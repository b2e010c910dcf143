"""A pretend Runpod: the same answers, real little MP4s, a bill in pretend dollars, and every misbehaviour on request.

    python -m prefect_seedance.emulator --port 8642 --speed 10

It listens on this machine only and says where on its first line. Beside the API it has `GET /bill`, `GET /calls`,
`POST /clock {"advance_seconds": n}`, `POST /faults [rule, …]` and `DELETE /faults`. Its clock runs `--speed` times as
fast as the wall's; a job takes `--latency` seconds of it, its record is forgotten after 30 minutes, its link after 7 days.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cyclopts
import uvicorn
from pydantic import TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from prefect_seedance import testcard
from prefect_seedance.pretend import faults as misbehaviour
