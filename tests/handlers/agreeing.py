"""Models for tests of what uses them: a set of consents instead of a table."""

from __future__ import annotations

from collections.abc import Collection

from handlers.language_model import LanguageModel
from handlers.models import Models


class Agreed:
    """`handlers.models.Consents` with the pairs of case and host that it was given."""

    def __init__(self, pairs: Collection[tuple[str, str]] = ()) -> None:
        self.pairs = set(pairs)

    async def given(self, case: str, host: str) -> bool:
        return (case, host) in self.pairs


def models(language: LanguageModel | None = None, agreed: Collection[tuple[str, str]] = ()) -> Models:
    return Models(language, Agreed(agreed))
