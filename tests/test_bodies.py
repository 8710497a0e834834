"""docs/vectors/ in the compiled bodies and in ONNX: the same numbers that the reference gives."""

import zlib

import numpy as np
import pytest
from test_vectors import cases, from_hex, named

from ecedge.engine import Batch, CoreNetwork, kernels, sample_synapses, threefry2x32, update_rho
from ecedge.errors import PolicyError
from ecedge.model import CONTINUOUS, NetworkSpec, Policy
from ecedge.policy_file import OnnxPolicy, PolicyInfo, save_policy
from ecedge.reference import centered_ranks

RHO = {16: "<u2", 8: "u1"}


def test_threefry_in_c():
    for case in cases("threefry"):
        assert list(threefry2x32(case["key"], case["counter"])) == case["result"]


def test_sampling_in_c():
    for case in cases("sampling"):
        rho = from_hex(case["rho"], RHO[case["bits"]])
        drawn = sample_synapses(rho, case["seed"], case["generation"], case["member"])
        assert drawn.tolist() == from_hex(case["synapses"], "<u4").tolist()


def test_updates_in_c():
    for case in cases("updates"):
        rho = from_hex(case["rho"], RHO[case["bits"]])
        moved = update_rho(rho, case["gradient"], case["step"], case["seed"], case["generation"])
        assert moved.tobytes().hex() == case["moved"]


@pytest.mark.parametrize("kernel", kernels())
def test_gradient_of_a_kernel(kernel):
    """The vectors' synapses as the first rows of W_in; the rest is equal in all members."""
    for case in cases("updates"):
        synapses = [from_hex(words, "<u4") for words in case["synapses"]]
        spec = NetworkSpec(n_obs=32, n_act=1, n_neurons=32)
        batch = Batch(spec, len(synapses), threads=1, kernel=kernel)
        for member, words in enumerate(synapses):
            batch.load(member, np.pad(words, (0, spec.n_words - len(words))))
        gradient = batch.gradient(centered_ranks(case["fitness"]))
        expected = case["gradient"]
        assert gradient[: len(expected)].tolist() == expected
        assert not gradient[len(expected) :].any()


@pytest.mark.parametrize("case", named("networks"))
def test_networks_in_the_firmware_s_core(case):
    core = CoreNetwork(Policy.from_image(bytes.fromhex(case["image"])))
    assert core.golden_crc() == case["golden_crc"]
    core.reset()
    digest = 0
    for raw, output, expected in zip(case["raw"], case["output"], case["digest"], strict=True):
        assert core.step(raw).tolist() == output
        digest = core.digest(digest)
        assert digest == expected
    assert core.state().hex() == case["last_state"]


@pytest.mark.parametrize("kernel", kernels())
@pytest.mark.parametrize("case", named("networks"))
def test_networks_in_a_kernel(case, kernel):
    policy = Policy.from_image(bytes.fromhex(case["image"]))
    batch = Batch(policy.spec, 2, threads=1, kernel=kernel)
    batch.set_map(policy.observation_map)
    for member in range(2):
        batch.load(member, policy.synapses)
    digest = 0
    for raw, output, expected in zip(case["raw"], case["output"], case["digest"], strict=True):
        assert batch.step(np.array([raw, raw])).tolist() == [output, output]
        digest = zlib.crc32(batch.state(1), digest)
        assert digest == expected
    assert batch.state(1).hex() == case["last_state"]


@pytest.mark.parametrize("case", named("networks"))
def test_networks_in_onnx(case, tmp_path):
    policy = Policy.from_image(bytes.fromhex(case["image"]))
    bounds = (1.0,) * (policy.spec.n_act if policy.spec.actions == CONTINUOUS else 0)
    path = tmp_path / "policy.onnx"
    save_policy(path, policy, PolicyInfo(low=tuple(-b for b in bounds), high=bounds))
    runner = OnnxPolicy(path)
    for raw, output in zip(case["raw"], case["output"], strict=True):
        # Exact: an int16 times a power of two.
        runner.act(np.ldexp(np.array(raw, np.float32), -policy.observation_map.exponent))
        assert runner.output[0].tolist() == output


@pytest.mark.parametrize("case", named("images"))
def test_images_in_the_firmware_s_core(case):
    image = bytes.fromhex(case["image"])
    if case["refused_by"] == "all":
        with pytest.raises(PolicyError):
            CoreNetwork(image)
    else:
        CoreNetwork(image)
