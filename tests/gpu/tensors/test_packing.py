"""What packing loses is what it says, and whole numbers lose nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu import pack_bits, pack_half, pack_int8, unpack_bits, unpack_int8

shapes = st.lists(st.integers(0, 7), min_size=0, max_size=3).map(tuple)


def on_host(array):
    return array if isinstance(array, np.ndarray) else array.get()


def values_of(seed, shape, magnitude, shift, dtype):
    return (np.random.default_rng(seed).standard_normal(shape) * 10.0**magnitude + shift).astype(dtype)


@given(
    lead=shapes,
    length=st.integers(0, 40),
    block=st.integers(1, 20),
    magnitude=st.integers(-20, 20),
    shift=st.sampled_from([0.0, 1.0, -3e4, 1e9]),
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["affine", "symmetric"]),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_int8_is_off_by_half_a_step_at_most(xp, lead, length, block, magnitude, shift, seed, kind, dtype):
    tensor = values_of(seed, (*lead, length), magnitude, shift, dtype)
    packed = pack_int8(xp.asarray(tensor), block=block, kind=kind)
    restored = unpack_int8(packed)
    assert packed.codes.dtype == np.int8
    assert restored.dtype == np.float32
    assert packed.codes.shape == restored.shape == tensor.shape
    assert packed.scales.shape == packed.offsets.shape == (*lead, -(-length // block))
    differences = np.abs(tensor.astype(float) - on_host(restored))
    assert packed.error == differences.max(initial=0.0)
    steps = np.repeat(on_host(packed.scales).astype(float), block, axis=-1)[..., :length]
    roundings = 2 * np.spacing(np.abs(tensor).max(initial=0.0).astype(np.float32))
    assert (differences <= steps / 2 * (1 + 1e-6) + roundings).all()
    if kind == "symmetric":
        assert not on_host(packed.offsets).any()
        assert (on_host(packed.codes) > -128).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_block_s_ends_are_its_least_and_its_largest_value(dtype):
    tensor = np.random.default_rng(1).uniform(-3, 5, (10, 64)).astype(dtype)
    packed = pack_int8(tensor)
    assert (packed.codes.min(axis=1) == -128).all()
    assert (packed.codes.max(axis=1) == 127).all()


@pytest.mark.parametrize("value", [0.0, 1 / 3, -1e30, 3e38])
@pytest.mark.parametrize("kind", ["affine", "symmetric"])
def test_equal_values_are_kept(xp, value, kind):
    tensor = np.full((2, 70), value, dtype=np.float32)
    restored = on_host(unpack_int8(pack_int8(xp.asarray(tensor), kind=kind)))
    np.testing.assert_allclose(restored, tensor, rtol=3e-7 if kind == "symmetric" else 0)


@pytest.mark.parametrize("kind", ["affine", "symmetric"])
@pytest.mark.parametrize("other", [0.0, 1e38, 3e38, -3e38, 3.402823e38, -3.4028235e38, 3.4028235e38])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_values_stay_finite(xp, kind, other, sign):
    tensor = np.array([[3.4028235e38, other]], dtype=np.float32) * np.float32(sign)
    packed = pack_int8(xp.asarray(tensor), kind=kind)
    differences = np.abs(tensor.astype(float) - on_host(unpack_int8(packed)))
    assert packed.error == differences.max()
    assert packed.error <= float(packed.scales[0, 0]) * 0.51


def test_zero_stays_zero_where_blocks_are_symmetric(xp):
    tensor = np.random.default_rng(2).standard_normal((5, 100))
    tensor[:, ::3] = 0
    restored = on_host(unpack_int8(pack_int8(xp.asarray(tensor), kind="symmetric")))
    assert not restored[:, ::3].any()


@given(shape=shapes, magnitude=st.integers(-9, 3), seed=st.integers(0, 2**32 - 1))
def test_half_tells_its_error(xp, shape, magnitude, seed):
    tensor = values_of(seed, shape, magnitude, 0.0, "float32")
    packed = pack_half(xp.asarray(tensor))
    assert packed.values.dtype == np.float16
    differences = np.abs(tensor - on_host(packed.values).astype(np.float32))
    assert packed.error == differences.max(initial=0.0)
    assert (differences <= np.maximum(np.abs(tensor) * 2.0**-11, 2.0**-25)).all()


@pytest.mark.parametrize("pack", [pack_half, pack_int8])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_what_cannot_be_stored_is_refused(xp, pack, bad):
    tensor = np.ones((3, 130))
    tensor[1, 100] = bad
    with pytest.raises(ValueError, match="not finite"):
        pack(xp.asarray(tensor))


def test_the_limits_of_float16():
    assert pack_half(np.array([65504.0])).error == 0
    with pytest.raises(ValueError, match="too large"):
        pack_half(np.array([65520.0]))


@given(count=st.integers(0, 60), bits=st.integers(1, 8), seed=st.integers(0, 2**32 - 1))
def test_whole_numbers_come_back_and_lie_without_gaps(xp, count, bits, seed):
    numbers = np.random.default_rng(seed).integers(0, 1 << bits, count, dtype=np.uint8)
    packed = pack_bits(xp.asarray(numbers), bits)
    assert packed.dtype == np.uint8
    assert packed.shape == (-(-count * bits // 8),)
    plain = sum(int(number) << (bits * place) for place, number in enumerate(numbers))
    assert int.from_bytes(on_host(packed).tobytes(), "little") == plain
    np.testing.assert_array_equal(on_host(unpack_bits(packed, bits, count)), numbers)


def test_any_layout_is_packed_and_left_alone():
    tensor = np.random.default_rng(3).standard_normal((9, 8, 40))[::2].transpose(1, 0, 2)[..., ::-1]
    tensor.flags.writeable = False
    for pack in (pack_int8, pack_half):
        assert pack(tensor).error == pack(tensor.copy()).error
    numbers = np.arange(24, dtype=np.uint8).reshape(4, 6).T
    numbers.flags.writeable = False
    np.testing.assert_array_equal(unpack_bits(pack_bits(numbers, 5), 5, 24), numbers.ravel())


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: pack_half(np.ones(3, dtype=np.float16)), TypeError),
        (lambda: pack_int8(np.ones(3, dtype=int)), TypeError),
        (lambda: pack_int8(np.ones(())), ValueError),
        (lambda: pack_int8(np.ones(3), block=0), ValueError),
        (lambda: pack_int8(np.ones(3), kind="other"), ValueError),
        (lambda: pack_bits(np.ones(3), 3), TypeError),
        (lambda: pack_bits(np.ones(3, dtype=np.uint8), 0), ValueError),
        (lambda: pack_bits(np.ones(3, dtype=np.uint8), 9), ValueError),
        (lambda: pack_bits(np.full(3, 8, dtype=np.uint8), 3), ValueError),
        (lambda: unpack_bits(np.ones(3, dtype=np.uint8), 3, 9), ValueError),
        (lambda: unpack_bits(np.ones(3, dtype=np.uint8), 3, -1), ValueError),
        (lambda: unpack_bits(np.ones((3, 1), dtype=np.uint8), 8, 3), ValueError),
        (lambda: unpack_bits(np.ones(3, dtype=np.int8), 8, 3), TypeError),
    ],
)
def test_what_makes_no_sense_is_refused(call, error):
    with pytest.raises(error):
        call()
