"""policy.onnx: the reference's bits in onnxruntime, and a file that cannot lie."""

import errno
import json
import os
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ecedge
from ecedge import reference
from ecedge.errors import PolicyError, StorageError
from ecedge.export.onnx import OPSET, build_model
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
from ecedge.policy_file import OnnxPolicy, PolicyInfo, load_policy, save_policy
from ecedge.storage import write_atomically

pytest.importorskip("onnxruntime")

VECTORS = Path(__file__).parent.parent / "docs" / "vectors"


def random_policy(spec: NetworkSpec, seed: int, density: float = 0.5) -> Policy:
    """Counts of a few hundred around zero fill the input range."""
    random = np.random.default_rng(seed)
    bits = random.random((spec.n_rows, spec.n_neurons)) < density
    observation_map = ObservationMap(
        random.integers(-300, 300, spec.n_obs),
        random.integers(0, 3000, spec.n_obs),
        random.integers(8, 12, spec.n_obs),
        random.integers(-2, 8, spec.n_obs),
    )
    packed = np.packbits(bits, axis=1, bitorder="little").view("<u4")
    return reference.with_golden_trace(Policy(spec, observation_map, packed), steps=2)


def info_for(policy: Policy, **facts) -> PolicyInfo:
    n = policy.spec.n_act if policy.spec.actions == CONTINUOUS else 0
    return PolicyInfo(low=(-0.4,) * n, high=(1.3,) * n, **facts)


def assert_runs_like_the_reference(path, policy, steps, seed, scale=100.0):
    """Every bit of the state and every action of a run; returns the states."""
    info = info_for(policy)
    save_policy(path, policy, info)
    runner, random = OnnxPolicy(path), np.random.default_rng(seed)
    state, states = reference.reset(policy.spec), []
    for _ in range(steps):
        observation = random.normal(0, scale, policy.spec.n_obs).astype(np.float32)
        action = runner.act(observation)
        state = reference.control_step(policy, state, policy.observation_map.encode(observation))
        current, membrane, spikes, output = (field[0] for field in runner.state)
        np.testing.assert_array_equal(current, state.current)
        np.testing.assert_array_equal(membrane, state.membrane)
        np.testing.assert_array_equal(spikes, state.spikes)
        np.testing.assert_array_equal(output, state.output)
        expected = decode_action(policy.spec, output, info.low, info.high)
        np.testing.assert_array_equal(action, expected)
        assert action.dtype == expected.dtype
        states.append(state)
    return states


@pytest.fixture
def path(tmp_path):
    return tmp_path / "policy.onnx"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """(policy, info, bytes of its file)"""
    policy = random_policy(NetworkSpec(2, 2, 32, n_exc=20, substeps=3), seed=5)
    info = info_for(policy, task="Own-v0", training={"seed": 7, "returns": [1.5, None, "ä"]})
    path = tmp_path_factory.mktemp("saved") / "policy.onnx"
    save_policy(path, policy, info)
    return policy, info, path.read_bytes()


# --- the bits --------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [EXCITATORY_INHIBITORY, SIGNED])
@pytest.mark.parametrize("actions", [CONTINUOUS, DISCRETE])
def test_a_thousand_steps_are_the_references(path, form, actions):
    spec = NetworkSpec(5, 3, 64, form=form, actions=actions, substeps=8)
    assert_runs_like_the_reference(path, random_policy(spec, seed=form), steps=1000, seed=1)


@pytest.mark.parametrize("form", [EXCITATORY_INHIBITORY, SIGNED])
def test_saturated_steps_are_the_references(path, form):
    spec = NetworkSpec(3, 4, 64, form=form, recurrent_gain=7, output_gain=12, output_shift=7)
    policy = random_policy(spec, seed=2)
    states = assert_runs_like_the_reference(path, policy, steps=200, seed=3, scale=1e5)
    currents, membranes, outputs = (
        np.concatenate([getattr(state, name) for state in states])
        for name in ("current", "membrane", "output")
    )
    assert (currents.min(), currents.max(), membranes.min()) == (-128, 127, -128)
    assert (outputs.min(), outputs.max()) == (-32768, 32767)


@pytest.mark.parametrize("spec", [NetworkSpec(11, 3, 256), NetworkSpec(70, 17, 1024, substeps=4)])
def test_wide_networks_are_the_references(path, spec):
    assert_runs_like_the_reference(path, random_policy(spec, seed=4), steps=10, seed=5)


