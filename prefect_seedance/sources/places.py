"""Where the files of a storyboard lie: beside it, in its bucket or at a link. Nothing else can be read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from prefect_seedance.errors import BadInput, BadStore, Missing
from prefect_seedance.sources.folder import Folder, bucket_of, inside
from prefect_seedance.storage.store import Store
from prefect_seedance.text import printable, without_credentials

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://|data:")


@dataclass(frozen=True)
class Place:
    """Where one file lies. A `location` inside of *folder*, or a link."""

    kind: Literal["local", "store", "https"]
    location: str = field(repr=False)  # a link may be a secret while it lives
    folder: Folder | None = field(default=None, repr=False, compare=False)
    allow_private: bool = field(default=False, repr=False)

    @property
    def shown(self) -> str:
        """The place for people: a path, s3:// or https:// without its query."""
        if self.kind == "store" and self.folder:
            return f"{self.folder.url}/{self.location}"
        return without_credentials(self.location)

    async def read(self, most_bytes: int) -> bytes:
        """What lies there, or `BadInput` with the reason and the remedy."""
        if self.folder is None:
            from prefect_seedance.sources.https import fetch

            return await fetch(self.location, most_bytes=most_bytes, allow_private=self.allow_private)
        try:
            return await self.folder.read(self.location, most_bytes)
        except Missing as error:
            raise BadInput("there is no such file; check the path") from error
        except BadStore as error:
            raise BadInput(f"it can't be read; {error}") from error

    async def read_again(self, most_bytes: int, sha256: str, remedy: str) -> bytes:
        """What was checked, by its hash; `BadInput` with the *remedy* if something else lies there by now."""
        content = await self.read(most_bytes)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise BadInput(f"{self.shown} has changed since it was checked; {remedy}")
        return content


def place_of(
    location: str, folder: Folder | None, roots: Sequence[Folder] = (), *, allow_private: bool = False
) -> Place:
    """The place that *location* names: inside *folder*, on S3 below one of *roots*, or a link; else `BadInput`."""
    scheme = SCHEME.match(location)
    if not scheme:
        if folder is None:
            raise BadInput("a storyboard without a file has no folder beside it; give an s3:// object or a link")
        return Place("store" if folder.bucket else "local", inside(location), folder)
    match (scheme[1] or "data").lower():
        case "http" | "https":
            return Place("https", location, None, allow_private)
        case "s3":
            for root in roots:
                if location.startswith(f"{root.url}/"):
                    return Place("store", inside(location.removeprefix(f"{root.url}/")), root)
            if folder and folder.own:
                raise BadInput("it is not part of this delivery; drop it in one folder with the storyboard")
            raise BadInput("it lies in a bucket that is not the storyboard's; copy it beside the storyboard")
        case other:
            raise BadInput(f"{printable(other, 20)}: is not read; give a file beside the storyboard, s3:// or https://")


def roots_of(folder: Folder | None, store: Store | None) -> list[Folder]:
    """Below what a storyboard in *folder* that is rendered into *store* may read objects of a bucket."""
    if folder and folder.own:
        return [folder]
    buckets = {folder and folder.bucket, store and bucket_of(store.url)} - {None}
    whole_buckets = [Folder(f"s3://{bucket}") for bucket in sorted(map(str, buckets))]
    return [Folder(store.url, store), *whole_buckets] if store else whole_buckets
