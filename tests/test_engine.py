"""The compiled bodies against the definition, bit for bit: every kernel and the firmware's core."""

import os
import signal
import time
import zlib
from dataclasses import astuple, dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecedge import engine, reference
from ecedge.engine import Batch, CoreNetwork, kernels
from ecedge.errors import PolicyError, ToolError
from ecedge.hil import within
from ecedge.link import Limit
from ecedge.model import (
    CONTINUOUS,
    DISCRETE,
    EXCITATORY_INHIBITORY,
    LIMITS,
    SIGNED,
    NetworkSpec,
    ObservationMap,
    Policy,
    decode_action,
)
from ecedge.reference.network import input_drive, substep, unpacked

FORMS = [EXCITATORY_INHIBITORY, SIGNED]
DENSITIES = [0.0, 0.1, 0.5, 0.9, 1.0]
SETTINGS = [name for name in LIMITS if name.endswith(("_shift", "_gain"))]
UINT32 = st.integers(0, 2**32 - 1)

every_kernel = pytest.mark.parametrize("kernel", kernels())


# --- random networks, and their states in every body ------------------------------------------


def bits(random: np.random.Generator, spec: NetworkSpec, density: float) -> np.ndarray:
    """Synapses (n_rows, N / 32) uint32 of which `density` are set."""
    return packed(random.random((spec.n_rows, spec.n_neurons)) < density)


def packed(chosen) -> np.ndarray:
    """(..., N) bool -> (..., N / 32) uint32."""
    return np.packbits(chosen, axis=-1, bitorder="little").view("<u4")


