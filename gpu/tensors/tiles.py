"""A tensor is cut into tiles with halos, worked on tile by tile, and stitched together again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from gpu.arrays import Array, array_namespace
from gpu.tensors.blocks import HALO, Basis, Mode, block_of
from gpu.tensors.cubic import checked_points, sample_block, sorted_by_cell


@dataclass(frozen=True)
class Tile:
    """A part of a tensor.

    Attributes:
        core: What is the tile's own; the cores of all tiles make up the tensor.
        padded: The core with its halo, which ends where the tensor does.
    """

    core: tuple[slice, ...]
    padded: tuple[slice, ...]

    @property
    def origin(self) -> tuple[int, ...]:
        """The index of the padded tile's first sample."""
        return tuple(part.start for part in self.padded)

    @property
    def inside(self) -> tuple[slice, ...]:
        """Where the core lies in the padded tile."""
        return tuple(
            slice(core.start - padded.start, core.stop - padded.start)
            for core, padded in zip(self.core, self.padded, strict=True)
        )


def tiles(shape: Sequence[int], tile_shape: Sequence[int], halo: int | Sequence[int] = 0) -> Iterator[Tile]:
    """The tiles of a tensor of `shape`, the last axis fastest.

    Args:
        tile_shape: Longest core along each axis; an axis that is not cut has its own length here.
        halo: Samples beyond the core on both sides, for all axes or for each.

    Raises:
        ValueError: A tile shape below 1, a negative halo, or not one of them for each axis.
    """
    halos = (halo,) * len(shape) if isinstance(halo, int) else tuple(halo)
    if len(tile_shape) != len(shape) or len(halos) != len(shape):
        raise ValueError(f"A tile shape and a halo for each of {len(shape)} axes are needed.")
    if min(tile_shape, default=1) < 1 or min(halos, default=0) < 0:
        raise ValueError(f"Tiles are at least 1 long and halos at least 0, got {tuple(tile_shape)}, {halos}.")
    return _tiles(tuple(shape), tuple(tile_shape), halos)


def _tiles(shape: tuple[int, ...], tile_shape: tuple[int, ...], halos: tuple[int, ...]) -> Iterator[Tile]:
    starts = [range(0, length, step) for length, step in zip(shape, tile_shape, strict=True)]
    for corner in product(*starts):
        ends = [min(a + step, n) for a, step, n in zip(corner, tile_shape, shape, strict=True)]
        yield Tile(
            tuple(slice(a, b) for a, b in zip(corner, ends, strict=True)),
            tuple(
                slice(max(0, a - halo), min(n, b + halo))
                for a, b, halo, n in zip(corner, ends, halos, shape, strict=True)
            ),
        )


def map_tiles(
    work: Callable[[Array], Array],
    tensor: Array,
    out: Array,
    *,
    tile_shape: Sequence[int],
    halo: int | Sequence[int] = 0,
) -> None:
    """Write to each tile's core in `out` the core of `work(padded tile)`.

    Args:
        work: Gives an array of its argument's shape; what it gives for a sample depends on no sample
            farther away than `halo`. Its argument is a view: it is not to be written.
        tensor, out: May be larger than memory, as a numpy.memmap; of one shape.

    Raises:
        ValueError: As `tiles`; the shapes of `tensor` and `out` differ, or `work` changed a shape.
    """
    if tensor.shape != out.shape:
        raise ValueError(f"Tensor and result differ in shape: {tensor.shape}, {out.shape}.")
    for tile in tiles(tensor.shape, tile_shape, halo):
        padded = tensor[tile.padded]
        found = work(padded)
        if found.shape != padded.shape:
            raise ValueError(f"The work made shape {found.shape} of a tile of shape {padded.shape}.")
        out[tile.core] = found[tile.inside]


def interpolate_tiled(
    samples: Array,
    points: Array,
    *,
    tile_shape: Sequence[int],
    halo: int = HALO,
    basis: Basis = "keys",
    linear_axes: Sequence[int] = (),
    mode: Mode = "mirror",
    outside: float = 0.0,
) -> Array:
    """As `interpolate`, with the points of one tile after the other: one tile at a time is in memory.

    On the CPU the values are those of `interpolate` to the last bit.

    Args:
        samples: May be a numpy.memmap larger than memory, also where the points lie on a GPU: only
            tiles go there.
        tile_shape: Longest core along each axis.
        halo: Samples kept beyond the core; at least 3.

    Returns:
        Shape (m,), dtype of `samples`, library of `points`.

    Raises:
        TypeError, ValueError: As `interpolate` and `tiles`; a halo below 3.
    """
    xp = array_namespace(points)
    points = checked_points(xp, points, samples.shape)
    if halo < HALO:
        raise ValueError(f"A cubic needs a halo of {HALO}, got {halo}.")
    all_tiles = tiles(samples.shape, tile_shape, halo)
    missing = 4 - samples.ndim
    lengths = np.array((1,) * missing + samples.shape, dtype=np.int64)
    cell = np.minimum(np.array((1,) * missing + tuple(tile_shape), dtype=np.int64), lengths)
    on_host = points if xp is np else points.get()
    ordered, places, begins, finite = sorted_by_cell(on_host, lengths, cell, mode)
    if not finite:
        raise ValueError("points must be finite.")
    values = xp.empty(len(points), dtype=samples.dtype.name)
    ordered = xp.asarray(ordered)
    # An empty set of points is checked like any other.
    block_of(samples[tuple(slice(0, 1) for _ in samples.shape)], (1,) * samples.ndim, (0,) * samples.ndim,
             basis=basis, linear_axes=linear_axes, mode=mode)  # fmt: skip
    for number, tile in enumerate(all_tiles):
        begin, end = int(begins[number]), int(begins[number + 1])
        if begin == end:
            continue
        block = block_of(
            xp.ascontiguousarray(xp.asarray(samples[tile.padded])),
            samples.shape,
            tile.origin,
            basis=basis,
            linear_axes=linear_axes,
            mode=mode,
        )
        found = xp.empty(end - begin, dtype=samples.dtype.name)
        sample_block(block, ordered[begin:end], found, mode, outside)
        values[xp.asarray(places[begin:end])] = found
    return values
