"""Ask and tell: what a search promises to whoever drives it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecedge import reference
from ecedge.engine import Batch
from ecedge.errors import TrainingError, UsageError
from ecedge.evolution import STEPS, Evolution
from ecedge.model import NetworkSpec

SPEC = NetworkSpec(n_obs=2, n_act=1, n_neurons=32)
POPULATION = 12
KINDS = [(8, "plain"), *((16, step) for step in STEPS)]

every_kind = pytest.mark.parametrize("rho_bits, step", KINDS)
every_step = pytest.mark.parametrize("step", STEPS)


class Plain:
    """The least that a search asks of a population, made of the reference alone."""

    def __init__(self, population: int):
        self.population = population

    def sample(self, rho, seed, generation):
        members = range(self.population)
        rows = [reference.sample_synapses(rho, seed, generation, member) for member in members]
        self.synapses = np.stack(rows)

    def gradient(self, ranks):
        return reference.gradient(ranks, self.synapses)


def search(n_synapses=SPEC.n_synapses, **how) -> Evolution:
    return Evolution(n_synapses, **{"population": POPULATION, "learning_rate": 0.2} | how)


def networks(population=POPULATION) -> Batch:
    return Batch(SPEC, population, threads=1)


def run(evolution: Evolution, population, generations: int) -> list[bytes]:
    """ρ after each generation, for a fitness that follows from the generation."""
    passed = []
    for _ in range(generations):
        evolution.ask(population)
        random = np.random.default_rng(evolution.generation)
        evolution.tell(population, random.integers(0, 6, evolution.population))
        passed.append(evolution.rho.tobytes())
    return passed


# --- the same bits --------------------------------------------------------------------------


@every_kind
def test_the_same_seed_and_fitness_give_the_same_bits(rho_bits, step):
    first, second = (search(seed=5, rho_bits=rho_bits, step=step) for _ in range(2))
    assert run(first, networks(), 6) == run(second, networks(), 6)


@every_kind
def test_the_engine_and_the_reference_give_the_same_bits(rho_bits, step):
    first, second = (search(seed=5, rho_bits=rho_bits, step=step) for _ in range(2))
    assert run(first, networks(), 6) == run(second, Plain(POPULATION), 6)


def test_another_seed_gives_other_bits():
    assert run(search(seed=1), networks(), 2) != run(search(seed=2), networks(), 2)


def test_each_generation_asks_for_other_members():
    evolution, members = search(), Plain(POPULATION)
    evolution.ask(members)
    before = members.synapses
    evolution.tell(members, np.zeros(POPULATION))
    evolution.ask(members)
    assert (members.synapses != before).any()


def test_asking_twice_gives_the_same_members():
    evolution, members = search(), Plain(POPULATION)
    evolution.ask(members)
    before = members.synapses
    evolution.ask(members)
    np.testing.assert_array_equal(members.synapses, before)


def test_the_plain_step_is_the_specifications():
    evolution, members = search(seed=3), Plain(POPULATION)
    evolution.ask(members)
    fitness = np.arange(POPULATION) ** 2
    gradient = reference.gradient(reference.centered_ranks(fitness), members.synapses)
    size = reference.step_size(0.2, POPULATION)
    expected = reference.update_rho(evolution.rho, gradient, size, seed=3, generation=0)
    evolution.tell(members, fitness)
    np.testing.assert_array_equal(evolution.rho, expected)
    assert evolution.generation == 1


@every_kind
@pytest.mark.parametrize("done", [0, 1, 4])
def test_a_restored_search_goes_on_to_the_same_bits(rho_bits, step, done):
    whole = search(seed=5, rho_bits=rho_bits, step=step)
    expected = run(whole, networks(), 8)
    first = search(seed=5, rho_bits=rho_bits, step=step)
    begun = run(first, networks(), done)
    saved = {name: np.array(array) for name, array in first.state().items()}
    second = search(seed=5, rho_bits=rho_bits, step=step)
    second.restore(saved)
    assert second.generation == done
    assert begun + run(second, networks(), 8 - done) == expected


@every_kind
def test_a_saved_state_does_not_follow_the_search(rho_bits, step):
    evolution = search(seed=5, rho_bits=rho_bits, step=step)
    run(evolution, networks(), 2)
    state = evolution.state()
    before = {name: np.array(array) for name, array in state.items()}
    run(evolution, networks(), 2)
    for name, array in before.items():
        np.testing.assert_array_equal(state[name], array)


# --- ranks ----------------------------------------------------------------------------------


@every_step
@pytest.mark.parametrize("fitness", [0.0, -3.5, math.inf])
def test_constant_fitness_leaves_rho_unchanged(step, fitness):
    evolution, members = search(step=step), networks()
    for _ in range(3):
        evolution.ask(members)
        evolution.tell(members, np.full(POPULATION, fitness))
    assert set(evolution.rho) == {32768}


@given(st.lists(st.integers(-3, 3), min_size=POPULATION, max_size=POPULATION))
@settings(max_examples=30, deadline=None)
def test_only_the_order_of_fitness_counts(fitness):
    linear, bent = search(), search()
    for evolution, told in ((linear, np.array(fitness)), (bent, np.exp(np.array(fitness) * 5.0))):
        members = Plain(POPULATION)
        evolution.ask(members)
        evolution.tell(members, told)
    np.testing.assert_array_equal(linear.rho, bent.rho)


def test_tied_members_move_nothing_against_each_other():
    # The upper half beats the lower: within a half it must not matter who holds which synapse.
    evolution, members = search(), Plain(4)
    evolution.population = 4
    members.synapses = np.zeros((4, SPEC.n_words), np.uint32)
    members.synapses[0] = members.synapses[2] = 0x0000FFFF  # one of either half
    evolution.tell(members, [1.0, 1.0, 0.0, 0.0])
    assert set(evolution.rho) == {32768}


def test_infinite_fitness_is_ordered_like_any_other():
    infinite, finite = search(), search()
    for evolution, best in ((infinite, math.inf), (finite, 100.0)):
        members = Plain(POPULATION)
        evolution.ask(members)
        evolution.tell(members, [best, -best, *range(POPULATION - 2)])
    np.testing.assert_array_equal(infinite.rho, finite.rho)


# --- bounds and progress --------------------------------------------------------------------


def ones_of(members: Batch, words=slice(None)) -> np.ndarray:
    """Synapses that are set, of each member (P,)."""
    rows = [members.store(member)[words] for member in range(members.population)]
    return np.bitwise_count(rows).sum(axis=1).astype(int)


@every_kind
def test_rho_reaches_its_bounds_and_stays_in_them(rho_bits, step):
    low, high = {16: (66, 65470), 8: (1, 255)}[rho_bits]
    evolution = search(population=32, learning_rate=0.9, rho_bits=rho_bits, step=step)
    members = networks(32)
    for _ in range(60):
        evolution.ask(members)
        evolution.tell(members, ones_of(members, slice(0, 18)) - ones_of(members, slice(18, None)))
        assert low <= evolution.rho.min() and evolution.rho.max() <= high
    assert (evolution.rho.min(), evolution.rho.max()) == (low, high)


@every_kind
def test_counting_ones_is_learned(rho_bits, step):
    rate = 0.02 if step == "adam" else 0.1
    evolution = search(population=64, learning_rate=rate, rho_bits=rho_bits, step=step)
    members = networks(64)
    for _ in range(120):
        evolution.ask(members)
        evolution.tell(members, ones_of(members))
    assert np.bitwise_count(evolution.deterministic()).sum() > 0.85 * SPEC.n_synapses
    assert evolution.certainty > 0.5


@pytest.mark.parametrize("rho_bits", [16, 8])
def test_a_search_begins_with_even_odds(rho_bits):
    evolution = search(rho_bits=rho_bits)
    assert set(evolution.rho) == {1 << (rho_bits - 1)}
    assert evolution.certainty == 0
    assert (evolution.deterministic() == 0xFFFFFFFF).all()


def test_probabilities_cannot_be_written_behind_its_back():
    evolution = search()
    run(evolution, networks(), 1)
    with pytest.raises(ValueError):
        evolution.rho[0] = 1


# --- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong, complaint",
    [
        ({"population": 1}, "population has 2 to 16000"),
        ({"population": 16001}, "population has 2 to 16000"),
        ({"population": -5}, "population has 2 to 16000"),
        ({"learning_rate": 0.0}, "learning rate is 0.0"),
        ({"learning_rate": 1.0}, "learning rate is 1.0"),
        ({"learning_rate": math.nan}, "learning rate is nan"),
        ({"rho_bits": 12}, "rho has 16 or 8 bits, not 12"),
        ({"step": "sideways"}, "no step 'sideways'; there are plain, momentum, adam"),
        ({"rho_bits": 8, "step": "adam"}, "plain step only"),
        ({"half_life": 0}, "half-life is 0 generations"),
        (
            {"population": 16000, "learning_rate": 0.01, "half_life": 10},
            "3.90625e-05 is out of range",
        ),
        ({"seed": -1}, "seed is a number from 0"),
        ({"seed": 1 << 32}, "seed is a number from 0"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(wrong, complaint):
    with pytest.raises(UsageError, match=complaint):
        search(**wrong)


@every_step
def test_a_fitness_that_is_no_number_leaves_the_search_where_it_was(step):
    evolution, untouched = search(step=step), search(step=step)
    members = networks()
    run(evolution, members, 2)
    run(untouched, networks(), 2)
    evolution.ask(members)
    with pytest.raises(TrainingError, match="not a number"):
        evolution.tell(members, [math.nan] + [0.0] * (POPULATION - 1))
    assert evolution.generation == 2
    assert run(evolution, members, 3) == run(untouched, networks(), 3)


@pytest.mark.parametrize(
    "generation, rate", [(0, 0.2), (10, 0.1), (15, 0.1 / 2**0.5), (999, 0.2 / 256)]
)
def test_the_learning_rate_halves_in_its_half_life(generation, rate):
    evolution = search(half_life=10)
    evolution.generation = generation
    assert evolution.rate == pytest.approx(rate)
    assert search().rate == 0.2


def test_a_rate_that_halves_moves_less_and_less():
    members = Plain(POPULATION)
    constant, halving = search(learning_rate=0.02), search(learning_rate=0.02, half_life=1)
    for evolution in (constant, halving):
        moves = []
        for _ in range(3):
            before = evolution.rho.astype(int)
            evolution.ask(members)
            evolution.tell(members, np.arange(POPULATION))
            moves.append(np.abs(evolution.rho - before).mean())
        if evolution is halving:
            assert moves[1] < 0.75 * moves[0] and moves[2] < 0.75 * moves[1]
        else:
            assert moves[2] > 0.75 * moves[0]


def test_a_scaled_step_is_the_plain_one_at_a_half_and_small_at_the_edge():
    plain, scaled = STEPS["plain"](POPULATION), STEPS["scaled"](POPULATION)
    gradient = np.array([40, -40], np.int32)
    middle, edge = np.full(2, 32768, np.uint16), np.full(2, 6554, np.uint16)  # 0.5 and 0.1
    moved = [step.update(middle, gradient, 0.1, 0, 0).astype(int) for step in (plain, scaled)]
    assert np.abs(moved[0] - moved[1]).max() <= 1
    by = [step.update(edge, gradient, 0.01, 0, 0)[0] - 6554.0 for step in (plain, scaled)]
    assert by[1] == pytest.approx(0.36 * by[0], abs=1)


def test_a_sign_step_moves_every_synapse_by_the_rate():
    rho = np.full(3, 32768, np.uint16)
    moved = STEPS["sign"](POPULATION).update(rho, np.array([7, 0, -900], np.int32), 0.25, 0, 0)
    assert moved.tolist() == [49152, 32768, 16384]


@pytest.mark.parametrize("count", [0, POPULATION - 1, POPULATION + 1])
def test_a_fitness_for_each_member_is_asked_for(count):
    evolution, members = search(), networks()
    evolution.ask(members)
    with pytest.raises(ValueError):
        evolution.tell(members, np.zeros(count))
    assert evolution.generation == 0


@pytest.mark.parametrize(
    "other", [{"n_synapses": SPEC.n_synapses + 32}, {"rho_bits": 8}], ids=["size", "bits"]
)
def test_the_state_of_another_search_is_refused(other):
    evolution = search()
    with pytest.raises(UsageError, match="another network"):
        evolution.restore(search(**other).state())
    assert set(evolution.rho) == {32768}
