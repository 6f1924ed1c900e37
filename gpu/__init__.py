"""Array kernels for ranking, search and embedding: arrays in, arrays of the same library out."""

from gpu.device import Device, cuda_problem, describe
from gpu.encoder import BertWeights, LayerWeights, encode
from gpu.graph import CSR, csr_from_edges
from gpu.nearest import top_k
from gpu.ordering import rank_order
from gpu.ranking import NotConverged, PageRankResult, pagerank
from gpu.standing import PushState, push, push_state, refresh

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
