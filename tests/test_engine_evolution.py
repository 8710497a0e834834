"""The compiled bodies' randomness, members and gradients against the definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engine import UINT32, every_kernel, population, specs

from ecedge import engine, reference
from ecedge.engine import Batch, kernels
from ecedge.model import SIGNED, NetworkSpec


@pytest.mark.parametrize(
    "counter, key, result",
    [  # Random123's kat_vectors, threefry2x32 with 20 rounds
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_has_the_published_answers(counter, key, result):
    assert engine.threefry2x32(key, counter) == result


@given(st.tuples(UINT32, UINT32), st.tuples(UINT32, UINT32))
def test_threefry_is_the_references(key, counter):
    assert engine.threefry2x32(key, counter) == reference.threefry2x32(key, counter)


def any_rho(seed: int, n_synapses: int, dtype) -> np.ndarray:
    """All magnitudes, and runs of the extremes: lanes that are decided late or never."""
    random = np.random.default_rng(seed)
    top = np.iinfo(dtype).max
    rho = random.integers(0, top + 1, n_synapses) >> random.integers(0, 16, n_synapses)
    ends = random.choice([0, 1, top // 2, top // 2 + 1, top - 1, top], n_synapses)
    return np.where(random.random(n_synapses) < 0.3, ends, rho).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint16, np.uint8])
@settings(max_examples=25, deadline=None)
@given(
    spec=specs(most_neurons=160),
    seed=UINT32,
    generation=UINT32,
    first=st.one_of(st.sampled_from([0, 1, (1 << 28) - 3]), st.integers(0, (1 << 28) - 3)),
)
def test_samples_are_the_references(dtype, spec, seed, generation, first):
    rho = any_rho(seed, spec.n_synapses, dtype)
    expected = [reference.sample_synapses(rho, seed, generation, first + k) for k in range(3)]
    np.testing.assert_array_equal(
        engine.sample_synapses(rho, seed, generation, first + 1), expected[1]
    )
    for kernel in kernels():
        batch = Batch(spec, 3, threads=2, kernel=kernel)
        batch.sample(rho, seed, generation, first)
        for k in range(3):
            np.testing.assert_array_equal(batch.store(k), expected[k], kernel)


@every_kernel
@pytest.mark.parametrize("dtype", [np.uint16, np.uint8])
@pytest.mark.parametrize("extreme", ["lowest", "highest"])
def test_the_extremes_of_rho_are_sampled_exactly(kernel, dtype, extreme):
    spec = NetworkSpec(9, 3, 1024)
    value = 0 if extreme == "lowest" else np.iinfo(dtype).max
    rho = np.full(spec.n_synapses, value, dtype)
    batch = Batch(spec, 2, kernel=kernel)
    batch.sample(rho, 5, 6)
    for k in range(2):
        np.testing.assert_array_equal(batch.store(k), reference.sample_synapses(rho, 5, 6, k))
        if extreme == "lowest":
            assert not batch.store(k).any()


def ranks_of(random: np.random.Generator, size: int, reach: int) -> np.ndarray:
    """Weights (size,) int32 up to `reach` that sum to 0; the odd one out gets none."""
    half = random.integers(1, reach + 1, size // 2)
    ranks = np.concatenate([half, -half, np.zeros(size % 2, int)])
    return random.permutation(ranks).astype(np.int32)


def telling_ranks(random: np.random.Generator, size: int, most: int) -> list[np.ndarray]:
    """Weights (size,) of a generation as it comes, of one with ties, and at their extremes."""
    return [
        reference.centered_ranks(random.random(size)),
        reference.centered_ranks(random.integers(0, 2, size)),
        ranks_of(random, size, most),
        np.array([most, -most] + [0] * (size - 2), np.int32),
        np.zeros(size, np.int32),
    ]


@every_kernel
@pytest.mark.parametrize("size", [2, 3, 17, 300])
@pytest.mark.parametrize("shape", [{}, {"n_neurons": 32, "n_exc": 3}, {"form": SIGNED}])
def test_gradients_are_the_references(kernel, size, shape):
    members = population(size, 1, **shape)
    batch, random = members.batch(kernel=kernel, threads=2), np.random.default_rng(size)
    stacked = np.stack([synapses.ravel() for synapses in members.synapses])
    for ranks in telling_ranks(random, size, (1 << 14) - 1):
        np.testing.assert_array_equal(batch.gradient(ranks), reference.gradient(ranks, stacked))


@every_kernel
def test_the_largest_population_has_the_references_gradient(kernel):
    spec, size = NetworkSpec(1, 1, 32), (1 << 14) - 1
    rho = np.full(spec.n_synapses, 60000, np.uint16)
    batch, random = Batch(spec, size, kernel=kernel), np.random.default_rng(3)
    batch.sample(rho, 1, 2)
    stacked = np.stack([batch.store(member) for member in range(size)])
    order = random.permutation(size)
    for ranks in (
        reference.centered_ranks(random.random(size)),
        np.sign(order - size // 2) * size,  # as large as they may be
    ):
        np.testing.assert_array_equal(batch.gradient(ranks), reference.gradient(ranks, stacked))


@pytest.mark.parametrize("dtype", [np.uint16, np.uint8])
@settings(max_examples=40, deadline=None)
@given(
    step=st.one_of(st.sampled_from([0, 1, 2**32 - 1]), UINT32),
    reach=st.integers(0, 31),
    seed=UINT32,
    generation=UINT32,
)
def test_updates_are_the_references(dtype, step, reach, seed, generation):
    random = np.random.default_rng(seed)
    low, high = (66, 65470) if dtype == np.uint16 else (1, 255)
    rho = random.integers(low, high + 1, 257).astype(dtype)
    gradient = random.integers(-(2**reach), 2**reach, 257).astype(np.int32)
    gradient[:2] = -(2**31), 2**31 - 1
    before = rho.copy()
    moved = engine.update_rho(rho, gradient, step, seed, generation)
    expected = reference.update_rho(rho, gradient, step, seed, generation)
    assert moved.dtype == expected.dtype
    np.testing.assert_array_equal(moved, expected)
    np.testing.assert_array_equal(rho, before)


@pytest.mark.parametrize("dtype, bounds", [(np.uint16, (66, 65470)), (np.uint8, (1, 255))])
def test_updates_stop_at_the_bounds(dtype, bounds):
    rho = np.full(2, np.iinfo(dtype).max // 2, dtype)
    gradient = np.array([-(2**31), 2**31 - 1], np.int32)
    assert tuple(engine.update_rho(rho, gradient, 2**32 - 1, 0, 0)) == bounds
