"""A store in an S3 bucket, or in anything that speaks S3 and honours `If-None-Match`."""

from __future__ import annotations

import asyncio
import os
import stat
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar

import s3fs
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, HTTPClientError

from prefect_seedance.errors import BadStore, Missing, SeedanceError, StoreUnavailable
from prefect_seedance.storage.processes import own_folder
from prefect_seedance.storage.s3_errors import NOT_ASKED, meaning, unavailable, unusable
from prefect_seedance.storage.s3_settings import connection, given, typed
from prefect_seedance.storage.signing import AwsKeys, Signing
from prefect_seedance.storage.store import (
    ABANDONED_SECONDS,
    DISK,
    BadPath,
    Leftover,
    Store,
    checked,
    kept_if_whole,
    public_link,
)
from prefect_seedance.storage.uploads import (
    PART,
    PIECE,
    SLOW_LINE,
    SMALL_SECONDS,
    UPLOADS_AT_ONCE,
    WHOLE_SECONDS,
    filled,
    in_thread,
    opened,
    piece_of,
    put_parts,
    soon,
    upload_seconds,
    uploads_older_than,
)

T = TypeVar("T")

SMALL_AT_ONCE = 64  # calls whose time is limited; more would spend it waiting for each other


class S3Store(Store):
    """Calls go to the one S3 loop that s3fs keeps in a thread, from whatever event loop they come.

    They use the client below s3fs: s3fs itself repeats a lost PUT five more times and hides which answer came.
    *patience* says how many times the usual a whole file may take, up, down or across.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        secret: str | None = None,
        signing: Signing | None = None,
        endpoint_url: str | None = None,
        region: str | None = None,
        verify: bool | str | None = None,
        public_base_url: str | None = None,
        patience: float = 1.0,
    ) -> None:
        bucket, _, prefix = url.removeprefix("s3://").rstrip("/").partition("/")
        if not bucket or "@" in bucket or ":" in bucket:
            raise BadStore("A store on S3 is s3://bucket/prefix, without keys; they come from the AWS environment.")
        try:
            self._prefix = checked(prefix) + "/" if prefix else ""
        except ValueError:
            raise BadStore(f"{prefix!r} can't be the prefix of a store; use plain names with / between them.") from None
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self.public_base_url = public_base_url
        self._bucket = bucket
        self._s3fs = s3fs.S3FileSystem(
            key=key or None,
            secret=secret or None,
            endpoint_url=endpoint_url or None,
            client_kwargs=given(region_name=region or None, verify=verify),
            config_kwargs=connection(endpoint_url),
            use_listings_cache=False,
            skip_instance_cache=True,
        )
        self._signing = signing
        self._keys: AwsKeys | None = None
        self._patience = patience
        self._uploads = asyncio.Semaphore(UPLOADS_AT_ONCE)
        self._turns = asyncio.Semaphore(SMALL_AT_ONCE)

    async def _create(self, path: str, content: bytes) -> None:
        async def put(s3: Any) -> None:
            await soon(s3.put_object(**self._at(path), Body=content, IfNoneMatch="*"))

        await self._ask(path, put)

    async def write(self, path: str, content: bytes, content_type: str | None = None) -> None:
        async def put(s3: Any) -> None:
            within = SMALL_SECONDS + len(content) / SLOW_LINE
            await soon(s3.put_object(**self._at(path), Body=content, **typed(content_type)), within)

        await self._ask(path, put)

    async def read(self, path: str, most_bytes: int = -1) -> bytes:
        async def get(s3: Any) -> bytes:
            body = (await soon(s3.get_object(**self._at(path))))["Body"]
            async with body:
                content, most = bytearray(), float("inf") if most_bytes < 0 else most_bytes
                while piece := await soon(piece_of(body, int(min(PIECE, most - len(content))))):
                    content += piece
                return bytes(content)

        return await self._ask(path, get)

    async def exists(self, path: str) -> bool:
        try:
            await self._head(path)
        except Missing:
            return False
        return True

    async def _head(self, path: str) -> dict[str, Any]:
        async def head(s3: Any) -> dict[str, Any]:
            return dict(await soon(s3.head_object(**self._at(path))))

        return await self._ask(path, head)

    async def names(self, folder: str) -> list[str]:
        below = f"{self._prefix}{checked(folder)}/" if folder else self._prefix

        async def list_pages(s3: Any) -> set[str]:
            found: set[str] = set()
            listing = s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=below, Delimiter="/")
            pages = aiter(listing)
            while page := await soon(anext(pages, None)):
                found |= {entry["Key"] for entry in page.get("Contents", ())}
                found |= {entry["Prefix"].rstrip("/") for entry in page.get("CommonPrefixes", ())}
            return found

        names = {key.removeprefix(below) for key in await self._ask(folder, list_pages)}
        return sorted(name for name in names if name and not name.startswith("."))

    async def delete(self, path: str) -> None:
        async def delete(s3: Any) -> None:
            await soon(s3.delete_object(**self._at(path)))

        with suppress(Missing):
            await self._ask(path, delete)

    async def put(
        self, local: Path, path: str, content_type: str | None = None, *, on_turn: Callable[[], None] | None = None
    ) -> None:
        async def upload(s3: Any) -> None:
            async with self._uploads, opened(local, "rb") as file:
                if on_turn is not None:
                    on_turn()
                part = bytearray(PART)
                if await filled(part, file) < PART:
                    sending = s3.put_object(**self._at(path), Body=bytes(part), **typed(content_type))
                    await soon(sending, self._patience * upload_seconds(len(part)))
                else:
                    await put_parts(s3, self._at(path), part, file, typed(content_type), self._patience)

        await self._ask(path, upload, large=True)

    async def fetch(self, path: str, local: Path) -> None:
        async def download(s3: Any) -> None:
            within = self._patience * (SMALL_SECONDS + PIECE / SLOW_LINE)
            with kept_if_whole(local):
                body = (await soon(s3.get_object(**self._at(path)), within))["Body"]
                async with body, opened(local, "wb") as file:
                    while piece := await soon(piece_of(body), within):
                        await in_thread(file.write, piece)

        await self._ask(path, download, large=True)

    async def copy(self, source: str, target: str) -> None:
        async def copy(s3: Any) -> None:
            await soon(s3.copy_object(**self._at(target), CopySource=self._at(source)), self._patience * WHOLE_SECONDS)

        await self._ask(source, copy, large=True)

    async def link(self, path: str, seconds: int) -> str | None:
        if self.public_base_url:
            return public_link(self.public_base_url, path)

        async def sign(s3: Any) -> str:
            return str(await s3.generate_presigned_url("get_object", Params=self._at(path), ExpiresIn=seconds))

        return await self._ask(path, sign)

    async def age(self, path: str) -> float:
        answer = await self._head(path)
        try:
            passed = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"]) - answer["LastModified"]
        except (KeyError, ValueError) as error:
            raise StoreUnavailable(f"{self.url} does not tell the time, so the age of {path} is not known.") from error
        return max(0.0, float(passed.total_seconds()))

    def scratch(self) -> Path:
        parent = Path(tempfile.gettempdir()) / f"prefect-seedance-{os.getuid()}"
        with suppress(FileExistsError):
            parent.mkdir(mode=0o700)
        found = parent.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise BadStore(f"{parent} belongs to somebody else; set TMPDIR to a folder of your own.")
        return own_folder(parent)

    async def leftovers(self) -> list[Leftover]:
        """Uploads in parts that were begun a day ago, by the clock of the store, and never ended. None is a file."""

        async def begun_long_ago(s3: Any) -> list[dict[str, Any]]:
            return await uploads_older_than(ABANDONED_SECONDS, s3, self._bucket, self._prefix)

        return [self._upload(upload) for upload in await self._ask("", begun_long_ago)]

    def _upload(self, upload: dict[str, Any]) -> Leftover:
        path = upload["Key"].removeprefix(self._prefix)

        async def abort(s3: Any) -> None:
            place = {"Bucket": self._bucket, "Key": upload["Key"], "UploadId": upload["UploadId"]}
            await soon(s3.abort_multipart_upload(**place))

        async def discard() -> None:
            with suppress(Missing):
                await self._ask(path, abort)

        return Leftover(f"unfinished upload of {path}, begun {upload['Initiated']:%Y-%m-%d}", discard)

    async def delete_folder(self, folder: str) -> None:
        below = f"{self._prefix}{checked(folder)}/"

        async def keys_below(s3: Any) -> list[str]:
            found: list[str] = []
            pages = aiter(s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=below))
            while page := await soon(anext(pages, None)):
                found += [entry["Key"] for entry in page.get("Contents", ())]
            return found

        keys = await self._ask(folder, keys_below)
        await asyncio.gather(*(self.delete(key.removeprefix(self._prefix)) for key in keys))

    async def aclose(self) -> None:
        async def close(s3: Any) -> None:
            self._s3fs._s3 = None
            await s3.close()

        if self._s3fs._s3 is not None:
            await self._ask("", close)

    def _at(self, path: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + checked(path)}

    async def _ask(self, path: str, work: Callable[[Any], Awaitable[T]], *, large: bool = False) -> T:
        """Have the S3 loop do *work* with the client. What is *large* may take its time and waits for no turn."""
        asking = self._answer(path, work) if large else self._in_turn(path, work)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asking, self._s3fs.loop))

    async def _in_turn(self, path: str, work: Callable[[Any], Awaitable[T]]) -> T:
        async with self._turns:  # so that the time that `soon` allows is not spent in a queue
            return await self._answer(path, work)

    async def _answer(self, path: str, work: Callable[[Any], Awaitable[T]]) -> T:
        try:
            s3 = await self._client()
        except ClientError as error:  # of who gives the keys
            raise meaning(self.url, path, error) from error
        except (EndpointConnectionError, HTTPClientError) as error:
            raise unavailable(self.url, path, str(error)) from error
        except (BotoCoreError, ValueError) as error:
            raise unusable(self.url, error) from error
        except SeedanceError:
            raise
        except Exception as error:  # from an answer that can't be read, or for want of a thread
            raise unavailable(self.url, path, str(error) or type(error).__name__) from error
        try:
            return await work(s3)
        except (SeedanceError, BadPath):
            raise
        except ClientError as error:
            raise meaning(self.url, path, error) from error
        except NOT_ASKED as error:
            raise unusable(self.url, error) from error
        except FileNotFoundError as error:
            raise Missing(f"There is no file {error.filename}.") from error
        except Exception as error:  # the client's readers of answers raise whatever comes to them
            raise unavailable(self.url, path, str(error) or type(error).__name__) from error

    async def _client(self) -> Any:
        """The client below s3fs, made anew when the keys have changed; what is under way keeps the one it has."""
        if self._signing is None:
            return await self._s3fs.set_session()
        keys = await asyncio.get_running_loop().run_in_executor(DISK, self._signing)
        changed, self._keys = keys != self._keys, keys
        self._s3fs.key, self._s3fs.secret, self._s3fs.token = keys.key, keys.secret, keys.token
        return await self._s3fs.set_session(refresh=changed and self._s3fs._s3 is not None)
