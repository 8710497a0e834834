"""docs/vectors/: the reference gives the golden vectors, and the vectors stay what they are.

Other bodies run the same files: `cases(name)` is all that it takes.
"""

import importlib.util
import json
import zlib
from pathlib import Path

import numpy as np
import pytest

from ecedge import reference
from ecedge.errors import PolicyError
from ecedge.link.codec import FrameReader, Packet, encode_frame
from ecedge.model import ObservationMap, Policy

VECTORS = Path(__file__).parent.parent / "docs" / "vectors"
FILES = sorted(path.stem for path in VECTORS.glob("*.json"))
RHO = {16: "<u2", 8: "u1"}


def cases(name: str) -> list:
    return json.loads((VECTORS / f"{name}.json").read_text())["cases"]


def named(name: str) -> list:
    return [pytest.param(case, id=case["name"]) for case in cases(name)]


def from_hex(text: str, dtype: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(text), dtype).astype(np.dtype(dtype).newbyteorder("="))


def test_the_maker_gives_the_same_bytes_again(tmp_path):
    spec = importlib.util.spec_from_file_location("make_vectors", VECTORS / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    make.main(tmp_path)
    assert sorted(path.stem for path in tmp_path.iterdir()) == FILES
    for name in FILES:
        assert (tmp_path / f"{name}.json").read_bytes() == (VECTORS / f"{name}.json").read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_small_and_explained(name):
    assert (VECTORS / f"{name}.json").stat().st_size < 60_000
    assert f"`{name}.json`" in (VECTORS / "README.md").read_text()


@pytest.mark.parametrize("case", named("episodes"))
def test_episode_comes_to_the_same_by_the_engine(case):
    from ecedge.clocked import Trajectory, replay
    from ecedge.link import Limit
    from ecedge.plants import CartPole

    policy = Policy.from_image(bytes.fromhex(case["image"]))
    limits = [Limit(*numbers) for numbers in case["limits"]]
    expected = Trajectory(case["steps"], case["return"], case["clamps"], case["trajectory"])
    assert replay(CartPole, policy, case["seed"], case["most_steps"], limits) == expected


def test_threefry():
    for case in cases("threefry"):
        assert list(reference.threefry2x32(case["key"], case["counter"])) == case["result"]


def test_threefry_has_the_published_cases():
    # Random123's kat_vectors, threefry2x32 with 20 rounds: counter, key, result
    published = """
        00000000 00000000 00000000 00000000 6b200159 99ba4efe
        ffffffff ffffffff ffffffff ffffffff 1cb996fc bb002be7
        243f6a88 85a308d3 13198a2e 03707344 c4923a9c 483df7a0
    """
    lines = [[int(word, 16) for word in line.split()] for line in published.split("\n") if line]
    expected = [line for line in lines if line]
    ours = [case for case in cases("threefry") if case["source"].startswith("Random123")]
    assert [case["counter"] + case["key"] + case["result"] for case in ours] == expected


def test_sampling():
    for case in cases("sampling"):
        rho = from_hex(case["rho"], RHO[case["bits"]])
        sampled = reference.sample_synapses(rho, case["seed"], case["generation"], case["member"])
        assert sampled.tobytes().hex() == case["synapses"]
        assert reference.deterministic_synapses(rho).tobytes().hex() == case["deterministic"]


def test_ranks():
    for case in cases("ranks"):
        assert reference.centered_ranks(case["fitness"]).tolist() == case["ranks"]


def test_steps():
    for case in cases("steps"):
        assert reference.step_size(case["learning_rate"], case["population"]) == case["step"]


def test_updates():
    for case in cases("updates"):
        rho = from_hex(case["rho"], RHO[case["bits"]])
        key = case["seed"], case["generation"]
        members = [reference.sample_synapses(rho, *key, k) for k in range(len(case["fitness"]))]
        assert [member.tobytes().hex() for member in members] == case["synapses"]
        ranks = reference.centered_ranks(case["fitness"])
        gradient = reference.gradient(ranks, np.array(members))
        assert gradient.tolist() == case["gradient"]
        moved = reference.update_rho(rho, gradient, case["step"], *key)
        assert moved.tobytes().hex() == case["moved"]


@pytest.mark.parametrize("case", named("observations"))
def test_observations(case):
    observation_map = ObservationMap(
        case["offset"], case["multiplier"], case["shift"], case["exponent"]
    )
    raw = observation_map.encode(from_hex(case["physical"], "<f4"))
    assert raw.tolist() == case["raw"]


@pytest.mark.parametrize("case", named("networks"))
def test_networks(case):
    policy = Policy.from_image(bytes.fromhex(case["image"]))
    assert (policy.hash, policy.golden_crc) == (case["hash"], case["golden_crc"])
    assert reference.golden_crc(policy, case["golden_steps"]) == case["golden_crc"]
    state, digest = reference.reset(policy.spec), 0
    for step, raw in enumerate(case["raw"]):
        state = reference.control_step(policy, state, raw)
        digest = zlib.crc32(reference.state_bytes(state), digest)
        assert state.output.tolist() == case["output"][step]
        assert digest == case["digest"][step]
        assert state.spikes.sum() == case["last_spikes"][step]
    assert reference.state_bytes(state).hex() == case["last_state"]


def test_networks_reach_what_they_are_there_for():
    by_name = {case["name"]: case for case in cases("networks")}
    assert not any(by_name["silent"]["last_spikes"])
    assert set(by_name["all active"]["last_spikes"][:-1]) == {64}
    outputs = np.array(by_name["saturated signed"]["output"])
    assert outputs.max() == 32767 and outputs.min() == -32768
    saturated = bytes.fromhex(by_name["saturated"]["last_state"])
    current, membrane = np.frombuffer(saturated[:128], np.int8).reshape(2, 64)
    assert current.max() == 127 and current.min() == -128
    assert membrane.min() == -128


@pytest.mark.parametrize("case", named("images"))
def test_images(case):
    image = bytes.fromhex(case["image"])
    if case["refused_by"] in ("none", "device"):
        assert Policy.from_image(image).image == image
    else:
        with pytest.raises(PolicyError):
            Policy.from_image(image)


@pytest.mark.parametrize("case", named("frames"))
def test_frames(case):
    line = bytes.fromhex(case["line"])
    packets = []
    if "dropped" not in case:
        payload = bytes.fromhex(case["payload"])
        packets = [Packet(case["type"], case["session"], case["sequence"], payload)]
        assert encode_frame(packets[0]) == line
    assert FrameReader().feed(line) == packets