def full(spec: NetworkSpec) -> np.ndarray:
    """All synapses set, except that negative observations reach no neuron."""
    synapses = np.full((spec.n_rows, spec.n_neurons // 32), 0xFFFFFFFF)
    synapses[spec.n_obs : 2 * spec.n_obs] = 0
    return synapses


def any_map(random: np.random.Generator, n_obs: int) -> ObservationMap:
    """Fields of every magnitude, the ends of their ranges among them."""
    multiplier = 2 ** random.integers(0, 16, n_obs) - random.integers(0, 2, n_obs)
    return ObservationMap(
        random.integers(-32768, 32768, n_obs) >> random.integers(0, 16, n_obs),
        np.minimum(multiplier, 32767),
        random.integers(0, 17, n_obs),
        random.integers(-16, 31, n_obs),
    )


def any_policy(seed: int, spec: NetworkSpec, density: float = 0.5) -> Policy:
    random = np.random.default_rng(seed)
    return Policy(spec, any_map(random, spec.n_obs), bits(random, spec, density))


def any_raw(seed: int, *shape: int) -> np.ndarray:
    """Counts (..., n_obs) int16, small and large ones, the ends of their range among them."""
    random = np.random.default_rng(seed)
    wide = random.choice([-32768, 32767, 0, *random.integers(-32768, 32768, 5)], shape)
    return (wide >> random.integers(0, 16, shape)).astype(np.int16)


def plain_map(n_obs: int) -> ObservationMap:
    """q is the count itself."""
    nothing = np.zeros(n_obs, int)
    return ObservationMap(nothing, nothing + 1, nothing, nothing)


def reference_states(policy: Policy, raw) -> list[bytes]:
    """The state after each step. raw: (T, n_obs)."""
    state, states = reference.reset(policy.spec), []
    for row in raw:
        state = reference.control_step(policy, state, row)
        states.append(reference.state_bytes(state))
    return states


def core_states(policy: Policy, raw) -> list[bytes]:
    network, states = CoreNetwork(policy), []
    for row in raw:
        network.step(row)
        states.append(network.state())
    return states


def kernel_states(kernel: str, policy: Policy, raw) -> list[bytes]:
    batch = batch_of(policy, 1, threads=1, kernel=kernel)
    states = []
    for row in raw:
        batch.step(row[None])
        states.append(batch.state(0))
    return states


def batch_of(policy: Policy, population: int, **how) -> Batch:
    """A batch whose members all are `policy`."""
    batch = Batch(policy.spec, population, **how)
    batch.set_map(policy.observation_map)
    for member in range(population):
        batch.load(member, policy.synapses)
    return batch


def assert_every_body_agrees(policy: Policy, raw) -> list[bytes]:
    expected = reference_states(policy, raw)
    assert core_states(policy, raw) == expected, "core"
    for kernel in kernels():
        assert kernel_states(kernel, policy, raw) == expected, kernel
    return expected


def split(spec: NetworkSpec, states: list[bytes]):
    """current (T, N), membrane (T, N), spikes (T, N / 8), output (T, n_act) of states."""
    n = spec.n_neurons
    rows = np.frombuffer(b"".join(states), np.uint8).reshape(len(states), -1)
    current, membrane, spikes, output = np.split(rows, [n, 2 * n, 2 * n + n // 8], axis=1)
    return current.view(np.int8), membrane.view(np.int8), spikes, output.copy().view("<i2")


@st.composite
def specs(draw, most_neurons=1024):
    n_neurons = 32 * draw(st.integers(1, most_neurons // 32))
    form = draw(st.sampled_from(FORMS))
    return NetworkSpec(
        n_obs=draw(st.integers(1, 9)),
        n_act=draw(st.integers(1, 7)),
        n_neurons=n_neurons,
        n_exc=n_neurons if form == SIGNED else draw(st.integers(0, n_neurons)),
        form=form,
        substeps=draw(st.integers(1, max(1, 1024 // n_neurons))),
        **{name: draw(st.integers(*LIMITS[name])) for name in SETTINGS},
    )


# --- the step ---------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(specs(), st.sampled_from(DENSITIES), UINT32)
def test_a_random_network_has_the_references_bits(spec, density, seed):
    assert_every_body_agrees(any_policy(seed, spec, density), any_raw(seed, 4, spec.n_obs))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n_neurons", range(32, 1025, 32))
def test_every_width_has_the_references_bits(n_neurons, form):
    n_exc = n_neurons if form == SIGNED else n_neurons // 2 - 5
    spec = NetworkSpec(3, 5, n_neurons, n_exc=n_exc, form=form, substeps=2)
    assert_every_body_agrees(any_policy(n_neurons, spec), any_raw(1, 3, 3))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "name, value",
    [(name, value) for name in SETTINGS for value in range(LIMITS[name][0], LIMITS[name][1] + 1)],
)
def test_every_shift_and_gain_has_the_references_bits(name, value, form):
    spec = NetworkSpec(3, 3, 64, form=form, substeps=3, **{name: value})
    assert_every_body_agrees(any_policy(value + 7, spec), any_raw(value + 7, 6, 3))


@pytest.mark.parametrize("n_exc", [0, 1, 31, 32, 33, 63, 64, 65, 95, 96])
def test_the_border_between_groups_may_lie_anywhere(n_exc):
    spec = NetworkSpec(3, 3, 96, n_exc=n_exc, substeps=4)
    assert_every_body_agrees(any_policy(n_exc, spec), any_raw(n_exc, 8, 3))


@pytest.mark.parametrize(
    "n_obs, n_act", [(1, 1), (2, 64), (63, 3), (64, 3), (65, 3), (348, 17), (1024, 1)]
)
def test_every_count_of_observations_and_outputs_has_the_references_bits(n_obs, n_act):
    spec = NetworkSpec(n_obs, n_act, 64, substeps=3, input_shift=2)
    assert_every_body_agrees(any_policy(n_obs, spec), any_raw(n_act, 4, n_obs))


@pytest.mark.parametrize("form", FORMS)
def test_the_largest_network_has_the_references_bits(form):
    spec = NetworkSpec(1024, 64, 1024, form=form, substeps=64, recurrent_gain=-5)
    assert_every_body_agrees(any_policy(3, spec), any_raw(4, 1, 1024))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n_neurons", [32, 96, 256, 512, 1024])
def test_saturated_networks_have_the_references_bits(n_neurons, form):
    spec = NetworkSpec(
        3, 4, n_neurons, form=form, substeps=2, recurrent_gain=7, output_gain=12, output_shift=7
    )
    synapses = bits(np.random.default_rng(5), spec, 0.5)
    excites = np.arange(n_neurons) < spec.n_exc
    synapses[spec.rows_out][:2] = packed(excites), packed(~excites)  # one only rises, one falls
    policy = Policy(spec, plain_map(3), synapses)
    states = assert_every_body_agrees(policy, any_raw(6, 25, 3))
    current, membrane, _, output = split(spec, states)
    assert (current.min(), current.max()) == (-128, 127)
    assert membrane.min() == -128
    assert (output.min(), output.max()) == (-32768, 32767)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("n_neurons", [128, 160, 512, 1024])
def test_counts_beyond_eight_bits_saturate_as_in_the_reference(n_neurons, sign):
    # All neurons spike and reach all neurons, so S is ±N before it is cut to eight bits. The input
    # stops after a step that made everything spike, so that S alone shows in the current.
    spec = NetworkSpec(1, 1, n_neurons, n_exc=n_neurons if sign > 0 else 0, substeps=1)
    policy = Policy(spec, plain_map(1), full(spec))
    states = assert_every_body_agrees(policy, np.array([[127], [0]], np.int16))
    current, *_ = split(spec, states)
    assert set(current[1]) == {127 if sign > 0 else -128}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n_neurons", [32, 288, 1024])
def test_a_silent_network_has_the_references_bits(n_neurons, form):
    spec = NetworkSpec(3, 3, n_neurons, form=form, substeps=4)
    policy = Policy(spec, plain_map(3), np.zeros(spec.n_words))
    states = assert_every_body_agrees(policy, any_raw(1, 5, 3))
    assert not split(spec, states)[2].any()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n_neurons", [32, 288, 1024])
def test_a_network_that_always_spikes_has_the_references_bits(n_neurons, form):
    spec = NetworkSpec(1, 3, n_neurons, n_exc=n_neurons, form=form, substeps=4)
    policy = Policy(spec, plain_map(1), full(spec))
    states = assert_every_body_agrees(policy, np.full((5, 1), 127, np.int16))
    assert (split(spec, states)[2] == 0xFF).all()


@every_kernel
@pytest.mark.parametrize("form", FORMS)
def test_spikes_are_counted(kernel, form):
    spec = NetworkSpec(3, 3, 160, form=form, substeps=5)
    policy, raw = any_policy(1, spec), any_raw(2, 6, 3)
    core, batch = CoreNetwork(policy), batch_of(policy, 1, kernel=kernel)
    w_in, w_rec, w_out = unpacked(policy)
    state, total = reference.reset(spec), 0
    for row in raw:
        drive, spikes = input_drive(policy, w_in, row), 0
        for _ in range(spec.substeps):
            state = substep(spec, w_rec, w_out, drive, state)
            spikes += int(state.spikes.sum())
        core.step(row)
        batch.step(row[None])
        assert core.spike_count == spikes
        total += spikes
    assert total > 0
    assert batch.activity == total / (len(raw) * spec.substeps * spec.n_neurons)


@settings(max_examples=25, deadline=None)
@given(specs(most_neurons=256), UINT32, UINT32)
def test_the_core_digests_and_golden_traces_as_the_reference(spec, seed, crc):
    policy, raw = any_policy(seed, spec), any_raw(seed, 3, spec.n_obs)
    network = CoreNetwork(policy)
    network.run(raw)
    assert network.digest(crc) == zlib.crc32(reference_states(policy, raw)[-1], crc)
    traced = reference.with_golden_trace(policy, 5)
    network = CoreNetwork(traced)
    network.run(raw)
    assert network.golden_crc() == traced.golden_crc
    assert network.state() == reference.state_bytes(reference.reset(spec))


def test_a_golden_trace_that_is_wrong_comes_out_right():
    policy = any_policy(1, NetworkSpec(3, 2, 32))
    right = reference.golden_crc(policy, 4)
    assert CoreNetwork(policy.with_golden(4, right ^ 1)).golden_crc() == right


# --- members ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Population:
    """Members of one shape with synapses of their own. raw: (T, population, n_obs) int16."""

    spec: NetworkSpec
    observation_map: ObservationMap
    synapses: list[np.ndarray]
    raw: np.ndarray

    def batch(self, **how) -> Batch:
        batch = Batch(self.spec, len(self.synapses), **how)
        batch.set_map(self.observation_map)
        for member, synapses in enumerate(self.synapses):
            batch.load(member, synapses)
        return batch

    def policy(self, member: int) -> Policy:
        return Policy(self.spec, self.observation_map, self.synapses[member])


def population(size: int, steps: int, seed: int = 0, **shape) -> Population:
    spec = NetworkSpec(**{"n_obs": 5, "n_act": 3, "n_neurons": 96, "substeps": 3} | shape)
    random = np.random.default_rng(seed)
    synapses = [bits(random, spec, random.choice(DENSITIES)) for _ in range(size)]
    return Population(
        spec, any_map(random, spec.n_obs), synapses, any_raw(seed, steps, size, spec.n_obs)
    )


def all_states(batch: Batch) -> list[bytes]:
    return [batch.state(member) for member in range(batch.population)]


@every_kernel
@pytest.mark.parametrize("shape", [{}, {"n_neurons": 544}, {"form": SIGNED}])
def test_members_are_independent(kernel, shape):
    members = population(9, 4, **shape)
    batch = members.batch(kernel=kernel, threads=2)
    outputs = [batch.step(raw) for raw in members.raw]
    for member in range(9):
        states = reference_states(members.policy(member), members.raw[:, member])
        assert batch.state(member) == states[-1]
        expected = split(members.spec, states)[3]
        np.testing.assert_array_equal([output[member] for output in outputs], expected)


@every_kernel
def test_inactive_members_are_left_untouched(kernel):
    members = population(11, 2)
    batch = members.batch(kernel=kernel, threads=2)
    batch.step(members.raw[0])
    before = all_states(batch)
    active = np.arange(11) % 3 == 1
    out = np.full((11, 3), 12345, np.int16)
    batch.step(members.raw[1], active, out=out)
    for member in range(11):
        states = reference_states(members.policy(member), members.raw[:, member])
        assert batch.state(member) == (states[1] if active[member] else before[member])
    assert (out[~active] == 12345).all()
    outputs = split(members.spec, all_states(batch))[3]
    np.testing.assert_array_equal(out[active], outputs[active])


def observations_of(observation_map: ObservationMap, raw, off) -> np.ndarray:
    """Observations that encode near the counts `raw`, `off` (of the same shape) counts beside."""
    return np.ldexp(raw + off, -observation_map.exponent)


@every_kernel
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("actions", [CONTINUOUS, DISCRETE])
def test_acting_is_encode_step_and_decode(kernel, threads, actions):
    random = np.random.default_rng(threads)
    members = population(13, 8, actions=actions, output_gain=10)
    off = random.choice([0, 0.5, -0.5, 0.3, 1e5, -1e300, 1e-300], members.raw.shape)
    low = random.uniform(-9, 0, members.spec.n_act).astype(np.float32)
    high = low + random.uniform(0, 9, members.spec.n_act).astype(np.float32)
    acting, stepped = (members.batch(kernel=kernel, threads=threads) for _ in range(2))
    row = () if actions == DISCRETE else (members.spec.n_act,)
    out = np.zeros((13, *row), np.int64 if actions == DISCRETE else np.float32)
    expected = out.copy()
    for raw, beside in zip(members.raw, off, strict=True):
        seen = observations_of(members.observation_map, raw, beside)
        active = random.random(13) < 0.7
        output = stepped.step(members.observation_map.encode(seen), active)
        expected[active] = decode_action(members.spec, output, low, high)[active]
        seen[~active] = np.nan  # not looked at
        if threads == 1:
            for part in (slice(0, 5), slice(5, 13)):
                acting.act(part.start, seen[part], active[part], low, high, out[part])
        else:
            acting.act(0, seen, active, low, high, out)
        np.testing.assert_array_equal(out, expected)
        assert all_states(acting) == all_states(stepped)


def any_limit(random) -> Limit:
    low, high = sorted(random.integers(-32768, 32768, 2))
    return Limit(int(low), int(high), int(random.choice([0, 1, 900, 65535])))


@every_kernel
@pytest.mark.parametrize("actions", [CONTINUOUS, DISCRETE])
def test_acting_keeps_outputs_within_limits_as_a_device_does(kernel, actions):
    random = np.random.default_rng(5)
    members = population(9, 60, actions=actions, output_gain=10)
    low, high = np.float32([[-1] * members.spec.n_act, [1] * members.spec.n_act])
    acting, stepped = (members.batch(kernel=kernel) for _ in range(2))
    applied = np.zeros((9, members.spec.n_act), np.int16)
    clamps = 0
    for number, raw in enumerate(members.raw):
        if number % 20 == 0:
            limits = [any_limit(random) for _ in range(members.spec.n_act)]
            acting.set_limits(map(astuple, limits))
        if number % 7 == 3:  # an episode begins with outputs of 0
            begins = random.random(9) < 0.5
            for batch in acting, stepped:
                batch.reset(begins)
            applied[begins] = 0
        active = random.random(9) < 0.7
        seen = observations_of(members.observation_map, raw, 0)
        output = stepped.step(members.observation_map.encode(seen), active)
        for member in np.flatnonzero(active):
            applied[member] = within(limits, output[member], applied[member])
        clamps += np.count_nonzero(applied[active] != output[active])
        expected = decode_action(members.spec, applied, low, high)[active]
        out = np.zeros((9, *expected.shape[1:]), expected.dtype)
        for part in (slice(0, 4), slice(4, 9)):
            acting.act(part.start, seen[part], active[part], low, high, out[part])
        np.testing.assert_array_equal(out[active], expected)
        assert all_states(acting) == all_states(stepped)
    assert clamps > 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("threads", [1, 2])
def test_acting_refuses_what_is_not_finite(value, threads):
    members = population(20, 1)
    batch = members.batch(threads=threads)
    seen = np.zeros((20, members.spec.n_obs))
    seen[17, -1] = value
    bounds = np.zeros((2, members.spec.n_act), np.float32)
    with pytest.raises(PolicyError, match="finite"):
        batch.act(0, seen, np.ones(20, bool), *bounds, np.zeros((20, 3), np.float32))


@every_kernel
def test_a_step_of_no_member_changes_nothing(kernel):
    members = population(5, 1)
    batch = members.batch(kernel=kernel)
    before = all_states(batch)
    assert not batch.step(members.raw[0], np.zeros(5, bool)).any()
    assert all_states(batch) == before


@every_kernel
def test_a_reset_reaches_the_chosen_members_alone(kernel):
    members = population(70, 2)
    batch = members.batch(kernel=kernel, threads=3)
    fresh = reference.state_bytes(reference.reset(members.spec))
    assert set(all_states(batch)) == {fresh}
    batch.step(members.raw[0])
    before = all_states(batch)
    which = np.arange(70) % 4 == 0
    batch.reset(which)
    expected = [fresh if which[member] else before[member] for member in range(70)]
    assert all_states(batch) == expected
    batch.reset()
    assert set(all_states(batch)) == {fresh}


@every_kernel
def test_an_episode_after_a_reset_is_the_first_again(kernel):
    members = population(5, 3)
    batch = members.batch(kernel=kernel)
    runs = []
    for _ in range(2):
        batch.reset()
        for raw in members.raw:
            batch.step(raw)
        runs.append(all_states(batch))
    assert runs[0] == runs[1]


@every_kernel
@settings(max_examples=20, deadline=None)
@given(spec=specs(), seed=UINT32)
def test_stored_synapses_are_what_was_loaded(kernel, spec, seed):
    random = np.random.default_rng(seed)
    rows = [bits(random, spec, 0.5) for _ in range(3)]
    batch = Batch(spec, 3, kernel=kernel)
    for member, row in enumerate(rows):
        batch.load(member, row)
    for member, row in enumerate(rows):
        np.testing.assert_array_equal(batch.store(member), row.ravel())


@every_kernel
def test_new_synapses_leave_the_state_alone(kernel):
    members = population(3, 1)
    batch = members.batch(kernel=kernel)
    batch.step(members.raw[0])
    before = all_states(batch)
    batch.load(1, members.synapses[0])
    batch.sample(np.full(members.spec.n_synapses, 1 << 15, np.uint16), 1, 2)
    assert all_states(batch) == before


# --- threads and kernels ----------------------------------------------------------------------


@every_kernel
@pytest.mark.parametrize("threads", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [1, 37])
def test_results_do_not_depend_on_threads_or_kernel(kernel, threads, size):
    everything = outcome(size, kernel, threads)
    assert everything == outcome(size, kernels()[-1], 1)


def outcome(size: int, kernel: str, threads: int) -> list[bytes]:
    """All that a generation of a population leaves."""
    members = population(size, 5, n_neurons=160, n_obs=7)
    batch = members.batch(kernel=kernel, threads=threads)
    rho = np.random.default_rng(1).integers(66, 65471, members.spec.n_synapses).astype(np.uint16)
    batch.sample(rho, 3, 4)
    left = []
    for step, raw in enumerate(members.raw):
        left.append(batch.step(raw, active=np.arange(size) % 5 != step).tobytes())
    ranks = reference.centered_ranks(np.random.default_rng(2).integers(0, 9, size))
    left += [batch.gradient(ranks).tobytes(), str(batch.activity).encode()]
    left += [batch.store(member).tobytes() for member in range(size)]
    return left + all_states(batch)


@every_kernel
def test_a_batch_tells_its_kernel(kernel):
    assert Batch(NetworkSpec(1, 1), 1, kernel=kernel).kernel == kernel


def test_the_best_kernel_is_the_default():
    assert Batch(NetworkSpec(1, 1), 1).kernel == kernels()[0]


# --- what is refused --------------------------------------------------------------------------


SMALL = NetworkSpec(n_obs=3, n_act=2, n_neurons=32)
RHO = np.full(SMALL.n_synapses, 1 << 15, np.uint16)


@every_kernel
@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda batch: batch.load(4, np.zeros(SMALL.n_words)), id="load-member"),
        pytest.param(lambda batch: batch.load(-1, np.zeros(SMALL.n_words)), id="load-negative"),
        pytest.param(lambda batch: batch.load(0, np.zeros(SMALL.n_words - 1)), id="load-words"),
        pytest.param(lambda batch: batch.store(4), id="store-member"),
        pytest.param(lambda batch: batch.state(4), id="state-member"),
        pytest.param(lambda batch: batch.state(-1), id="state-negative"),
        pytest.param(lambda batch: batch.sample(RHO[1:], 0, 0), id="sample-length"),
        pytest.param(lambda batch: batch.sample(np.repeat(RHO, 2)[::2], 0, 0), id="sample-strided"),
        pytest.param(lambda batch: batch.sample(RHO.astype(float), 0, 0), id="sample-floats"),
        pytest.param(lambda batch: batch.sample(RHO, 0, 0, (1 << 28) - 3), id="sample-first"),
        pytest.param(lambda batch: batch.sample(RHO, -1, 0), id="sample-seed"),
        pytest.param(lambda batch: batch.sample(RHO, 0, 1 << 32), id="sample-generation"),
        pytest.param(lambda batch: batch.gradient([1, -1]), id="ranks-few"),
        pytest.param(lambda batch: batch.gradient([1, 1, -1, 0]), id="ranks-sum"),
        pytest.param(lambda batch: batch.gradient([1 << 14, -(1 << 14), 0, 0]), id="ranks-large"),
        pytest.param(lambda batch: batch.step(np.zeros((4, 2), np.int16)), id="step-channels"),
        pytest.param(lambda batch: batch.step(np.zeros((3, 3), np.int16)), id="step-members"),
        pytest.param(lambda batch: batch.step(RAW, np.ones(3, bool)), id="step-active"),
        pytest.param(lambda batch: batch.step(RAW, out=np.zeros((4, 1), np.int16)), id="out-shape"),
        pytest.param(lambda batch: batch.step(RAW, out=np.zeros((4, 2), np.int32)), id="out-type"),
        pytest.param(
            lambda batch: batch.step(RAW, out=np.zeros((4, 4), np.int16)[:, ::2]), id="out-strided"
        ),
        pytest.param(lambda batch: batch.step(RAW, out=FROZEN), id="out-read-only"),
        pytest.param(lambda batch: batch.reset(np.ones(5, bool)), id="reset-mask"),
        pytest.param(lambda batch: batch.set_map(plain_map(2)), id="map-channels"),
        pytest.param(lambda batch: batch.set_limits([(0, 1, 2)]), id="limits-few"),
        pytest.param(lambda batch: batch.set_limits([(0, 1, 2), (1, 0, 2)]), id="limits-empty"),
        pytest.param(lambda batch: batch.set_limits([(0, 1, 2), (0, 1, -1)]), id="limits-slew"),
        pytest.param(lambda batch: batch.set_limits([(0, 1, 2), (0, 1.5, 2)]), id="limits-floats"),
    ],
)
def test_a_wrong_argument_is_a_value_error_and_changes_nothing(kernel, use):
    batch = Batch(SMALL, 4, kernel=kernel)
    batch.set_map(plain_map(3))
    batch.sample(RHO, 1, 2)
    batch.step(RAW)
    before = [*all_states(batch), *(batch.store(member).tobytes() for member in range(4))]
    with pytest.raises(ValueError):
        use(batch)
    assert [*all_states(batch), *(batch.store(m).tobytes() for m in range(4))] == before


RAW = any_raw(1, 4, 3)
FROZEN = np.zeros((4, 2), np.int16)
FROZEN.setflags(write=False)


def test_a_population_too_large_for_its_sums_is_refused():
    batch = Batch(SMALL, 1 << 14)
    with pytest.raises(ValueError):
        batch.gradient(np.zeros(1 << 14, np.int32))


@pytest.mark.parametrize(
    "arguments",
    [
        {"population": 0},
        {"population": -1},
        {"population": 1 << 32},
        {"population": 1, "kernel": "sse9"},
        {"population": 1, "threads": -1},
    ],
)
def test_a_batch_that_cannot_be_made_is_a_tool_error(arguments):
    with pytest.raises(ToolError, match="could not be made"):
        Batch(SMALL, **arguments)


def test_a_batch_beyond_memory_is_a_tool_error():
    with pytest.raises(ToolError, match="memory is short"):
        Batch(NetworkSpec(1024, 64, 1024), (1 << 32) - 1, threads=1)


@pytest.mark.parametrize(
    "rho, gradient",
    [
        (RHO[:64], np.zeros(63, np.int32)),
        (RHO[:64].astype(np.int32), np.zeros(64, np.int32)),
        (RHO[:64].astype(float), np.zeros(64, np.int32)),
    ],
)
def test_an_update_of_what_is_no_rho_is_a_value_error(rho, gradient):
    with pytest.raises(ValueError):
        engine.update_rho(rho, gradient, 1, 0, 0)


@pytest.mark.parametrize("rho", [RHO[:33], RHO[:64].astype(float)])
def test_a_sample_of_what_is_no_rho_is_a_value_error(rho):
    with pytest.raises(ValueError):
        engine.sample_synapses(rho, 0, 0, 0)


def test_the_core_refuses_counts_of_another_shape():
    with pytest.raises(ValueError):
        CoreNetwork(any_policy(1, SMALL)).step(np.zeros(4, np.int16))


def test_the_core_refuses_a_damaged_image():
    image = bytearray(any_policy(1, SMALL).image)
    image[100] ^= 1
    with pytest.raises(PolicyError, match="core refuses"):
        CoreNetwork(bytes(image))


# --- forks ------------------------------------------------------------------------------------


def test_a_forked_child_steps_and_forgets_its_batch():
    """It has none of the threads: all the work is its own, and there is nobody to wait for."""
    batch = Batch(NetworkSpec(n_obs=2, n_act=1, n_neurons=32), 4, threads=3)
    counts = np.full((4, 2), 1000, np.int16)
    expected = batch.step(counts).tolist()
    batch.reset()
    child = os.fork()
    if child == 0:
        equal = batch.step(counts).tolist() == expected
        del batch
        os._exit(7 if equal else 1)
    deadline = time.monotonic() + 20
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.01)
    if ended == (0, 0):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(ended[1]) == 7
