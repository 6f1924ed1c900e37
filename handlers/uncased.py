"""Text for a model whose pieces of words have neither capitals nor accents, as BERT's uncased ones.

Such a model was trained on text without them. Servers that convert it leave that step to nobody: a word with
an accent, with some also one with a capital, becomes the one token for the unknown, and all such words are
alike. Folding the text first changes nothing for a server that folds it, too.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

_FOLD = BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=True)
_STRIPPED = BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=True)
_WORDS = BertPreTokenizer()

_PLAIN = str.maketrans(
    {**dict.fromkeys("“”„«»", '"'), **dict.fromkeys("‘’‚", "'"), "–": "-", "—": "-", "…": "."}
)
"""Ollama before 0.30 splits signs of more than one byte within, and knows neither half."""


def is_uncased(pieces: Iterable[str]) -> bool:
    """Whether no piece of a vocabulary has a capital or an accent; names such as `[CLS]` do not count.

    >>> is_uncased(["[CLS]", "▁gate", "s", "ß"]), is_uncased(["▁gate", "ä"]), is_uncased(["▁Gate"])
    (True, False, False)
    """
    return all(
        (piece.startswith("[") and piece.endswith("]")) or _STRIPPED.normalize_str(piece) == piece
        for piece in pieces
    )


def folded(text: str) -> str:
    """The text's words and signs, one blank between them, without capitals and accents.

    >>> folded("Der Wächter: “Ödön’s”, $5")
    'der wachter : " odon \' s " , $ 5'
    """
    plain = _FOLD.normalize_str(text).translate(_PLAIN)
    return " ".join(word for word, _ in _WORDS.pre_tokenize_str(plain))
