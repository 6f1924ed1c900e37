"""Which addresses webhooks may call."""

from __future__ import annotations

import socket
from typing import Any

import httpcore
import pytest

from server.webhooks_hosts import TargetRefused, patterns
from server.webhooks_targets import CheckedNetwork, PrivateAddress, Targets, is_public


@pytest.mark.parametrize(
    ("setting", "url", "may"),
    [
        ("hooks.example.org", "https://hooks.example.org/a?b=c", True),
        ("hooks.example.org", "https://HOOKS.example.org:8443/", True),
        ("hooks.example.org:443", "https://hooks.example.org/", True),
        ("hooks.example.org:443", "https://hooks.example.org:8443/", False),
        ("hooks.example.org", "http://hooks.example.org/", False),
        ("hooks.example.org", "https://hooks.example.org.evil.example/", False),
        ("hooks.example.org", "https://evil.example/hooks.example.org", False),
        ("hooks.example.org", "https://hooks.example.org@evil.example/", False),
        ("hooks.example.org", "https://evil.example\\@hooks.example.org/", False),
        ("hooks.example.org", "https://hooks.example.org/#fragment", False),
        ("hooks.example.org", "https://hooks.example.org/ x", False),
        ("hooks.example.org", "https://hooks.example.org/\r\nX: y", False),
        ("hooks.example.org", "https://hooks.example.org:99999/", False),
        ("*.example.org", "https://a.b.example.org/", True),
        ("*.example.org", "https://example.org/", False),
        ("*.example.org", "https://badexample.org/", False),
        ("a.example, *", "https://anything.example/", True),
        ("localhost:9000", "http://localhost:9000/", True),
        ("127.0.0.1", "http://127.0.0.1:1/", True),
        ("[::1]:9000", "http://[::1]:9000/", True),
        ("10.0.0.5", "http://10.0.0.5/", False),
        ("10.0.0.5", "https://10.0.0.5/", True),
    ],
)
def test_only_named_hosts_may_be_called_and_only_by_https_beyond_this_machine(
    setting: str, url: str, may: bool
) -> None:
    targets = Targets(setting)
    if may:
        targets.check(url)
    else:
        with pytest.raises(TargetRefused):
            targets.check(url)


@pytest.mark.parametrize(
    "setting", ["https://a.example", "a b", "a,,b", "*a.example", "a.*", "a:0", "a:99999", " "]
)
def test_a_setting_that_names_no_hosts_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match="not a host"):
        patterns(setting)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "::1", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "::",
    ],
)  # fmt: skip
def test_private_addresses_are_told_from_public_ones(address: str) -> None:
    assert not is_public(address)
    assert is_public("93.184.215.14")
    assert is_public("2606:2800:21f:cb07:6820:80da:af6b:8b2c")


async def test_a_name_that_leads_into_a_private_network_is_not_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As with a name that somebody points at the inside of the network after it was looked at."""
    with socket.create_server(("127.0.0.1", 0)) as inside:
        port = inside.getsockname()[1]
        address = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: address)
        with pytest.raises(PrivateAddress, match="private network"):
            await CheckedNetwork(Targets("*")).connect_tcp("rebound.example", port)
        with pytest.raises(PrivateAddress):
            await CheckedNetwork(Targets("*")).connect_tcp("127.0.0.1", port)
        named = CheckedNetwork(Targets("*, rebound.example"))
        stream = await named.connect_tcp("rebound.example", port)
        await stream.aclose()


async def test_a_name_without_an_address_is_a_failure_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(httpcore.ConnectError, match="no address"):
        await CheckedNetwork(Targets("*")).connect_tcp("nowhere.example", 443)
