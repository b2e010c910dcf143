"""Files on disk or in S3: created exclusively, whole or not at all.

What they hold is not looked at here, but for what tells a store of real clips from one of pretend clips.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from prefect_seedance.errors import BadStore
from prefect_seedance.storage.local import LocalStore
from prefect_seedance.storage.signing import Signing
from prefect_seedance.storage.store import Store, is_address


def open_store(
    url: str | Path,
    *,
    key: str | None = None,
    secret: str | None = None,
    signing: Signing | None = None,
    endpoint_url: str | None = None,
    region: str | None = None,
    verify: bool | str | None = None,
    public_base_url: str | None = None,
) -> Store:
    """The store at *url*: a folder, or `s3://bucket/prefix` with keys from the standard AWS environment if not given.

    *signing* says which keys hold now, where they change. *verify* is False for a server whose certificate nobody
    checks, or the file of certificates to check it with.
    Nothing is written and nobody is asked yet. Raises `BadStore` for an address that is neither, and for a
    *public_base_url* from which nothing can be fetched.
    """
    place = str(url)
    if public_base_url and not _serves(public_base_url):
        raise BadStore(
            "A store is served from an address like https://host/path, without user, password, ? or #; nothing was "
            "submitted; correct the public base URL."
        )
    if place.startswith("s3://"):
        # s3fs costs a third of a second, which a store in a folder need not pay.
        from prefect_seedance.storage.s3 import S3Store

        return S3Store(
            place,
            key=key,
            secret=secret,
            signing=signing,
            endpoint_url=endpoint_url,
            region=region,
            verify=verify,
            public_base_url=public_base_url,
        )
    if not place or "://" in place:
        raise BadStore(f"A store is s3://bucket/prefix or a folder; {place.split('://')[0]!r} is neither.")
    try:
        folder = Path(place).expanduser().resolve()
        if folder.exists() and not folder.is_dir():
            raise BadStore(f"{folder} is a file; name a folder for the store.")
    except OSError as error:
        raise BadStore(f"{place} can't be looked at ({error.strerror}); correct its rights or its name.") from error
    except (RuntimeError, ValueError) as error:  # no such user's home, or a name with a null byte
        raise BadStore(f"{place!r} is no folder ({error}); correct its name.") from error
    return LocalStore(folder, public_base_url=public_base_url)


def _serves(url: str) -> bool:
    """Whether the paths of a store can be put behind *url*, for anybody to fetch."""
    return is_address(url) and not any(mark in url for mark in "?#\\") and "@" not in urlsplit(url).netloc
