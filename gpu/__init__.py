"""Array kernels for ranking, search and embedding: arrays in, arrays of the same library out."""

from gpu.memory.device import Device, cuda_problem, describe
from gpu.ranks.graph import CSR, csr_from_edges
from gpu.ranks.ordering import rank_order
from gpu.ranks.ranking import NotConverged, PageRankResult, pagerank
from gpu.ranks.standing import PushState, push, push_state, refresh
from gpu.text.encoder import BertWeights, LayerWeights, encode
from gpu.vectors.nearest import top_k

__all__ = [
    "CSR",
    "BertWeights",
    "Device",
    "LayerWeights",
    "NotConverged",
    "PageRankResult",
    "PushState",
    "csr_from_edges",
    "cuda_problem",
    "describe",
    "encode",
    "pagerank",
    "push",
    "push_state",
    "rank_order",
    "refresh",
    "top_k",
]
