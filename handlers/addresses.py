"""Connections to addresses of the internet alone: what was checked is what is connected to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Iterable
from typing import Any

import httpcore

_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Trusted = Callable[[str, int], bool]
"""Whether a host and port may have any address, since whoever runs the instance named them in full."""


class PrivateAddress(httpcore.ConnectError):
    """A host that is not named in full has an address that is not public."""


class PublicNetwork(httpcore.AsyncNetworkBackend):
    """Connects to what is trusted or public; a name is resolved once, so that no answer can change between.

    Args:
        trusted: See `Trusted`.
        advice: What to do about a private address, to stand after “… is in a private network; ”.
    """

    def __init__(self, trusted: Trusted, advice: str) -> None:
        self._trusted = trusted
        self._advice = advice
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """See httpcore.

        Raises:
            httpcore.ConnectError: `PrivateAddress`, or no address answers.
        """
        if self._trusted(host.lower(), port):
            return await self._network.connect_tcp(host, port, timeout, local_address, socket_options)
        try:
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} has no address") from error
        addresses = [str(each[4][0]) for each in found]
        if not all(is_public(address) for address in addresses):
            raise PrivateAddress(f"{host} is in a private network; {self._advice}")
        return await self._network.connect_tcp(addresses[0], port, timeout, local_address, socket_options)


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet, and of a single host; also what it may stand for."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        within = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            within = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if within is not None:
            return is_public(str(within))
    return found.is_global and not found.is_multicast
