"""Which addresses belong to the public internet: the only ones to which a stranger's link may lead us."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

NAT64 = ipaddress.ip_network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


async def addresses_of(host: str, port: int) -> list[str]:
    """The addresses of *host*, looked up once; `OSError` or `UnicodeError` if it has none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: str) -> bool:
    """Whether *address*, and the IPv4 address that it may wrap, belongs to the public internet."""
    return all(one.is_global and not one.is_multicast for one in _wrapped(ipaddress.ip_address(address)))


def _wrapped(address: Address) -> list[Address]:
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped:
        return [address.ipv4_mapped]
    if address in NAT64:
        return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    return [address, *(address.teredo or ()), *([address.sixtofour] if address.sixtofour else ())]
