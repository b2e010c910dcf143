"""What an answer of S3 means for a store: to be corrected by a person, an answer in itself, or passing trouble."""

from __future__ import annotations

from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)

from prefect_seedance.errors import BadStore, Missing, SeedanceError, StoreUnavailable, Taken

MISSING = {"NoSuchKey", "NoSuchUpload", "404"}
TO_BE_CORRECTED = {
    *("301", "400", "401", "403", "AccessDenied", "AllAccessDisabled", "InvalidAccessKeyId", "SignatureDoesNotMatch"),
    *("ExpiredToken", "InvalidToken", "RequestTimeTooSkewed", "AuthorizationHeaderMalformed", "PermanentRedirect"),
    *("IllegalLocationConstraintException", "InvalidBucketName"),
}
NOT_ASKED = (
    *(NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, SSOError, TokenRetrievalError),
    ParamValidationError,
)
"""Raised before anything was sent: what is wrong is here, in the keys or the address."""


def meaning(url: str, path: str, error: ClientError) -> SeedanceError:
    """The error of ours for S3's answer about *path* in the store at *url*."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code in MISSING:
        return Missing(f"There is no object {url}/{path}.")
    if status == 412:
        return Taken(f"{url}/{path} exists already.")
    if code == "NoSuchBucket":
        bucket = url.removeprefix("s3://").partition("/")[0]
        return BadStore(f"The bucket {bucket} does not exist; create it or correct the address of the store.")
    if code in ("NotImplemented", "501"):
        return BadStore(f"The server of {url} does not know what is asked of it ({error}); use another store.")
    if code in TO_BE_CORRECTED:
        return BadStore(
            f"S3 refused {error.operation_name} in {url} ({code}); check keys, region and the rights to "
            "list, get, put and delete, then try again."
        )
    return unavailable(url, path, f"{code or status} to {error.operation_name}")


def unusable(url: str, error: Exception) -> BadStore:
    """S3 was not asked at all: address or keys are wrong."""
    reason = " ".join(str(error).split())
    return BadStore(f"S3 can't be asked for {url} ({reason}); correct the address or the AWS keys.")


def unavailable(url: str, path: str, reason: str) -> StoreUnavailable:
    """Nobody knows whether it happened: the store failed, or its answer was lost."""
    return StoreUnavailable(
        f"The store failed at {url}/{path} ({reason}); "
        "what was asked may or may not have happened, so read it before trying again."
    )
