"""The rehearsal finds the faults that it is there for, and agrees with what CuPy and CUDA say."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import numpy as np
import pytest

from tests.gpu import rehearsal
from tests.gpu.rehearsal import against_cupy, calls, kernels

needs_compiler = pytest.mark.skipif(bool(kernels.why_not()), reason=kernels.why_not())


@pytest.fixture
def cupy():
    with rehearsal.installed() as module:
        yield module


def run(source, name, grid, block, *args, shared_mem=0, cooperative=False, times=4):
    """Launch a kernel several times, each in another order of its threads."""
    module = kernels.RawModule(code=source, enable_cooperative_groups=cooperative)
    for _ in range(times):
        module.get_function(name)(grid, block, args, shared_mem=shared_mem)


def test_arrays_stay_on_their_device(cupy):
    on_device = cupy.arange(3.0)
    for slip in (
        lambda: np.asarray(on_device),
        lambda: on_device + np.arange(3.0),
        lambda: cupy.sum(np.arange(3.0)),
        lambda: on_device.__setitem__(slice(None), np.arange(3.0)),
        lambda: on_device[np.array([1])],
        lambda: cupy.sum([1.0, 2.0]),
        lambda: cupy.lexsort((on_device, on_device)),
        lambda: cupy.max(on_device, initial=0.0),
    ):
        with pytest.raises(TypeError):
            slip()
    with pytest.raises(AttributeError):
        cupy.ufunc_that_is_not_there  # noqa: B018


def test_a_reduction_gives_an_array(cupy):
    three = cupy.arange(3)
    for found in (three.sum(), cupy.max(three), three[1], abs(three).min()):
        assert type(found) is cupy.ndarray
        assert found.shape == ()
    assert float(np.float32(2) * cupy.ones(())) == 2.0
    assert type(np.float64(2) * cupy.ones(3)) is cupy.ndarray


def test_memory_that_was_not_written_holds_no_zeros(cupy):
    assert cupy.isnan(cupy.empty(4)).all()
    assert (cupy.empty(4, dtype=cupy.int32) == -1).all()


def test_the_pool_has_a_limit_and_counts_what_is_alive(cupy):
    pool = cupy.get_default_memory_pool()
    before = pool.used_bytes()
    held = cupy.zeros(1000)
    view = held[10:]
    del held
    assert pool.used_bytes() - before == 8000
    pool.set_limit(size=before + 10_000)
    try:
        with pytest.raises(cupy.cuda.memory.OutOfMemoryError):
            cupy.zeros(1000)
    finally:
        pool.set_limit(size=0)
    del view
    assert pool.used_bytes() == before


def test_outside_there_is_no_stand_in():
    with rehearsal.installed() as module:
        import cupy

        assert cupy is module
    assert importlib.util.find_spec("cupy") is None or importlib.import_module("cupy") is not module


def test_the_kernels_modules_turn_to_another_cupy():
    with rehearsal.installed() as module:
        from gpu.ranks import walk_cuda

        assert walk_cuda.cupy is module
        kept = walk_cuda.solve_cuda.__globals__
    other = ModuleType("cupy")
    rehearsal.turn_to(other)
    assert kept["cupy"] is other
    with rehearsal.installed() as module:
        assert kept["cupy"] is module


SUMS = """
#include <cooperative_groups.h>
#include <cuda_fp16.h>
template <class T, int W>
__device__ T add_up(T value, T *room) {
    __shared__ T sums[W];
    for (int by = 16; by > 0; by /= 2) value += __shfl_down_sync(0xffffffffu, value, by);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = value;
    __syncthreads();
    T total = 0;
    for (int warp = 0; warp < (int)blockDim.x / 32; ++warp) total += sums[warp];
    room[threadIdx.x] = total;
    __syncthreads();
    return room[blockDim.x - 1 - threadIdx.x];
}
extern "C" __global__ void __launch_bounds__(128)
    sums(const float *x, const __half *y, long long n, double *out) {
    extern __shared__ __align__(16) double room[];
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    double total = add_up<double, 4>(i < n ? double(x[i]) + __half2float(y[i]) : 0.0, room);
    unsigned odd = __ballot_sync(0xffffffffu, threadIdx.x & 1);
    if (threadIdx.x == 0 && __popc(odd) == 16) atomicAdd(out, total);
}
extern "C" __global__ void chain(int *steps, int rounds) {
    auto grid = cooperative_groups::this_grid();
    __shared__ int mine[1];
    if (threadIdx.x == 0) mine[0] = blockIdx.x;
    for (int round = 0; round < rounds; ++round) {
        int next = steps[(blockIdx.x + 1) % gridDim.x];
        grid.sync();
        if (threadIdx.x == 0 && mine[0] == (int)blockIdx.x) steps[blockIdx.x] = next + 1;
        grid.sync();
    }
}
"""


@needs_compiler
@pytest.mark.parametrize("n", [1, 127, 128, 1000])
def test_threads_wait_for_one_another(cupy, n):
    x, y = cupy.arange(n, dtype=cupy.float32), cupy.ones(n, dtype=cupy.float16)
    out = cupy.zeros(1)
    run(SUMS, "sums", (-(-n // 128),), (128,), x, y, n, out, shared_mem=8 * 128)
    assert out.get() == 4 * (n * (n - 1) / 2 + n)


@needs_compiler
def test_a_grid_waits_for_itself(cupy):
    steps = cupy.asarray(np.array([0, 10, 20, 30, 40], np.int32))
    run(SUMS, "chain", (5,), (64,), steps, np.int32(3), cooperative=True, times=1)
    assert steps.tolist() == [33, 43, 3, 13, 23]


FAULTS = """
extern "C" __global__ void no_barrier(const int *x, int *out) {
    __shared__ int held[64];
    held[threadIdx.x] = x[threadIdx.x];
    out[threadIdx.x] = held[63 - threadIdx.x];
}
extern "C" __global__ void reads_beyond(const float *x, float *out) {
    out[threadIdx.x] = x[threadIdx.x + 1];
}
extern "C" __global__ void writes_before(float *x, float *out) {
    x[(int)threadIdx.x - 1] = out[0];
}
extern "C" __global__ void half_wait(float *x, float *out) {
    if (threadIdx.x < 32) __syncwarp();
    else if (threadIdx.x < 40) __syncthreads();
    else __syncwarp(0xffffffffu);
}
extern "C" __global__ void absent_lanes(float *x, float *out) {
    out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, x[0], 1);
}
extern "C" __global__ void two_lines(float *x, float *out) {
    if (threadIdx.x < 32)
        __syncthreads();
    else
        __syncthreads();
}
extern "C" __global__ void alone(float *x, float *out) { cooperative_groups::this_grid().sync(); }
"""


@needs_compiler
def test_a_missing_barrier_shows(cupy):
    x = cupy.arange(64, dtype=cupy.int32)
    out = cupy.zeros(64, dtype=cupy.int32)
    run(FAULTS, "no_barrier", (1,), (64,), x, out)
    assert out.tolist() != x.tolist()[::-1]


@needs_compiler
@pytest.mark.parametrize(
    ("name", "threads", "complaint"),
    [
        ("reads_beyond", 64, "bytes past its end"),
        ("writes_before", 64, "next to an array|before"),
        ("half_wait", 64, "do not come"),
        ("absent_lanes", 48, "never were"),
        ("two_lines", 64, "at line"),
        ("alone", 64, "not cooperative"),
    ],
)
def test_a_fault_is_an_error(cupy, name, threads, complaint):
    x, out = cupy.zeros(64, dtype=cupy.float32), cupy.zeros(64, dtype=cupy.float32)
    with pytest.raises(kernels.LaunchError, match=complaint):
        run(FAULTS, name, (1,), (threads,), x, out)


@needs_compiler
@pytest.mark.parametrize(
    "change",
    [
        {0: np.float32(1)},
        {0: "float64"},
        {2: np.int32(3)},
        {2: 3.0},
        {3: "int64"},
    ],
)
def test_arguments_of_another_type_are_an_error(cupy, change):
    args = [cupy.ones(8, dtype=cupy.float32), cupy.ones(8, dtype=cupy.float16), 8, cupy.zeros(1)]
    for place, value in change.items():
        args[place] = args[place].astype(value) if isinstance(value, str) else value
    with pytest.raises(kernels.LaunchError, match="takes"):
        run(SUMS, "sums", (1,), (128,), *args, shared_mem=8 * 128)


@needs_compiler
@pytest.mark.parametrize(
    ("grid", "block", "shared_mem", "cooperative"),
    [
        ((0,), (32,), 0, False),
        ((1,), (2048,), 0, False),
        ((1,), (32,), 50_000, False),
        ((400,), (32,), 0, True),
    ],
)
def test_a_launch_that_a_device_refuses_is_an_error(cupy, grid, block, shared_mem, cooperative):
    with pytest.raises(kernels.LaunchError):
        run(
            SUMS,
            "chain",
            grid,
            block,
            cupy.zeros(9, dtype=cupy.int32),
            np.int32(1),
            shared_mem=shared_mem,
            cooperative=cooperative,
        )


@needs_compiler
def test_an_elementwise_kernel_broadcasts_and_writes_in_place(cupy):
    scaled = cupy.ElementwiseKernel(
        "float32 x, T by, raw T table", "float32 out", "out = x * by + table[i % 2]", "scaled"
    )
    rows = cupy.arange(6, dtype=cupy.float32).reshape(2, 3)
    table = cupy.asarray(np.array([0.0, 100.0]))
    expected = rows.get() * 2 + np.array([[0, 100, 0], [100, 0, 100]])
    np.testing.assert_array_equal(scaled(rows, 2.0, table).get(), expected)
    scaled(rows, cupy.full((1,), 2.0), table, rows)
    np.testing.assert_array_equal(rows.get(), expected)
    with pytest.raises(TypeError):
        scaled(rows.astype(cupy.float64), 2.0, table)
    with pytest.raises(kernels.LaunchError, match="raw argument of 0"):
        scaled(rows, 2.0, cupy.empty(0))


def test_the_names_are_those_of_cupy():
    cupy = pytest.importorskip("cupy")
    assert set(calls.functions()) <= set(dir(cupy))
    assert set(calls.METHODS.split()) <= set(dir(cupy.ndarray))


def test_cuda_s_compiler_takes_every_kernel():
    pytest.importorskip("cupy")
    assert all(against_cupy.compile_kernels().values())
