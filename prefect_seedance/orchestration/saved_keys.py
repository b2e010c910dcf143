"""AWS credentials that were saved with prefect-aws, as a store takes them. Only who uses them needs prefect-aws."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from prefect_seedance.errors import BadStore
from prefect_seedance.storage.signing import AwsKeys, Signing

if TYPE_CHECKING:
    SavedKeys = Any
else:
    try:
        from prefect_aws import AwsCredentials, MinIOCredentials
    except ImportError:
        SavedKeys = Any
    else:
        SavedKeys = MinIOCredentials | AwsCredentials  # in this order: all fields of the second are optional

RENEWED_AFTER = 600.0
"""Seconds; the keys of a role live for 900 at least."""


def signing_of(credentials: SavedKeys, *, renewed_after: float = RENEWED_AFTER) -> Signing:
    """The keys of *credentials*, asked for again after so many seconds: those of a role are good for an hour only.

    Raises `BadStore` where prefect-aws is not installed, so that nobody here knows what they are.
    """
    if not hasattr(credentials, "get_boto3_session"):
        raise BadStore(
            "This store names saved AWS credentials, and prefect-aws is not installed here; nothing was submitted; "
            "pip install 'prefect-seedance[aws]'."
        )
    one_at_a_time = threading.Lock()
    session, renewed = None, 0.0

    def keys() -> AwsKeys:
        nonlocal session, renewed
        with one_at_a_time:
            if session is None or time.monotonic() - renewed > renewed_after:
                session, renewed = credentials.get_boto3_session(), time.monotonic()
            found = session.get_credentials()
        if found is None:
            raise ValueError("the saved AWS credentials have no keys, and neither has the worker's environment")
        frozen = found.get_frozen_credentials()
        return AwsKeys(frozen.access_key, frozen.secret_key, frozen.token)

    return keys
