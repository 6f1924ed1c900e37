"""Errors of a store beside PostgreSQL, told as a job tells them: the step says what does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from handlers.job import Permanent, Temporary
from storage.follow import StoreAway, StoreUnfit


@contextmanager
def store_beside() -> Iterator[None]:
    """What is done within may ask such a store.

    Raises:
        Temporary: It does not answer now.
        Permanent: It cannot be used as it is.
    """
    try:
        yield
    except StoreAway as error:
        raise Temporary(str(error)) from error
    except StoreUnfit as error:
        raise Permanent(str(error)) from error
