"""The one-bit network's rivals: what they compute, how evolution strategies train them, and that
their policies are kept as well as any other."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from ecedge import reference
from ecedge.cli import main
from ecedge.engine import Rivals, combine, kernels, signed_weights
from ecedge.errors import PolicyError, StorageError, ToolError, TrainingError, UsageError
from ecedge.evolution import Strategies
from ecedge.model import (
    DISCRETE,
    EXCITATORY_INHIBITORY,
    SIGNED,
    NetworkSpec,
    ObservationMap,
    Policy,
)
from ecedge.policy_file import load_policy
from ecedge.tasks import find_task
from ecedge.training.checkpoint import load_checkpoint
from ecedge.training.kinds import KINDS
from ecedge.training.log import read_log
from ecedge.training.normaliser import CLIP, Normaliser
from ecedge.training.real import RealNetworks, Scale, decode, load_real_policy
from ecedge.training.rollout import evaluate
from ecedge.training.settings import Settings
from ecedge.training.trainer import Trainer

DENSE = ("gru", "lstm", "mlp")
REAL = ("rsnn", *DENSE)
SPIKING = ("rsnn", "float64", "int16")
FRACTION = 6

SPECS = [
    NetworkSpec(3, 1, 32, substeps=4),
    NetworkSpec(5, 3, 96, n_exc=40, substeps=6, recurrent_gain=2, output_gain=3, current_shift=1),
    NetworkSpec(17, 6, 128, form=SIGNED, recurrent_gain=-2, membrane_shift=4, output_shift=5),
    NetworkSpec(1, 64, 32, substeps=3, actions=DISCRETE),
]
every_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.n_neurons}")
every_real = pytest.mark.parametrize("kind", REAL)

SMALL = Settings(
    "CartPole-v1",
    seed=3,
    generations=6,
    population=13,  # the last member has no mirror image
    neurons=32,
    substeps=4,
    horizon=60,
    evaluate_every=2,
    evaluation_episodes=4,
)


def small(kind: str, **changes) -> Settings:
    return replace(SMALL, kind=kind, **changes)


def train(settings, folder, threads=1) -> Trainer:
    trainer = Trainer(settings, folder, threads)
    for _ in trainer:
        pass
    return trainer


def result(folder) -> dict:
    """Everything that a run leaves, but the time it took."""
    stored, state = load_checkpoint(folder / "checkpoint.npz")
    del state["seconds"]
    return {
        "settings": stored,
        "state": {name: array.tobytes() for name, array in state.items()},
        "log": [entry | {"seconds": None} for entry in read_log(folder / "log.jsonl")],
        "policy": (folder / "policy.npz").read_bytes(),
    }


# --- the definition, in NumPy ---------------------------------------------------------------


def decay(x, shift):
    if np.issubdtype(x.dtype, np.integer):
        return x - (x >> shift)
    return x * x.dtype.type(1 - 2.0**-shift)


def identity(x):
    return x


def sat16(x):
    return np.clip(x, -32768, 32767)


def spiking(model: str, spec: NetworkSpec, weights, inputs):
    """(c, v, output) after each control step. inputs: (T, n_obs) float64."""
    number, fit, unit = {
        "rsnn": (np.float32, identity, 1),
        "float64": (np.float64, identity, 1),
        "int16": (np.int32, sat16, 1 << FRACTION),
    }[model]
    n = spec.n_neurons
    rows = weights.reshape(-1, n).astype(number)
    w_in, w_rec, w_out = np.split(rows, [spec.n_obs, spec.n_obs + n])
    up = spec.recurrent_gain
    if model == "int16":
        up += FRACTION

    def gain(sums, k):
        if model != "int16":
            return sums * number(2.0**k)
        return sat16(sums << k if k >= 0 else sums >> -k)

    c, o = np.zeros(n, number), np.zeros(spec.n_act, number)
    v = (37 * np.arange(n) % 64 * unit).astype(number)
    spikes = np.zeros(0, int)
    for row in inputs.astype(number):
        drive = np.zeros(n, number)
        for value, weight in zip(row, w_in, strict=True):  # in the order of the inputs
            drive = drive + value * weight
        x = fit(drive)
        for _ in range(spec.substeps):
            sums = np.zeros(n, number)
            for i in spikes:
                sums = sums + w_rec[i]
            c = fit(decay(c, spec.current_shift) + gain(sums, up))
            v = fit(decay(v, spec.membrane_shift) + fit(c + x))
            fires = v >= 64 * unit
            v = np.where(fires, number(0), v)
            spikes = np.flatnonzero(fires)
            counts = np.zeros(spec.n_act, number)
            for i in spikes:
                counts = counts + w_out[:, i]
            o = fit(decay(o, spec.output_shift) + counts * number(2.0**spec.output_gain))
        yield c, v, o


def logistic(x):
    return 1 / (1 + np.exp(-x))


def dense(model: str, spec: NetworkSpec, weights, inputs):
    """(h, c, output) after each control step, in float64."""
    n, gates = spec.n_neurons, {"gru": 3, "lstm": 4, "mlp": 1}[model]
    sizes = [spec.n_obs * gates * n, n * gates * n, gates * n, 0 if model == "lstm" else n]
    sizes += [n * spec.n_act, spec.n_act]
    w, u, b, d, out, e = np.split(weights.astype(float), np.cumsum(sizes)[:-1])
    w, u, out = w.reshape(-1, gates * n), u.reshape(n, -1), out.reshape(n, -1)
    h, c = np.zeros(n), np.zeros(n)
    for row in inputs:
        x, s = np.split(row @ w + b, gates), np.split(h @ u, gates)
        if model == "gru":
            r, z = logistic(x[0] + s[0]), logistic(x[1] + s[1])
            h = (1 - z) * np.tanh(x[2] + r * (s[2] + d)) + z * h
        elif model == "mlp":
            c = np.maximum(0, x[0])
            h = np.maximum(0, c @ u + d)
        else:
            i, f, g, o = (a + b for a, b in zip(x, s, strict=True))
            c = logistic(f) * c + logistic(i) * np.tanh(g)
            h = logistic(o) * np.tanh(c)
        yield h, c, h @ out + e


def case(model: str, spec: NetworkSpec, steps: int = 12):
    """Weights with which the network is alive, and inputs."""
    random = np.random.default_rng(spec.n_neurons)
    inputs = random.normal(0, 1.5, (steps, spec.n_obs))
    n = spec.n_neurons
    if model in DENSE:
        size = Rivals(model, spec, 1, threads=1).n_weights
        return (random.normal(size=size) * 0.3).astype(np.float32), inputs
    shape = spec.n_obs + n + spec.n_act, n
    if model == "rsnn":
        weights = random.normal(size=shape)
        weights[: spec.n_obs] *= 12
        return weights.ravel().astype(np.float32), inputs
    weights = random.integers(-1, 2, shape).astype(np.int8)
    inputs *= 12
    return weights.ravel(), np.rint(inputs * 2**FRACTION) if model == "int16" else inputs


def stepped(model: str, spec: NetworkSpec, weights, inputs, **how):
    """(state, output) after each step of the engine."""
    how.setdefault("fraction", FRACTION if model == "int16" else 0)
    rivals = Rivals(model, spec, 1, threads=1, **how)
    rivals.load(0, weights)
    out = np.zeros((1, spec.n_act))
    for row in inputs:
        rivals.step_part(0, row[None], [True], out)
        yield *rivals.state(0), out[0].copy()
    if model in SPIKING:
        spikes, substeps = rivals.counts
        assert substeps == len(inputs) * spec.substeps * spec.n_neurons
        assert 0 < spikes < substeps, "the case says nothing"


@every_spec
@pytest.mark.parametrize("model", SPIKING)
def test_a_spiking_rival_has_the_bits_of_its_definition(model, spec):
    weights, inputs = case(model, spec)
    for expected, got in zip(
        spiking(model, spec, weights, inputs), stepped(model, spec, weights, inputs), strict=True
    ):
        for one, other in zip(expected, got, strict=True):
            np.testing.assert_array_equal(one, other)


def test_int16_saturates_as_its_definition():
    spec = NetworkSpec(2, 2, 64, substeps=8, recurrent_gain=7, output_gain=12, current_shift=7)
    weights, inputs = case("int16", spec)
    inputs *= 40
    expected = list(spiking("int16", spec, weights, inputs))
    assert max(np.abs(c).max() for c, _, _ in expected) == 32768
    got = list(stepped("int16", spec, weights, inputs))
    np.testing.assert_array_equal(np.hstack(expected[-1]), np.hstack(got[-1]))


@pytest.mark.parametrize("form", [EXCITATORY_INHIBITORY, SIGNED])
def test_int16_is_the_one_bit_network_where_eight_bits_do_not_saturate(form):
    shifts = {"current_shift": 1, "membrane_shift": 1, "recurrent_gain": -2}
    spec = NetworkSpec(3, 2, 64, form=form, substeps=8, **shifts)
    random = np.random.default_rng(form)
    rows = random.integers(0, 1 << 32, (spec.n_words,), dtype=np.uint32)
    rows &= random.integers(0, 1 << 32, (spec.n_words,), dtype=np.uint32)
    rows &= random.integers(0, 1 << 32, (spec.n_words,), dtype=np.uint32)  # few synapses
    if form == SIGNED:
        rows[2 * spec.n_obs * 2 :] ^= np.uint32(0xF0F0CCAA)  # about as many of +1 as of -1
    nothing = np.zeros(spec.n_obs, int)
    policy = Policy(spec, ObservationMap(nothing, nothing + 1, nothing, nothing), rows)
    inputs = random.integers(-6, 7, (20, spec.n_obs)).astype(np.float64)
    inputs[:, 0] += 28
    got = stepped("int16", spec, signed_weights(spec, rows), inputs, fraction=0)
    state, largest, spikes = reference.reset(spec), 0, 0
    for row, (c, v, output) in zip(inputs, got, strict=True):
        for state in list(reference.substeps(policy, state, row.astype(np.int16))):  # noqa: B020
            largest = max(largest, np.abs(state.current).max(), np.abs(state.membrane).max())
            spikes += state.spikes.sum()
        np.testing.assert_array_equal(c, state.current)
        np.testing.assert_array_equal(v, state.membrane)
        np.testing.assert_array_equal(output, state.output)
    assert largest < 127 and spikes, "the case says nothing"


@every_spec
@pytest.mark.parametrize("model", DENSE)
def test_a_rival_without_spikes_is_its_definition_to_float32s_rounding(model, spec):
    weights, inputs = case(model, spec)
    for expected, got in zip(
        dense(model, spec, weights, inputs), stepped(model, spec, weights, inputs), strict=True
    ):
        for one, other in zip(expected, got, strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-4, atol=3e-5)


@pytest.mark.parametrize("model", [*SPIKING, *DENSE])
def test_every_kernel_gives_the_same_bits(model):
    weights, inputs = case(model, SPECS[1])
    every = [np.hstack([np.hstack(x) for x in stepped(model, SPECS[1], weights, inputs, kernel=k)])
             for k in kernels()]  # fmt: skip
    for one, other in itertools.pairwise(every):
        np.testing.assert_array_equal(one, other)


@every_real
def test_parts_and_threads_give_the_bits_of_the_whole(kind):
    spec, random = SPECS[1], np.random.default_rng(5)
    inputs = random.normal(0, 1, (4, 6, spec.n_obs))
    found = []
    for threads, parts in ((1, [6]), (3, [6]), (1, [1, 3, 2])):
        rivals = Rivals(kind, spec, 6, threads)
        weights, _ = case(kind, spec)
        for member in range(6):
            rivals.load(member, weights * np.float32(1 + 0.1 * member))
        out = np.zeros((6, spec.n_act))
        for row in inputs:
            first = 0
            for count in parts:
                part = slice(first, first + count)
                rivals.step_part(first, row[part], np.ones(count), out[part])
                first += count
        found.append(out)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@every_real
def test_inactive_members_are_left_untouched_and_a_reset_begins_anew(kind):
    spec, (weights, inputs) = SPECS[1], case(kind, SPECS[1])
    rivals = Rivals(kind, spec, 2, threads=1)
    for member in range(2):
        rivals.load(member, weights)
    begin = rivals.state(1)
    out = np.full((2, spec.n_act), 7.0)
    rivals.step_part(0, inputs[:2], [True, False], out)
    assert (out[1] == 7).all() and (out[0] != 7).any()
    np.testing.assert_array_equal(rivals.state(1), begin)
    rivals.reset()
    np.testing.assert_array_equal(rivals.state(0), begin)


@pytest.mark.parametrize("fraction, population", [(9, 1), (-1, 1), (0, 0), (0, 1 << 32)])
def test_rivals_that_cannot_be_made_are_a_tool_error(fraction, population):
    with pytest.raises(ToolError, match="could not be made"):
        Rivals("int16", SPECS[2], population, threads=1, fraction=fraction)


def test_wrong_shapes_are_a_value_error():
    rivals = Rivals("gru", SPECS[0], 2, threads=1)
    with pytest.raises(ValueError):
        rivals.load(0, np.zeros(3, np.float32))
    with pytest.raises(ValueError):
        rivals.load(2, np.zeros(rivals.n_weights, np.float32))
    with pytest.raises(ValueError):
        rivals.step_part(1, np.zeros((2, 3)), np.ones(2), np.zeros((2, 1)))


# --- evolution strategies -------------------------------------------------------------------


class Points:
    """Members that are nothing but their parameters."""

    def __init__(self, population: int):
        self.population = population

    def map(self, function, items):
        return [function(item) for item in items]

    def draw(self, mean, sigma, noise):
        sign = np.where(np.arange(self.population) % 2, -1, 1)
        self.members = mean + sigma * sign[:, None] * noise[np.arange(self.population) // 2]


def test_strategies_climb():
    goal = np.linspace(-1, 1, 20)
    search, points = Strategies(np.zeros(20), 64, 0.1, 0.1, seed=1), Points(64)
    for _ in range(60):
        search.ask(points)
        search.tell(points, -((points.members - goal) ** 2).sum(axis=1))
    assert np.abs(search.deterministic() - goal).max() < 0.25  # the decay pulls towards 0


def test_the_noise_is_mirrored_and_follows_from_seed_generation_and_member():
    first, points = Strategies(np.zeros(8), 6, 0.5, 0.1, seed=2), Points(6)
    first.ask(points)
    drawn = points.members.copy()
    np.testing.assert_array_equal(drawn[::2], -drawn[1::2])
    larger, more = Strategies(np.zeros(8), 8, 0.5, 0.1, seed=2), Points(8)
    larger.ask(more)
    np.testing.assert_array_equal(more.members[:6], drawn)
    for seed, generation in ((3, 0), (2, 1)):
        other = Strategies(np.zeros(8), 6, 0.5, 0.1, seed)
        other.generation = generation
        other.ask(points)
        assert not np.isin(points.members, drawn).any()


def test_strategies_refuse_a_fitness_that_is_no_number_and_stay_where_they_were():
    search, points = Strategies(np.ones(4), 4, 0.1, 0.1, seed=0), Points(4)
    search.ask(points)
    with pytest.raises(TrainingError, match="fitness is not a number"):
        search.tell(points, [1, 2, np.nan, 3])
    assert search.generation == 0 and (search.mean == 1).all()


@pytest.mark.parametrize("wrong", [{"es_sigma": 0.0}, {"es_rate": float("nan")}])
def test_strategies_that_make_no_sense_are_refused(tmp_path, wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Trainer(small("gru", **wrong), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_sums_of_noise_are_added_in_order():
    random = np.random.default_rng(1)
    noise, factors = random.normal(size=(5, 9)).astype(np.float32), random.normal(size=5)
    total = np.zeros(9)
    for row, factor in zip(noise, factors, strict=True):
        total = total + factor * row
    np.testing.assert_array_equal(combine(noise, factors), total)


# --- runs -----------------------------------------------------------------------------------


@every_real
def test_a_rivals_run_resumes_to_the_same_bits_whatever_the_threads(tmp_path, kind):
    train(small(kind), tmp_path / "whole")
    for _ in itertools.islice(Trainer(small(kind), tmp_path / "cut", 2), 3):
        pass
    for _ in Trainer.resume(tmp_path / "cut", threads=2):
        pass
    assert result(tmp_path / "cut") == result(tmp_path / "whole")


@pytest.mark.parametrize("kind", ["rsnn", "gru"])
def test_cart_pole_is_learned(tmp_path, kind):
    settings = small(kind, generations=30, population=64, horizon=None, target=400.0)
    assert train(settings, tmp_path).best[0] >= 400


@pytest.mark.parametrize("form", ["ei", "signed"])
def test_real_synapses_keep_to_their_groups(form):
    settings = replace(small("rsnn"), form=form)
    kind = KINDS["rsnn"](settings, find_task("CartPole-v1"))
    weights = kind.weights_of(kind.search().mean).reshape(-1, 32)[kind.spec.n_obs :]
    recurrent, outputs = weights[:32], weights[32:]
    groups = recurrent[:16], recurrent[16:], outputs[:, :16], outputs[:, 16:]
    free = [(group > 0).any() and (group < 0).any() for group in groups]
    if kind.spec.form == EXCITATORY_INHIBITORY:
        assert not any(free)
        assert [(group > 0).any() for group in groups] == [True, False, True, False]
    else:
        assert all(free)


def test_a_kind_that_there_is_not_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no kind of network 'forest'; there are one-bit, rsnn"):
        Trainer(small("forest"), tmp_path / "run")


def test_a_run_ends_when_its_steps_are_done(tmp_path):
    trainer = train(small("one-bit", generations=1000, steps=1500), tmp_path)
    log = read_log(tmp_path / "log.jsonl")
    assert log[-1]["steps"] == trainer.steps >= 1500 > log[-2]["steps"]
    assert log[-1]["evaluation"] is not None
    before = trainer.generation
    more = Trainer.resume(tmp_path, 1, steps=3000)
    for _ in more:
        pass
    assert more.generation > before and more.steps >= 3000


# --- the policy file ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Trainer:
    return train(small("gru"), tmp_path_factory.mktemp("run"))


def test_a_saved_rival_gives_the_return_that_it_was_saved_with(run):
    policy, info = load_real_policy(run.policy_file)
    assert (info.task, info.training["kind"]) == ("CartPole-v1", "gru")
    assert policy.hash == run.best[1].hash
    assert info.training["evaluation"] == run.best[0]
    seeds = run._seeds(1, 0, SMALL.evaluation_episodes)
    networks = RealNetworks.of(policy, run.task, len(seeds), 1)
    assert evaluate(networks, run.task, seeds, 1).mean() == run.best[0]


def test_a_damaged_rival_is_refused(run, tmp_path):
    data, path = run.policy_file.read_bytes(), tmp_path / "policy.npz"
    random = np.random.default_rng(2)
    for position in (0, 60, *random.integers(0, len(data), 12)):
        flipped = bytearray(data)
        flipped[position] ^= 1 << random.integers(8)
        for damaged in (bytes(flipped), data[:position]):
            path.write_bytes(damaged)
            with pytest.raises(PolicyError, match="is damaged, or not a network of real numbers"):
                load_real_policy(path)
    with pytest.raises(StorageError, match="Cannot read"):
        load_real_policy(tmp_path / "none.npz")


@pytest.mark.parametrize("words", [("export",), ("build",), ("run",)])
def test_no_rival_goes_to_a_device(run, monkeypatch, capsys, words):
    with pytest.raises(PolicyError, match="only one-bit networks run on devices"):
        load_policy(run.policy_file)
    monkeypatch.setattr("sys.argv", ["ecedge", *words, str(run.policy_file)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert "only one-bit networks run on devices" in error and error.count("\n") == 1


# --- inputs and actions ---------------------------------------------------------------------


def test_inputs_are_deviations_within_limits():
    normaliser = Normaliser(3)
    normaliser.count, normaliser.mean = 100.0, np.array([1.0, -2.0, 5.0])
    normaliser.squares = np.array([400.0, 25.0, 0.0])
    scale = Scale.of(normaliser)
    seen = np.array([[3.0, -2.5, 9.0], [1e30, -1e30, 0.0]])
    np.testing.assert_allclose(scale.encode(seen), [[1, -1, 0], [CLIP, -CLIP, 0]])
    with pytest.raises(PolicyError, match="not a finite number"):
        scale.encode(np.array([np.nan, 0, 0]))


def test_outputs_become_actions_within_the_tasks_bounds():
    spec, low, high = NetworkSpec(1, 2), np.float32([-2, 0]), np.float32([2, 1])
    outputs = np.array([[-3.0, 0.0], [0.5, 9.0]])
    np.testing.assert_array_equal(decode(spec, outputs, low, high), [[-2, 0.5], [1, 1]])
    assert list(decode(replace(spec, actions=DISCRETE), outputs, low, high)) == [1, 1]
