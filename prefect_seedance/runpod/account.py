"""An API key and the address it is for."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from prefect_seedance.errors import BadInput
from prefect_seedance.storage.store import Kind, is_address, kind_of_api


def account_fingerprint(api_key: str, base_url: str) -> str:
    """Tells one account at one address from another without revealing the key."""
    return hashlib.sha256(f"prefect-seedance account\n{base_url}\n{api_key}".encode()).hexdigest()[:16]


BASE_URL = "https://api.runpod.ai/v2"


@dataclass(frozen=True)
class Account:
    """An API key and the address it is for. The key goes there and nowhere else."""

    api_key: str
    base_url: str = BASE_URL

    def __repr__(self) -> str:
        return f"Account(base_url={self.base_url!r})"

    @property
    def fingerprint(self) -> str:
        return account_fingerprint(self.api_key, self.base_url)

    @property
    def kind(self) -> Kind:
        """Whether its clips are real or an emulator's."""
        return kind_of_api(self.base_url)

    def check(self) -> None:
        """Raise `BadInput` for a key or an address that can't work."""
        problems = []
        if not re.fullmatch(r"[!-~]+", self.api_key):  # as it goes into a header, which quotes a bad one in its error
            problems.append("There is no usable Runpod API key; set RUNPOD_API_KEY or name a saved one with --account.")
        if not is_address(self.base_url):
            problems.append(f"{self.base_url!r} is not an address; RUNPOD_BASE_URL is usually {BASE_URL}.")
        elif urlsplit(self.base_url).scheme == "http" and self.kind == "real":
            problems.append(f"{self.base_url} would send the API key unencrypted; use https.")
        if problems:
            raise BadInput(*problems)