@settings(max_examples=60, deadline=None)
@given(
    shifts_and_gains=st.fixed_dictionaries(
        {
            name: st.integers(*limits)
            for name, limits in LIMITS.items()
            if name.endswith(("_shift", "_gain")) or name in ("form", "actions")
        }
    ),
    n_obs=st.integers(1, 5),
    n_act=st.integers(1, 5),
    n_exc=st.integers(0, 32),
    density=st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_setting_is_the_references(
    tmp_path_factory, shifts_and_gains, n_obs, n_act, n_exc, density, seed
):
    n_exc = 32 if shifts_and_gains["form"] == SIGNED else n_exc
    spec = NetworkSpec(n_obs, n_act, 32, n_exc, substeps=3, **shifts_and_gains)
    policy = random_policy(spec, seed, density)
    path = tmp_path_factory.getbasetemp() / "settings.onnx"
    assert_runs_like_the_reference(path, policy, steps=8, seed=seed, scale=1000.0)


@pytest.mark.parametrize("value", [0.5, 1.5, -0.5, -2.5, 3e38, -3e38, 1e-45, 32767.5, -32768.6])
def test_observations_round_and_saturate_as_encode_does(path, value):
    policy = random_policy(NetworkSpec(1, 1, 32), seed=6)
    unit = ObservationMap([0], [16], [4], [0])
    policy = replace(policy, observation_map=unit)
    save_policy(path, policy, info_for(policy))
    runner = OnnxPolicy(path)
    runner.act([value])
    state = reference.control_step(policy, reference.reset(policy.spec), unit.encode([value]))
    np.testing.assert_array_equal(runner.state[1][0], state.membrane)


def test_a_batch_is_its_members(path):
    policy = random_policy(NetworkSpec(4, 2, 64), seed=7)
    save_policy(path, policy, info_for(policy))
    together, alone = OnnxPolicy(path, batch=3), OnnxPolicy(path)
    observations = np.random.default_rng(0).normal(0, 100, (5, 3, 4)).astype(np.float32)
    actions = [together.act(observation) for observation in observations]
    for member in range(3):
        alone.reset()
        for step in range(5):
            single = alone.act(observations[step, member])
            np.testing.assert_array_equal(single, actions[step][member])


@pytest.mark.parametrize("observation", [[0.0, np.nan], [np.inf, 0.0], [0.0], [[0.0, 0.0]] * 2])
def test_the_runner_refuses_what_is_no_observation(path, saved, observation):
    path.write_bytes(saved[2])
    with pytest.raises(PolicyError, match="observation"):
        OnnxPolicy(path).act(observation)


# --- the file --------------------------------------------------------------------------------


def test_a_file_gives_its_policy_and_information_back(path, saved):
    policy, info, data = saved
    path.write_bytes(data)
    loaded, loaded_info = load_policy(path)
    assert loaded.image == policy.image
    assert loaded_info == replace(info, version=ecedge.__version__)


def test_the_graph_is_standard_and_checked(saved):
    model = onnx.load_model_from_string(saved[2])
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    bodies = [a.g for node in model.graph.node for a in node.attribute if a.HasField("g")]
    assert {node.domain for graph in (model.graph, *bodies) for node in graph.node} == {""}
    ports = [*model.graph.input, *model.graph.output]
    assert all(port.doc_string for port in ports) and model.graph.doc_string
    batches = {port.type.tensor_type.shape.dim[0].dim_param for port in ports}
    assert batches == {"batch"}


def test_a_file_is_little_more_than_its_bits():
    policy = random_policy(NetworkSpec(11, 3, 256), seed=0)
    size = build_model(policy, [-1] * 3, [1] * 3).ByteSize()
    assert size < policy.spec.image_size + 6500


def test_the_same_policy_gives_the_same_bytes(path, saved):
    policy, info, data = saved
    save_policy(path, policy, info)
    assert path.read_bytes() == data


@pytest.mark.parametrize("low, high", [((), ()), ((-1.0,), (1.0,)), ((-1.0,) * 2, (1.0,) * 3)])
def test_bounds_that_do_not_fit_are_refused(path, low, high):
    policy = random_policy(NetworkSpec(1, 2, 32), seed=0)
    with pytest.raises(PolicyError, match="bounds"):
        save_policy(path, policy, PolicyInfo(low=low, high=high))
    assert not path.exists()


def test_information_that_is_not_json_is_refused(path, saved):
    with pytest.raises(PolicyError, match="training cannot be written as JSON"):
        save_policy(path, saved[0], replace(saved[1], training={"best": float("nan")}))


def test_a_missing_file_is_said(path):
    with pytest.raises(PolicyError, match="There is no file"):
        load_policy(path)


def test_a_folder_is_said(tmp_path):
    with pytest.raises(PolicyError, match="is a folder"):
        load_policy(tmp_path)


@pytest.mark.parametrize("data", [b"\x7fELF", b"not onnx at all", bytes(64)])
def test_what_is_not_onnx_is_said(path, data):
    path.write_bytes(data)
    with pytest.raises(PolicyError, match="not an ONNX file, or it is cut short"):
        load_policy(path)


def test_foreign_onnx_is_said(path, saved):
    model = onnx.load_model_from_string(saved[2])
    del model.metadata_props[:]
    path.write_bytes(model.SerializeToString())
    with pytest.raises(PolicyError, match="has no ecedge metadata"):
        load_policy(path)


def damaged(data: bytes, key: str, old: str, new: str) -> bytes:
    """The file with a part of one metadata value replaced."""
    model = onnx.load_model_from_string(data)
    (entry,) = (entry for entry in model.metadata_props if entry.key == f"ecedge.{key}")
    assert old in entry.value
    entry.value = entry.value.replace(old, new, 1)
    return model.SerializeToString()


@pytest.mark.parametrize(
    "key, old, new, complaint",
    [
        ("format", "1", "2", "is a policy file of format 2"),
        ("image_version", "1", "9", "with image version 9"),
        ("hash", '"', '"0', "has the hash"),
        ("network", '"substeps":3', '"substeps":4', "has the hash"),
        ("network", '"substeps":3', '"substeps":99', "substeps is 99; allowed is 1 to 64"),
        ("network", '"substeps":3', '"steps":3', "metadata of .* are damaged"),
        ("network", '"n_exc":20', '"n_exc":2.5', "metadata of .* are damaged"),
        ("network", "{", "[" * 10**5, "metadata of .* are damaged"),
        ("observation_map", '"offset":[', '"offset":[1,', "one value a channel"),
        ("golden", '"crc":', '"crc":-', "metadata of .* are damaged"),
        ("actions", "-0.4", "-0.5", "somebody changed it"),
        ("actions", "-0.4", '"a"', "metadata of .* are damaged"),
        ("training", ":7", ": 7", "somebody changed it"),
    ],
)
def test_metadata_that_do_not_hold_are_refused(path, saved, key, old, new, complaint):
    path.write_bytes(damaged(saved[2], key, old, new))
    with pytest.raises(PolicyError, match=complaint):
        load_policy(path)


def test_a_changed_graph_is_refused(path, saved):
    model = onnx.load_model_from_string(saved[2])
    (threshold,) = (tensor for tensor in model.graph.initializer if tensor.name == "V_TH")
    threshold.raw_data = (63).to_bytes(4, "little")
    path.write_bytes(model.SerializeToString())
    with pytest.raises(PolicyError, match="somebody changed it"):
        load_policy(path)


def test_every_prefix_is_refused(path, saved):
    data = saved[2]
    for size in {*range(0, len(data), 41), *range(len(data) - 1500, len(data), 3)}:
        path.write_bytes(data[:size])
        with pytest.raises(PolicyError):
            load_policy(path)


def test_flipped_bits_are_refused_or_change_nothing(path, saved):
    policy, info, data = saved
    for bit in np.random.default_rng(0).integers(0, 8 * len(data), 400):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            loaded, loaded_info = load_policy(path)
        except PolicyError:
            continue
        assert loaded.image == policy.image
        assert loaded_info == replace(info, version=ecedge.__version__)


def test_a_file_of_format_1_still_loads_and_runs():
    path = VECTORS / "policy.onnx"
    (small,) = (c for c in json.loads((VECTORS / "networks.json").read_text())["cases"]
                if c["name"] == "small")  # fmt: skip
    policy, info = load_policy(path)
    assert (policy.image.hex(), info.task) == (small["image"], "CartPole-v1")
    runner, unit = OnnxPolicy(path), 2.0**-policy.observation_map.exponent
    for raw, output in zip(small["raw"], small["output"], strict=True):
        runner.act(raw * unit)
        assert runner.output[0].tolist() == output


# --- the writing -----------------------------------------------------------------------------


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(path, monkeypatch, failing):
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(StorageError, match=r"Cannot write .*: no space left on device"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(path.parent) == [path.name]


def test_a_write_replaces_the_file_and_leaves_nothing_else(path):
    for data in (b"old", b"new"):
        write_atomically(path, data)
    assert path.read_bytes() == b"new" and os.listdir(path.parent) == [path.name]


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(StorageError, match="Make the folder"):
        write_atomically(tmp_path / "none" / "policy.onnx", b"")


def test_the_golden_trace_comes_out_of_onnxruntime_too(path, saved):
    policy, _, data = saved
    path.write_bytes(data)
    runner = OnnxPolicy(path)
    # Counts are fed through the map's exponent: exact, as they are powers of two.
    crc = 0
    for step in range(policy.golden_steps):
        raw = reference.network.golden_input(policy, step)
        runner.act(np.ldexp(raw.astype(np.float32), -policy.observation_map.exponent))
        current, membrane, spikes, output = (field[0] for field in runner.state)
        packed = np.packbits(spikes, bitorder="little")
        for part in (current, membrane, packed, output.astype("<i2")):
            crc = zlib.crc32(part.tobytes(), crc)
    assert crc == policy.golden_crc
