"""Array kernels for ranking, search and embedding: arrays in, arrays of the same library out."""

from gpu.memory.batches import Halved, batch_items, in_batches
from gpu.memory.device import Device, cuda_problem, describe
from gpu.memory.lease import DeadlinePassed, Lease, Leases, NeverFits, device_leases
from gpu.memory.tickets import LeaseFault
from gpu.ranks.graph import CSR, csr_from_edges
from gpu.ranks.ordering import rank_order
from gpu.ranks.ranking import NotConverged, PageRankResult, pagerank, solve
from gpu.ranks.standing import (
    PushState,
    leaders,
    push,
    push_link,
    push_reset,
    push_state,
    refresh,
)
from gpu.tensors.cubic import interpolate
from gpu.tensors.packing import Halves, Int8Blocks, pack_bits, pack_half, pack_int8, unpack_bits, unpack_int8
from gpu.tensors.pyramid import Pyramid, halved, pyramid
from gpu.tensors.spline import spline_coefficients
from gpu.tensors.tiles import Tile, interpolate_tiled, map_tiles, tiles
from gpu.text.batching import plan, required_bytes
from gpu.text.encoder import encode, encode_packed
from gpu.text.weights import BertWeights
from gpu.threads import limit_threads
from gpu.vectors.autoencoder import Autoencoder, features, reconstructed, strongest
from gpu.vectors.autoencoder_training import Training, train_autoencoder
from gpu.vectors.bits import BitIndex, bit_extend, bit_index, bit_top_k
from gpu.vectors.clusters import Clusters, kmeans
from gpu.vectors.maps import Map, MapErrors, fit_map, map_errors
from gpu.vectors.nearest import top_k

__all__ = [
    "CSR",
    "Autoencoder",
    "BertWeights",
    "BitIndex",
    "Clusters",
    "DeadlinePassed",
    "Device",
    "Halved",
    "Halves",
    "Int8Blocks",
    "Lease",
    "LeaseFault",
    "Leases",
    "Map",
    "MapErrors",
    "NeverFits",
    "NotConverged",
    "PageRankResult",
    "PushState",
    "Pyramid",
    "Tile",
    "Training",
    "batch_items",
    "bit_extend",
    "bit_index",
    "bit_top_k",
    "csr_from_edges",
    "cuda_problem",
    "describe",
    "device_leases",
    "encode",
    "encode_packed",
    "features",
    "fit_map",
    "halved",
    "in_batches",
    "interpolate",
    "interpolate_tiled",
    "kmeans",
    "leaders",
    "limit_threads",
    "map_errors",
    "map_tiles",
    "pack_bits",
    "pack_half",
    "pack_int8",
    "pagerank",
    "plan",
    "push",
    "push_link",
    "push_reset",
    "push_state",
    "pyramid",
    "rank_order",
    "reconstructed",
    "refresh",
    "required_bytes",
    "solve",
    "spline_coefficients",
    "strongest",
    "tiles",
    "top_k",
    "train_autoencoder",
    "unpack_bits",
    "unpack_int8",
]
