"""Evolution as a device does it, ρ in planes and members made again, against the definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engine import UINT32, any_map, specs
from test_engine_evolution import any_rho, telling_ranks
from test_vectors import cases, from_hex

from ecedge import reference
from ecedge.engine import CoreEvolution, sample_synapses
from ecedge.model import SIGNED, NetworkSpec, Policy

SMALL = NetworkSpec(n_obs=3, n_act=2, n_neurons=32, n_exc=20)
MEMBERS = st.one_of(st.sampled_from([0, 1, (1 << 28) - 1]), st.integers(0, (1 << 28) - 1))


def evolution_of(spec: NetworkSpec, rho, **numbers) -> CoreEvolution:
    evolution = CoreEvolution(spec, **numbers)
    evolution.rho = rho
    return evolution


def members_of(rho, population: int, seed: int, generation: int) -> np.ndarray:
    rows = [reference.sample_synapses(rho, seed, generation, k) for k in range(population)]
    return np.stack(rows)


def in_image(spec: NetworkSpec, synapses) -> np.ndarray:
    """Synapses as the words of a policy image."""
    policy = Policy(spec, any_map(np.random.default_rng(1), spec.n_obs), synapses)
    return np.frombuffer(policy.image[48 + 8 * spec.n_obs : -4], "<u4")


@given(rho=st.binary(min_size=SMALL.n_synapses, max_size=SMALL.n_synapses))
@settings(max_examples=20, deadline=None)
def test_planes_hold_what_was_put_in(rho):
    rho = np.frombuffer(rho, np.uint8)
    np.testing.assert_array_equal(evolution_of(SMALL, rho).rho, rho)


def test_evolution_begins_with_even_odds():
    assert set(CoreEvolution(SMALL).rho) == {128}


@given(spec=specs(most_neurons=160), seed=UINT32, generation=UINT32, member=MEMBERS)
@settings(max_examples=40, deadline=None)
def test_a_member_is_sampled_into_its_policy_image(spec, seed, generation, member):
    rho = any_rho(seed, spec.n_synapses, np.uint8)
    expected = in_image(spec, reference.sample_synapses(rho, seed, generation, member))
    evolution = evolution_of(spec, rho, seed=seed, generation=generation)
    np.testing.assert_array_equal(evolution.sample(member), expected)
    half = spec.n_words // 2
    np.testing.assert_array_equal(evolution.sample(member, range(half)), expected[:half])
    rest = evolution.sample(member, range(half, spec.n_words))
    np.testing.assert_array_equal(rest, expected[half:])


@pytest.mark.parametrize("value", range(256))
def test_every_probability_is_sampled_exactly(value):
    rho = np.full(SMALL.n_synapses, value, np.uint8)
    evolution = evolution_of(SMALL, rho, seed=7, generation=value)
    expected = in_image(SMALL, reference.sample_synapses(rho, 7, value, 3))
    np.testing.assert_array_equal(evolution.sample(3), expected)


@pytest.mark.parametrize("size", [2, 3, 17, 128, 301])
def test_gradients_are_the_references(size):
    random = np.random.default_rng(size)
    rho = any_rho(size, SMALL.n_synapses, np.uint8)
    synapses = members_of(rho, size, 5, 6)
    evolution = evolution_of(SMALL, rho, seed=5, generation=6)
    most = min((2**31 - 1) // size, 1 << 20)  # larger than the largest rank
    for ranks in telling_ranks(random, size, most):
        expected = reference.gradient(ranks, synapses)
        np.testing.assert_array_equal(evolution.gradient(ranks), expected)


def test_members_that_are_kept_are_not_made_again():
    rho = any_rho(1, SMALL.n_synapses, np.uint8)
    evolution = evolution_of(SMALL, rho, seed=5)
    evolution.keep(20)
    evolution.rho = np.full(SMALL.n_synapses, 1, np.uint8)  # of which other members would come
    ranks = reference.centered_ranks(np.arange(20))
    expected = reference.gradient(ranks, members_of(rho, 20, 5, 0))
    np.testing.assert_array_equal(evolution.gradient(ranks), expected)


@pytest.mark.parametrize("rank", [1, 1023, 1024, 32767, 32768, 46340])
@pytest.mark.parametrize("value", [0, 255])
def test_sums_that_grow_one_way_are_the_references(value, rank):
    # As many members as the best half of the largest population has, with almost every synapse.
    ranks = np.full(46341 // 2 if rank == 46340 else 100, rank, np.int32)
    rho = np.full(SMALL.n_synapses, value, np.uint8)
    synapses = np.stack([sample_synapses(rho, 1, 2, k) for k in range(len(ranks))])  # quickly
    evolution = evolution_of(SMALL, rho, seed=1, generation=2)
    for signed in (ranks, -ranks):
        expected = reference.gradient(signed, synapses)
        np.testing.assert_array_equal(evolution.gradient(signed), expected)


@given(
    seed=UINT32,
    generation=st.integers(0, 2**32 - 4),
    step=st.one_of(st.sampled_from([0, 1, 2**32 - 1]), UINT32),
    population=st.integers(2, 40),
    kept=st.integers(0, 41),
    form=st.sampled_from([{}, {"form": SIGNED, "n_exc": 32}]),
)
@settings(max_examples=30, deadline=None)
def test_generations_are_the_references(seed, generation, step, population, kept, form):
    spec = NetworkSpec(**{"n_obs": 3, "n_act": 2, "n_neurons": 32, "n_exc": 20} | form)
    random = np.random.default_rng(seed)
    rho = any_rho(seed, spec.n_synapses, np.uint8).clip(1, 255)
    for now in range(generation, generation + 3):
        evolution = evolution_of(spec, rho, seed=seed, generation=now, step=step)
        evolution.keep(kept)
        ranks = reference.centered_ranks(random.integers(-3, 3, population))
        for first in random.permutation(spec.n_words):  # every word by itself, in any order
            evolution.update(ranks, range(first, first + 1))
        gradient = reference.gradient(ranks, members_of(rho, population, seed, now))
        rho = reference.update_rho(rho, gradient, step, seed, now)
        np.testing.assert_array_equal(evolution.rho, rho)


def test_the_golden_updates_come_out():
    eight = [case for case in cases("updates") if case["bits"] == 8]
    assert eight
    for case in eight:
        rho = np.full(SMALL.n_synapses, 128, np.uint8)
        given = from_hex(case["rho"], "u1")
        rho[: len(given)] = given  # words come out alike whatever network they begin
        numbers = {name: case[name] for name in ("seed", "generation", "step")}
        evolution = evolution_of(SMALL, rho, **numbers)
        words = range(len(given) // 32)
        members = [evolution.sample(k, words).tobytes().hex() for k in range(len(case["synapses"]))]
        assert members == case["synapses"]
        ranks = reference.centered_ranks(case["fitness"])
        assert evolution.gradient(ranks)[: len(given)].tolist() == case["gradient"]
        evolution.update(ranks, words)
        assert evolution.rho[: len(given)].tobytes().hex() == case["moved"]
        np.testing.assert_array_equal(evolution.rho[len(given) :], rho[len(given) :])


@pytest.mark.parametrize("words", [range(-1, 2), range(0, 2, 2), range(SMALL.n_words + 1)])
def test_words_that_are_not_there_are_a_value_error(words):
    evolution = CoreEvolution(SMALL)
    with pytest.raises(ValueError):
        evolution.sample(0, words)
    with pytest.raises(ValueError):
        evolution.update([1, -1], words)
