"""Large files on their way to S3 in parts, and how long S3 may take for small ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from email.utils import parsedate_to_datetime
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from prefect_seedance.storage.store import DISK

T = TypeVar("T")

PART = 8 * 2**20  # 1 GB in parts of this size takes 22 MB of memory
PIECE = 2**18
CONNECT_SECONDS, READ_SECONDS = 5, 10
SLOW_LINE = 2**17  # bytes a second that even a bad line manages
SMALL_SECONDS = CONNECT_SECONDS + READ_SECONDS
"""How long a record, a listing's page or a piece of a file may take, so that a store that hangs is noticed."""
WHOLE_SECONDS = 300.0
"""How long S3 may take to copy a file or to join its parts: minutes, its manual says, however fast the line is."""
UPLOADS_AT_ONCE = 4
"""Each holds one part in memory, and all share the line."""


async def put_parts(
    s3: Any, place: dict[str, str], part: bytearray, file: BufferedReader, kind: dict[str, str], patience: float
) -> None:
    """Send *file*, of which *part* was read already, to the bucket and key of *place*: whole or not at all.

    Memory holds one part. *kind* is the content type as an argument of S3, *patience* that of the store.
    """
    upload = await soon(_begun(s3, place, kind), patience * SMALL_SECONDS)
    try:
        parts: list[dict[str, Any]] = []
        while part:
            sending = s3.upload_part(**upload, PartNumber=len(parts) + 1, Body=bytes(part))
            answer = await soon(sending, patience * upload_seconds(len(part)))
            parts.append({"PartNumber": len(parts) + 1, "ETag": answer["ETag"]})
            await filled(part, file)
        joining = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        await soon(joining, patience * WHOLE_SECONDS)
    except BaseException:
        with suppress(BotoCoreError, ClientError, TimeoutError):
            await soon(s3.abort_multipart_upload(**upload), patience * SMALL_SECONDS)
        raise


def upload_seconds(size: int) -> float:
    """How long *size* bytes may take to S3, on a bad line that as many uploads share as there may be."""
    return SMALL_SECONDS + UPLOADS_AT_ONCE * size / SLOW_LINE


async def _begun(s3: Any, place: dict[str, str], kind: dict[str, str]) -> dict[str, str]:
    """An upload in parts. Files of this size always come here: who sends one again ends what a dead writer left."""
    await _abort_leftovers(s3, place)
    return {**place, "UploadId": (await s3.create_multipart_upload(**place, **kind))["UploadId"]}


async def _abort_leftovers(s3: Any, place: dict[str, str]) -> None:
    # Not every account may list or end uploads. What stays then costs storage, but nobody ever sees it as a file.
    with suppress(ClientError):
        found = await s3.list_multipart_uploads(Bucket=place["Bucket"], Prefix=place["Key"])
        for upload in found.get("Uploads", ()):
            if upload["Key"] == place["Key"]:
                await s3.abort_multipart_upload(**place, UploadId=upload["UploadId"])


async def uploads_older_than(seconds: float, s3: Any, bucket: str, prefix: str) -> list[dict[str, Any]]:
    """The uploads below *prefix* that were begun so long ago, by the clock of the server, and never ended.

    As S3 lists them: `Key`, `UploadId`, `Initiated`.
    """
    found: list[dict[str, Any]] = []
    pages = aiter(s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix))
    with suppress(ClientError):  # not every account may list uploads
        while page := await soon(anext(pages, None)):
            now = parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"])
            uploads = page.get("Uploads", ())
            found += [up for up in uploads if (now - up["Initiated"]).total_seconds() > seconds]
    return found


async def soon(asking: Awaitable[T], within: float = SMALL_SECONDS) -> T:
    """The answer, if it comes *within* so many seconds, the client's own repetitions included; else `TimeoutError`."""
    try:
        async with asyncio.timeout(within):
            return await asking
    except TimeoutError as error:
        raise TimeoutError(f"no answer within {within:.0f} s") from error


async def piece_of(body: Any, most: int = PIECE) -> bytes:
    """The next *most* bytes of an answer's *body*, or what is left of it. A trickle does not pass for progress."""
    piece = bytearray()
    while len(piece) < most and (came := await body.read(most - len(piece))):
        piece += came
    return bytes(piece)


async def in_thread(work: Callable[[Any], T], argument: Any) -> T:
    """Do *work* beside the S3 loop, which no slow disk may hold up."""
    return await asyncio.get_running_loop().run_in_executor(DISK, work, argument)


async def filled(part: bytearray, file: BufferedReader) -> int:
    """Read on into *part*, shorten it at the end of *file*, and return its length. Uses the same memory each time."""
    length = await in_thread(file.readinto, part)
    del part[length:]
    return length


@asynccontextmanager
async def opened(local: Path, mode: str) -> AsyncIterator[Any]:
    file = await in_thread(local.open, mode)
    try:
        yield file
    finally:
        file.close()
