"""The definition against docs/MODEL.md, written out a second time in plain Python integers."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecedge import reference
from ecedge.errors import PolicyError, UsageError
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
from ecedge.reference.network import State, golden_input

INT8 = st.integers(-128, 127)
INT16 = st.integers(-32768, 32767)
UINT32 = st.integers(0, 2**32 - 1)


# --- docs/MODEL.md section 1, one neuron at a time -------------------------------------------


def clamp(x, low, high):
    return min(max(x, low), high)


def sat8(x):
    return clamp(x, -128, 127)


def round_shift(x, k):
    return x if k == 0 else math.floor(Fraction(x + 2 ** (k - 1), 2**k))


def shift(x, k):
    return math.floor(Fraction(x, 2**k))


def scalar_control_step(policy, bits, c, v, s, o, raw):
    """bits: rows of 0 and 1. Returns new c, v, s, o, all of them lists of ints."""
    spec, m = policy.spec, policy.observation_map
    n, n_obs, n_act = spec.n_neurons, spec.n_obs, spec.n_act
    w_in, w_rec, w_out = bits[: 2 * n_obs], bits[2 * n_obs : 2 * n_obs + n], bits[-n_act:]
    q = [
        clamp(round_shift((raw[i] - int(m.offset[i])) * int(m.multiplier[i]), int(m.shift[i])),
              -127, 127)
        for i in range(n_obs)
    ]  # fmt: skip
    x = [
        clamp(round_shift(sum(q[i] * (w_in[i][j] - w_in[n_obs + i][j]) for i in range(n_obs)),
                          spec.input_shift), -127, 127)
        for j in range(n)
    ]  # fmt: skip

    def count(connected):
        """The spikes s through the synapses connected(i), signed by group or form."""
        firing = [i for i in range(n) if s[i]]
        if spec.form == SIGNED:
            return 2 * sum(connected(i) for i in firing) - len(firing)
        return sum(connected(i) if i < spec.n_exc else -connected(i) for i in firing)

    for _ in range(spec.substeps):
        totals = [count(lambda i, j=j: w_rec[i][j]) for j in range(n)]
        for j in range(n):
            gain = spec.recurrent_gain
            g = sat8(sat8(totals[j]) * 2**gain) if gain >= 0 else shift(sat8(totals[j]), -gain)
            c[j] = sat8(c[j] - shift(c[j], spec.current_shift) + g)
            v[j] = sat8(v[j] - shift(v[j], spec.membrane_shift) + sat8(c[j] + x[j]))
        s = [int(v[j] >= 64) for j in range(n)]
        v = [0 if s[j] else v[j] for j in range(n)]
        for a in range(n_act):
            weighed = count(lambda i, a=a: w_out[a][i]) * 2**spec.output_gain
            o[a] = clamp(o[a] - shift(o[a], spec.output_shift) + weighed, -32768, 32767)
    return c, v, s, o


# --- random networks -------------------------------------------------------------------------


@st.composite
def specs(draw):
    n = draw(st.sampled_from([32, 64]))
    form = draw(st.sampled_from([EXCITATORY_INHIBITORY, SIGNED]))
    free = {
        name: draw(st.integers(*LIMITS[name]))
        for name in LIMITS
        if name.endswith(("_shift", "_gain")) or name == "actions"
    }
    return NetworkSpec(
        n_obs=draw(st.integers(1, 5)),
        n_act=draw(st.integers(1, 5)),
        n_neurons=n,
        n_exc=n if form == SIGNED else draw(st.integers(0, n)),
        form=form,
        substeps=draw(st.integers(1, 4)),
        **free,
    )


@st.composite
def policies(draw):
    """(policy, its bits (n_rows, N) of 0 and 1): sparse, dense, empty and full ones."""
    spec = draw(specs())
    random = np.random.default_rng(draw(UINT32))
    bits = random.random((spec.n_rows, spec.n_neurons)) < draw(st.sampled_from([0, 0.1, 0.5, 1]))
    per_channel = [
        draw(st.lists(st.integers(*limits), min_size=spec.n_obs, max_size=spec.n_obs))
        for limits in ObservationMap.LIMITS.values()
    ]
    return policy_of(spec, ObservationMap(*per_channel), bits), bits.astype(int).tolist()


def policy_of(spec, observation_map, bits) -> Policy:
    packed = np.packbits(np.asarray(bits, bool), axis=1, bitorder="little").view("<u4")
    return Policy(spec, observation_map, packed)


def plain_map(n_obs, multiplier=1, offset=0, shift=0, exponent=0) -> ObservationMap:
    return ObservationMap(*(np.full(n_obs, x) for x in (offset, multiplier, shift, exponent)))


def lists_of(state: State):
    return [field.tolist() for field in (state.current, state.membrane, state.spikes, state.output)]


# --- the step --------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(data=st.data(), network=policies())
def test_a_control_step_from_any_state_equals_plain_integers(data, network):
    policy, bits = network
    spec = policy.spec
    random = np.random.default_rng(data.draw(UINT32))
    state = State(
        random.integers(-128, 128, spec.n_neurons, np.int32),
        random.integers(-128, 64, spec.n_neurons, np.int32),
        random.integers(0, 2, spec.n_neurons, np.int32),
        random.integers(-32768, 32768, spec.n_act, np.int32),
    )
    raw = data.draw(st.lists(INT16, min_size=spec.n_obs, max_size=spec.n_obs))
    expected = scalar_control_step(policy, bits, *lists_of(state), raw)
    assert lists_of(reference.control_step(policy, state, raw)) == list(expected)


@pytest.mark.parametrize("form", [EXCITATORY_INHIBITORY, SIGNED])
def test_runs_through_every_saturation_equal_plain_integers(form):
    spec = NetworkSpec(2, 3, 32, form=form, recurrent_gain=7, output_gain=12, substeps=2)
    bits = np.random.default_rng(0).random((spec.n_rows, 32)) < 0.6
    bits[-3] = True if form == SIGNED else np.arange(32) < spec.n_exc
    bits[-2] = ~bits[-3]
    policy = policy_of(spec, plain_map(2), bits)
    state = reference.reset(spec)
    lists, seen = lists_of(state), []
    for raw in ([0, 0], [32767, 0], [-32768, 0], [127, 127], [-127, -127], [90, -90]) * 4:
        state = reference.control_step(policy, state, raw)
        lists = scalar_control_step(policy, bits.astype(int).tolist(), *lists, raw)
        assert lists_of(state) == list(lists)
        seen.append(state)
    currents, membranes, _, outputs = map(np.concatenate, zip(*map(lists_of, seen), strict=True))
    assert (currents.min(), currents.max()) == (-128, 127)
    assert membranes.min() == -128
    assert (outputs.min(), outputs.max()) == (-32768, 32767)


def test_reset_staggers_the_membranes_below_threshold():
    state = reference.reset(NetworkSpec(1, 2, 96))
    assert state.membrane.tolist() == [37 * i % 64 for i in range(96)]
    assert not (state.current.any() or state.spikes.any() or state.output.any())


def test_the_digest_orders_current_membrane_spikes_output():
    spikes = np.zeros(32, int)
    spikes[[0, 9, 31]] = 1
    state = State(np.full(32, -1), np.full(32, 63), spikes, np.array([-2, 513]))
    expected = b"\xff" * 32 + b"\x3f" * 32 + bytes([1, 2, 0, 128]) + b"\xfe\xff\x01\x02"
    assert reference.state_bytes(state) == expected


@given(offset=INT16, step=st.integers(0, 40))
def test_golden_inputs_are_noise_around_the_offset(offset, step):
    spec = NetworkSpec(3, 1, 32)
    policy = Policy(spec, plain_map(3, offset=offset), np.zeros(spec.n_words))
    for channel, value in enumerate(golden_input(policy, step).tolist()):
        word = int(reference.threefry2x32((0x45434754, step), (channel, 0))[0])
        noise = (word & 0xFFFF) - 0x10000 * (word >> 15 & 1)
        assert value == clamp(offset + shift(noise, step % 8), -32768, 32767)


# --- observations ----------------------------------------------------------------------------


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.integers(-16, 30))
def test_encode_rounds_halves_to_even_and_saturates(value, exponent):
    count = plain_map(1, exponent=exponent).encode([value])
    assert count.dtype == np.int16
    assert count[0] == clamp(round(Fraction(value) * Fraction(2) ** exponent), -32768, 32767)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_encode_refuses_what_is_not_finite(value):
    with pytest.raises(PolicyError, match="not a finite number"):
        plain_map(2).encode([0.0, value])


@given(
    deviation=st.floats(1e-5, 1e5),
    distance=st.floats(-20, 20),
    gain=st.floats(0.5, 64),
    z=st.floats(-8, 8),
)
def test_from_statistics_is_the_affine_map_within_a_unit(deviation, distance, gain, z):
    mean = distance * deviation
    observation_map = ObservationMap.from_statistics([mean], [deviation], gain)
    physical = np.float32(mean + z * deviation)
    raw = int(observation_map.encode([physical])[0])
    product = (raw - int(observation_map.offset[0])) * int(observation_map.multiplier[0])
    q = round_shift(product, int(observation_map.shift[0]))
    assert abs(q - gain * (float(physical) - mean) / deviation) <= 1.0 + gain / 512


def test_from_statistics_switches_dead_channels_off():
    observation_map = ObservationMap.from_statistics([1.0, 0.0], [0.0, 1.0], 32)
    assert observation_map.multiplier[0] == 0 and observation_map.multiplier[1] > 0


@pytest.mark.parametrize("mean, deviation", [(math.nan, 1.0), (0.0, math.nan), (math.inf, 1.0)])
def test_from_statistics_refuses_what_is_not_finite(mean, deviation):
    with pytest.raises(PolicyError):
        ObservationMap.from_statistics([mean], [deviation], 32)


# --- the image -------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(network=policies(), steps=st.integers(0, 64), crc=UINT32)
def test_an_image_gives_its_policy_back(network, steps, crc):
    policy = replace(network[0], golden_steps=steps, golden_crc=crc)
    image = policy.image
    again = Policy.from_image(image)
    assert len(image) == policy.spec.image_size
    assert again.spec == policy.spec and again.observation_map == policy.observation_map
    assert (again.synapses == policy.synapses).all()
    assert (again.golden_steps, again.golden_crc, again.hash) == (steps, crc, policy.hash)
    assert again.image == image


@pytest.fixture(scope="module")
def small_image():
    spec = NetworkSpec(1, 1, 32, n_exc=20, substeps=1)
    bits = np.random.default_rng(1).random((spec.n_rows, 32)) < 0.5
    return reference.with_golden_trace(policy_of(spec, plain_map(1, 3, 5, 2, 1), bits)).image


def test_every_prefix_of_an_image_is_refused(small_image):
    for size in range(len(small_image)):
        with pytest.raises(PolicyError):
            Policy.from_image(small_image[:size])


def test_every_flipped_bit_of_an_image_is_refused(small_image):
    for bit in range(8 * len(small_image)):
        damaged = bytearray(small_image)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PolicyError):
            Policy.from_image(bytes(damaged))


@given(st.binary(max_size=400))
def test_random_bytes_are_refused(data):
    with pytest.raises(PolicyError):
        Policy.from_image(data)


def test_inhibitory_rows_are_stored_complemented():
    spec = NetworkSpec(1, 1, 32, n_exc=20)
    image = Policy(spec, plain_map(1), np.zeros(spec.n_words)).image
    rows = np.frombuffer(image[56:-4], "<u4")
    assert not rows[:22].any() and (rows[22:34] == 0xFFFFFFFF).all() and not rows[34:].any()


# --- sampling and evolution ------------------------------------------------------------------


def scalar_sample(rho, planes, seed, generation, member):
    """docs/MODEL.md section 4, lane by lane, stopping where a lane is decided."""
    bits = []
    for index, probability in enumerate(rho):
        word, lane, theta = index // 32, index % 32, 0
        for plane in range(planes):
            x = reference.threefry2x32((seed, generation), (word, 8 * member + plane // 2))
            random = int(x[plane % 2]) >> lane & 1
            wanted = probability >> (planes - 1 - plane) & 1
            if random != wanted:
                theta = wanted
                break
        bits.append(theta)
    return bits


@settings(max_examples=12, deadline=None)
@given(
    dtype=st.sampled_from([np.uint16, np.uint8]),
    seed=UINT32,
    generation=UINT32,
    member=st.integers(0, 2**28 - 1),
    data=st.data(),
)
def test_sampling_compares_plane_by_plane(dtype, seed, generation, member, data):
    top = np.iinfo(dtype).max
    rho = data.draw(st.lists(st.integers(0, top), min_size=32, max_size=32))
    packed = reference.sample_synapses(np.array(rho, dtype), seed, generation, member)
    bits = [int(packed[0]) >> b & 1 for b in range(32)]
    assert bits == scalar_sample(rho, 8 * np.dtype(dtype).itemsize, seed, generation, member)


@pytest.mark.parametrize("dtype, half", [(np.uint16, 32768), (np.uint8, 128)])
def test_the_deterministic_policy_takes_half_as_one(dtype, half):
    rho = np.array([half - 1, half, 0, 2 * half - 1] * 8, dtype)
    assert reference.deterministic_synapses(rho).tolist() == [0xAAAAAAAA]


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=40))
def test_ranks_count_the_beaten_less_the_better_and_sum_to_zero(fitness):
    expected = [sum(g < f for g in fitness) - sum(g > f for g in fitness) for f in fitness]
    ranks = reference.centered_ranks(fitness)
    assert ranks.tolist() == expected and ranks.sum() == 0 and ranks.dtype == np.int32


def test_equal_fitness_moves_nothing():
    members = np.array([[7], [9], [0xFFFFFFFF]], np.uint32)
    assert not reference.gradient(reference.centered_ranks([3, 3, 3]), members).any()


@given(st.lists(st.tuples(st.integers(-500, 500), UINT32), min_size=1, max_size=9))
def test_the_gradient_sums_ranks_over_set_bits(pairs):
    ranks, words = zip(*pairs, strict=True)
    expected = [sum(r * (w >> b & 1) for r, w in pairs) for b in range(32)]
    members = np.array(words, np.uint32)[:, None]
    assert reference.gradient(np.array(ranks), members).tolist() == expected


@settings(max_examples=50, deadline=None)
@given(
    bits=st.sampled_from([16, 8]),
    step=UINT32,
    seed=UINT32,
    generation=UINT32,
    reach=st.sampled_from([1, 50, 2**21]),
    data=st.data(),
)
def test_an_update_rounds_and_clips_in_exact_integers(bits, step, seed, generation, reach, data):
    low, high = (66, 65470) if bits == 16 else (1, 255)
    rho = data.draw(st.lists(st.integers(low, high), min_size=32, max_size=32))
    gradient = data.draw(st.lists(st.integers(-reach, reach), min_size=32, max_size=32))
    expected = []
    for i in range(32):
        if bits == 16:
            moved = rho[i] + shift(step * gradient[i] + 2**15, 16)
        else:
            pair = reference.threefry2x32((seed, generation), (i // 2, 0x80000000))
            moved = rho[i] + shift(step * gradient[i] + int(pair[i % 2]) % 2**24, 24)
        expected.append(clamp(moved, low, high))
    before = np.array(rho, np.uint16 if bits == 16 else np.uint8)
    moved = reference.update_rho(before, np.array(gradient), step, seed, generation)
    assert moved.tolist() == expected and moved.dtype == before.dtype


def test_a_step_that_does_not_fit_a_word_is_refused():
    with pytest.raises(UsageError, match="out of range"):
        reference.step_size(1.0, 2)


# --- actions ---------------------------------------------------------------------------------


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=6))
def test_a_discrete_action_is_the_first_of_the_largest(output):
    spec = NetworkSpec(1, len(output), 32, actions=DISCRETE)
    assert decode_action(spec, np.array(output, np.int16)) == output.index(max(output))


@given(output=INT16, low=st.floats(-100, 0, width=32), span=st.floats(0, 100, width=32))
def test_a_continuous_action_maps_one_to_the_bounds(output, low, span):
    spec = NetworkSpec(1, 1, 32, actions=CONTINUOUS)
    low = np.float32(low)
    high = np.float32(low + np.float32(span))
    action = decode_action(spec, np.array([output], np.int16), [low], [high])
    fraction = np.float32((clamp(output, -2048, 2048) + 2048) / 4096)
    assert action.dtype == np.float32
    assert action[0] == low + np.float32(np.float32(high - low) * fraction)
