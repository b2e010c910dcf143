"""What a person saves once in Prefect: an API key, a place for clips and ledger, and limits on money."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar

from prefect.blocks.abstract import CredentialsBlock
from prefect.blocks.core import Block
from pydantic import Field, GetJsonSchemaHandler, SecretStr
from pydantic_core import CoreSchema

from prefect_seedance.addresses import file_at_home, logo
from prefect_seedance.budget.limits import Limits
from prefect_seedance.errors import BadStore
from prefect_seedance.orchestration.saved_keys import SavedKeys, signing_of
from prefect_seedance.runpod.account import BASE_URL, Account
from prefect_seedance.storage import open_store
from prefect_seedance.storage.store import Store

_DOCS = file_at_home("docs/prefect.md#blocks")


class RunpodCredentials(CredentialsBlock):
    """A Runpod API key and the address it is for. The key goes there and nowhere else.

    Example:
        Load a saved key:
        ```python
        from prefect_seedance.blocks import RunpodCredentials

        credentials = RunpodCredentials.load("BLOCK_NAME")
        ```
    """

    _block_type_name: ClassVar[str] = "Runpod Credentials"
    _block_type_slug: ClassVar[str] = "runpod-credentials"
    _documentation_url: ClassVar[Any] = _DOCS
    _logo_url: ClassVar[Any] = logo("runpod-credentials")

    api_key: SecretStr = Field(
        title="API key", description="A Runpod API key that may call the endpoint, from the Runpod console's settings."
    )
    base_url: str = Field(
        BASE_URL,
        title="Base URL",
        description="Where the API is. An address on this machine is taken for an emulator, whose clips are pretend.",
    )

    @classmethod
    def from_environment(cls) -> RunpodCredentials:
        """The key and the address of `RUNPOD_API_KEY` and `RUNPOD_BASE_URL`."""
        return cls(
            api_key=SecretStr(os.environ.get("RUNPOD_API_KEY", "")),
            base_url=os.environ.get("RUNPOD_BASE_URL") or BASE_URL,
        )

    def account(self) -> Account:
        """The account, checked for what can be seen without asking the API; raises `BadInput`."""
        account = Account(self.api_key.get_secret_value().strip(), (self.base_url or BASE_URL).rstrip("/"))
        account.check()
        return account

    def get_client(self, *_: Any, **__: Any) -> Account:
        """The account, for `prefect_seedance.runpod.client.open_client`, which opens a client that has to be closed."""
        return self.account()


class VideoStore(Block):
    """Where clips, ledger and productions live: a bucket or a folder.

    Example:
        Load a saved store:
        ```python
        from prefect_seedance.blocks import VideoStore

        store = VideoStore.load("BLOCK_NAME")
        ```
    """

    _block_type_name: ClassVar[str] = "Video Store"
    _block_type_slug: ClassVar[str] = "video-store"
    _documentation_url: ClassVar[Any] = _DOCS
    _logo_url: ClassVar[Any] = logo("video-store")

    url: str = Field(
        title="URL", description="Such as s3://bucket/prefix, or the full path of a folder that all workers see."
    )
    key: str | None = Field(
        None, title="Access key ID", description="Of the bucket. Without it the worker's AWS environment is asked."
    )
    secret: SecretStr | None = Field(
        None, title="Secret access key", description="Of the bucket. Without it the worker's AWS environment is asked."
    )
    aws_credentials: SavedKeys | None = Field(
        None,
        title="AWS credentials",
        description="A saved block of AWS or MinIO credentials, in place of the keys above: of a role, a profile or a "
        "session too. Needs prefect-seedance[aws] on the worker.",
    )
    endpoint_url: str | None = Field(
        None, title="Endpoint URL", description="Of an S3-compatible service. Not needed for Amazon's own."
    )
    region: str | None = Field(None, description="Of the bucket; needed to sign links for most of Amazon's regions.")
    public_base_url: str | None = Field(
        None,
        title="Public base URL",
        description="Where a folder is served from, so that first frames and links can be fetched. Not needed for S3.",
    )

    def open(self) -> Store:
        """The store itself; raises `BadStore` for an address that can't be one, and for keys that can't be used.

        A saved block is opened by workers, each in a folder of its own, where a relative one would be new in every run.
        """
        is_relative = "://" not in self.url and not self.url.startswith("~") and not Path(self.url).is_absolute()
        if self._block_document_id is not None and is_relative:
            raise BadStore(
                f"This saved store is the relative folder {self.url!r}, another one wherever a worker runs; nothing "
                "was submitted; save it with the full path of the folder, with ~ or as s3://bucket/prefix."
            )
        given: dict[str, Any] = {"endpoint_url": self.endpoint_url or None, "region": self.region or None}
        if self.aws_credentials is not None:
            given = self._saved_keys() | {name: value for name, value in given.items() if value}
        return open_store(
            self.url,
            key=self.key or None,
            secret=self.secret.get_secret_value() if self.secret else None,
            public_base_url=self.public_base_url or None,
            **given,
        )

    def _saved_keys(self) -> dict[str, Any]:
        if self.key or self.secret:
            raise BadStore(
                "This store has keys and AWS credentials, and nobody knows which are meant; nothing was submitted; "
                "leave one of them empty."
            )
        saved: Any = self.aws_credentials
        signing = signing_of(saved)
        client = saved.aws_client_parameters.get_params_override()
        return {
            "signing": signing,
            "region": saved.region_name,
            "endpoint_url": client.get("endpoint_url"),
            "verify": client.get("verify"),
        }


class SpendingLimits(Block):
    """What may be spent per run, per day and per month, counted over all runs and machines that share a store.

    Example:
        Load saved limits:
        ```python
        from prefect_seedance.blocks import SpendingLimits

        limits = SpendingLimits.load("BLOCK_NAME")
        ```
    """

    _block_type_name: ClassVar[str] = "Spending Limits"
    _block_type_slug: ClassVar[str] = "spending-limits"
    _documentation_url: ClassVar[Any] = _DOCS
    _logo_url: ClassVar[Any] = logo("spending-limits")

    per_run: Annotated[float, Field(gt=0)] | None = Field(
        None,
        title="Per run (USD)",
        description="The most that one flow run may spend, its retries included. Without it there is no such limit.",
    )
    per_day: Annotated[float, Field(gt=0)] | None = Field(
        None,
        title="Per day (USD)",
        description="The most that all runs of a store may spend on a UTC day. Without it there is no such limit.",
    )
    per_month: Annotated[float, Field(gt=0)] | None = Field(
        None,
        title="Per month (USD)",
        description="The most that all runs of a store may spend in a UTC month. Without it there is no such limit.",
    )
    approve_above: Annotated[float, Field(ge=0)] | None = Field(
        None,
        title="Approve above (USD)",
        description="A plan that costs more than this waits for a person's approval. Without it none does.",
    )

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Require a limit per day in the form, empty or not, so that a reference is never taken for the block itself.

        Prefect's API checks a parameter as a reference to a saved block or as the fields of one, never as both, and
        tells them apart by what is required. It ignores `required` when a deployment is made, where a reference has to
        pass. Its UI hands on `required` and few other words of a schema, neither `if` nor `not`.
        """
        schema = handler(core_schema)
        handler.resolve_ref_schema(schema)["required"] = ["per_day"]
        return schema

    def limits(self) -> Limits:
        """The limits as exact dollars."""
        given = {name: getattr(self, name) for name in Limits.model_fields}
        return Limits(**{name: Decimal(str(usd)) for name, usd in given.items() if usd is not None})
