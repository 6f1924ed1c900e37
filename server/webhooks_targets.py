"""Which addresses webhooks may call: only hosts that a setting names, and no private network by accident.

A host named in full is trusted wherever it is. One that merely fits a pattern with `*` is resolved
for each connection, and none of its addresses that is not a public one is ever connected to.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import httpcore

from server.webhooks_hosts import TargetRefused, patterns

URL_CHARACTERS = 2000

_URL = re.compile(r"^[!-~]+$")


class PrivateAddress(httpcore.ConnectError):
    """A host that is not named in full has only addresses that are not public."""


class Targets:
    """What the setting allows."""

    def __init__(self, setting: str | None) -> None:
        self._patterns = patterns(setting) if setting else ()

    def check(self, url: str) -> None:
        """Whether webhooks may call an address at all.

        Raises:
            TargetRefused: They may not.
        """
        if not self._patterns:
            raise TargetRefused(
                "there are no webhooks on this server: whoever runs it can set CASEWIRE_WEBHOOK_HOSTS to the "
                "hosts that may be called"
            )
        host, port, scheme = _parts(url)
        if not any(pattern.fits(host, port) for pattern in self._patterns):
            raise TargetRefused(
                f"webhooks may not call {host}, port {port}: whoever runs this server can name it in "
                "CASEWIRE_WEBHOOK_HOSTS"
            )
        if scheme == "http" and not _is_loopback(host):
            raise TargetRefused("the address must begin with https://, except on this machine")

    def trusted(self, host: str, port: int) -> bool:
        """Whether a host is named in full, and may have any address."""
        return any(pattern.in_full and pattern.fits(host, port) for pattern in self._patterns)


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connections to what `targets` allow; a name is resolved once, and what was checked is connected to."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets
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
        if self._targets.trusted(host.lower(), port):
            return await self._network.connect_tcp(host, port, timeout, local_address, socket_options)
        try:
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(f"{host} has no address") from error
        addresses = [str(each[4][0]) for each in found]
        if not all(is_public(address) for address in addresses):
            raise PrivateAddress(
                f"{host} is in a private network; name it in full in CASEWIRE_WEBHOOK_HOSTS to call it"
            )
        return await self._network.connect_tcp(addresses[0], port, timeout, local_address, socket_options)


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet, and of a single host."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return is_public(str(found.ipv4_mapped))
    return found.is_global and not found.is_multicast


def _parts(url: str) -> tuple[str, int, str]:
    problem = TargetRefused("the address must be like https://hooks.example.org/casewire, without a user")
    if len(url) > URL_CHARACTERS or not _URL.match(url):
        raise problem
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise problem from None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.fragment:
        raise problem
    return parts.hostname.lower(), port or (443 if parts.scheme == "https" else 80), parts.scheme


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
