"""Where the media host of a real account may lead: to https on the public internet, at every step of a redirect."""

from __future__ import annotations

import ssl
from urllib.request import getproxies

import httpx

from prefect_seedance.errors import DownloadFailed
from prefect_seedance.sources.public_internet import addresses_of, is_public

CONNECTING = 6.0
"""Seconds per address, which leave time for the next one."""


class PublicOnly(httpx.AsyncHTTPTransport):
    """Looks each host up once, refuses it if one of its addresses is private, and calls an address that was checked.

    Raises `DownloadFailed` before anything is sent to a place that is not allowed. Where the environment names a proxy,
    it is the proxy that calls, by name. No connection is kept, so that hosts at one address never share one.
    """

    def __init__(self, certificates: ssl.SSLContext) -> None:
        proxies = getproxies()
        self._proxy = proxies.get("https") or proxies.get("all")
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=0)
        super().__init__(verify=certificates, limits=limits, trust_env=False, proxy=self._proxy)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        if url.scheme != "https" or url.userinfo:
            raise _refused(url, "is no plain https link")
        try:
            addresses = await _public_addresses(url)
        except httpx.ConnectError:
            if not self._proxy:
                raise
            addresses = []  # names of the outside may be known to the proxy alone
        if self._proxy:
            return await super().handle_async_request(request)
        refused: httpx.TransportError | None = None
        for address in addresses:
            try:
                return await super().handle_async_request(_at(address, request))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                refused = error
        raise refused or httpx.ConnectError(f"{url.host} has no address", request=request)


async def _public_addresses(url: httpx.URL) -> list[str]:
    host = url.raw_host.decode("ascii")
    try:
        addresses = await addresses_of(host, url.port or 443)
    except (OSError, UnicodeError) as error:
        raise httpx.ConnectError(f"{host} is not known") from error
    if not all(map(is_public, addresses)):
        raise _refused(url, "is not on the public internet")
    return addresses


def _at(address: str, request: httpx.Request) -> httpx.Request:
    timeout = {**request.extensions.get("timeout", {}), "connect": CONNECTING}
    named = {"sni_hostname": request.url.raw_host.decode("ascii"), "timeout": timeout}
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,  # with the name of the host
        stream=request.stream,
        extensions=request.extensions | named,
    )


def _refused(url: httpx.URL, why: str) -> DownloadFailed:
    return DownloadFailed(
        f"the link of the clip leads to {url.scheme}://{url.host}, which {why}; nothing was asked there or kept, and "
        "the clip is fetched again later"
    )
