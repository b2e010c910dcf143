"""How S3 is asked: what botocore is told about a server, and the arguments of a call."""

from __future__ import annotations

import os
from typing import Any

from prefect_seedance.storage.uploads import CONNECT_SECONDS


def given(**settings: Any) -> dict[str, Any]:
    """The *settings* that somebody has made."""
    return {name: value for name, value in settings.items() if value is not None}


def connection(endpoint_url: str | None) -> dict[str, Any]:
    """The settings of botocore for AWS itself, or for a server of another make at *endpoint_url*."""
    chosen: dict[str, Any] = {
        "max_pool_connections": 128,  # the usual 10 make a thousand waits four times slower
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": 60,  # of large files; of small ones see `soon`
        "retries": {"mode": "standard", "total_max_attempts": 3},
        "signature_version": "s3v4",  # links are signed the old way otherwise, which most regions refuse
        "s3": {"addressing_style": "auto"},
    }
    if endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"):
        # Servers of other makes seldom have a host name per bucket, and some refuse checksums they were not asked for.
        chosen["s3"] = {"addressing_style": "path"}
        chosen["request_checksum_calculation"] = chosen["response_checksum_validation"] = "when_required"
    return chosen


def typed(content_type: str | None) -> dict[str, str]:
    """The argument of a PUT that says what the content is; none leaves it to S3."""
    return {"ContentType": content_type} if content_type else {}
