"""What a password costs whoever guesses it, which the other tests do without."""

from __future__ import annotations

import argon2
import pytest
from argon2.profiles import RFC_9106_LOW_MEMORY

from server.passwords import Passwords

PASSWORD = "a long enough password"


@pytest.fixture
def passwords(monkeypatch: pytest.MonkeyPatch) -> Passwords:
    """As a server has them."""
    monkeypatch.setattr("server.passwords.PasswordHasher", argon2.PasswordHasher)
    return Passwords()


async def test_a_hash_costs_what_the_standard_recommends(passwords: Passwords) -> None:
    kept = await passwords.hash(PASSWORD)
    assert argon2.extract_parameters(kept) == RFC_9106_LOW_MEMORY
    assert await passwords.verify(kept, PASSWORD)
    assert not await passwords.verify(kept, PASSWORD + "x")
    assert not passwords.is_outdated(kept)


async def test_nobody_s_password_fits_nothing_and_costs_as_much(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []
    verify = argon2.PasswordHasher.verify

    def noting(self: argon2.PasswordHasher, kept: str, password: str) -> bool:
        tried.append(argon2.extract_parameters(kept))
        return verify(self, kept, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", noting)
    assert not await passwords.verify(None, "nobody has this password")
    assert tried == [RFC_9106_LOW_MEMORY]


async def test_a_hash_of_weaker_days_is_made_anew(passwords: Passwords) -> None:
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    assert await passwords.verify(weak, PASSWORD)
    assert passwords.is_outdated(weak)
