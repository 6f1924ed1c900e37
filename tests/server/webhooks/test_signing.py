"""Signatures, checked as the README tells receivers to."""

from __future__ import annotations

import base64
import hmac
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from server.webhooks_signing import headers, new_secret

README = Path(__file__).resolve().parents[3] / "server" / "README.md"
BODY = b'{"specversion":"1.0"}'

Check = Callable[[str, Mapping[str, str], bytes], bool]


@pytest.fixture(scope="module")
def is_genuine() -> Check:
    """The example of the README."""
    (code,) = re.findall(r"```python\n(def is_genuine.*?)```", README.read_text(encoding="utf-8"), re.S)
    names: dict[str, object] = {"hmac": hmac, "base64": base64, "time": time, "Mapping": Mapping}
    exec(code, names)
    found: Check = names["is_genuine"]  # type: ignore[assignment]
    return found


def test_the_example_takes_what_was_signed_and_nothing_else(is_genuine: Check) -> None:
    secret, now = new_secret(), int(time.time())
    signed = headers([secret], "m:1", now, BODY)
    assert is_genuine(secret, signed, BODY)
    assert not is_genuine(new_secret(), signed, BODY)
    assert not is_genuine(secret, signed, BODY + b" ")
    assert not is_genuine(secret, signed | {"webhook-id": "m:2"}, BODY)
    assert not is_genuine(secret, signed | {"webhook-timestamp": str(now + 1)}, BODY)
    assert not is_genuine(secret, headers([secret], "m:1", now - 3600, BODY), BODY)


def test_while_a_secret_is_replaced_either_of_them_verifies(is_genuine: Check) -> None:
    old, new = new_secret(), new_secret()
    signed = headers([new, old], "m:1", int(time.time()), BODY)
    assert is_genuine(old, signed, BODY)
    assert is_genuine(new, signed, BODY)


def test_a_secret_is_32_random_bytes() -> None:
    keys = {new_secret() for _ in range(50)}
    assert len(keys) == 50
    assert all(len(base64.b64decode(key.removeprefix("whsec_"))) == 32 for key in keys)
