"""Which addresses webhooks may call: only hosts that a setting names, and no private network by accident.

A host named in full is trusted wherever it is. One that merely fits a pattern with `*` is resolved
for each connection, and none of its addresses that is not a public one is ever connected to.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from handlers.addresses import PrivateAddress as PrivateAddress
from handlers.addresses import PublicNetwork
from handlers.addresses import is_public as is_public
from server.webhooks_hosts import TargetRefused, patterns

URL_CHARACTERS = 2000

_URL = re.compile(r"^[!-~]+$")


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


class CheckedNetwork(PublicNetwork):
    """Connections to what `targets` allow."""

    def __init__(self, targets: Targets) -> None:
        super().__init__(targets.trusted, "name it in full in CASEWIRE_WEBHOOK_HOSTS to call it")


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
