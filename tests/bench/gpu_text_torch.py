"""The encoder in PyTorch, by its own fused operations, on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch.nn import functional

Batch = tuple[np.ndarray, np.ndarray, np.ndarray]


def torch_encoder(
    stored: Mapping[str, np.ndarray], batches: Sequence[Batch], *, layers: int, heads: int, dtype: str
) -> Callable[[], np.ndarray]:
    """A call that encodes padded batches, (which texts, ids, mask), and waits for the vectors."""
    kind = getattr(torch, dtype)
    tensors = {name: torch.from_numpy(tensor).to("cuda", kind) for name, tensor in stored.items()}
    placed = [
        (torch.from_numpy(ids).cuda(), torch.from_numpy(mask).bool().cuda()) for _, ids, mask in batches
    ]

    def linear(x: torch.Tensor, at: str) -> torch.Tensor:
        return functional.linear(x, tensors[f"{at}.weight"], tensors[f"{at}.bias"])

    def normal(x: torch.Tensor, at: str) -> torch.Tensor:
        return functional.layer_norm(
            x, x.shape[-1:], tensors[f"{at}.weight"], tensors[f"{at}.bias"], eps=1e-12
        )

    def split(x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)

    def forward(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        places = tensors["embeddings.position_embeddings.weight"][: ids.shape[1]]
        kinds = tensors["embeddings.token_type_embeddings.weight"][0]
        x = tensors["embeddings.word_embeddings.weight"][ids] + places + kinds
        x = normal(x, "embeddings.LayerNorm")
        for i in range(layers):
            at = f"encoder.layer.{i}"
            query, key, value = (
                split(linear(x, f"{at}.attention.self.{part}")) for part in ("query", "key", "value")
            )
            mixed = functional.scaled_dot_product_attention(
                query, key, value, attn_mask=mask[:, None, None, :]
            )
            mixed = linear(mixed.transpose(1, 2).flatten(2), f"{at}.attention.output.dense")
            x = normal(mixed + x, f"{at}.attention.output.LayerNorm")
            wide = functional.gelu(linear(x, f"{at}.intermediate.dense"))
            x = normal(linear(wide, f"{at}.output.dense") + x, f"{at}.output.LayerNorm")
        summed = (x.float() * mask[:, :, None]).sum(dim=1)
        return functional.normalize(summed, dim=1)

    width = stored["embeddings.LayerNorm.weight"].shape[0]

    def encode() -> np.ndarray:
        vectors = np.empty((sum(len(some) for some, _, _ in batches), width), dtype=np.float32)
        with torch.inference_mode():
            found = [forward(ids, mask) for ids, mask in placed]
            for (some, _, _), rows in zip(batches, found, strict=True):
                vectors[some] = rows.cpu().numpy()
        return vectors

    return encode
