"""The device computes what the reference computes: outputs, digests, spikes, every bit of state."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from twins import NETWORKS, ReferenceTwin, quick_twin, random_counts, random_policy

from ecedge.boards import find_plant
from ecedge.clocked import await_end
from ecedge.devices import connect_running, run_board
from ecedge.errors import BoardError, DeviceRefused
from ecedge.link import Device, EpisodeEnd
from ecedge.plants import Noise

STEPS = 25  # of each network over the link
CLOCKED_STEPS, LONG_CLOCKED_STEPS = 100, 1000  # by the device's own clock
LONG_RUN, LONG_RUN_EMULATED = 100_000, 250


POLICIES = {
    name: random_policy(seed, **numbers) for seed, (name, numbers) in enumerate(NETWORKS.items())
}
LONG = random_policy(11, n_obs=5, n_act=3, n_neurons=128, bits="half", recurrent_gain=1)
LONG_SMALL = random_policy(11, n_obs=3, n_act=3, n_neurons=32, bits="half", recurrent_gain=1)


@pytest.fixture(scope="module")
def noisy(rig, ecedge_firmware) -> Iterator[Device]:
    """The device under test with noise for a plant: a second one, where it was started here."""
    if rig.running:
        capacity = ecedge_firmware.capacity_on(rig.spec.board)
        firmware = ecedge_firmware.policy, capacity, find_plant(Noise.name)
        with run_board(rig.spec, *firmware) as running:
            device = Device(connect_running(running, rig.spec.baud))
            device.connect()
            yield device
            device.close()
        return
    try:
        plant = rig.device.result().plant
    except DeviceRefused:
        plant = "nothing"
    if plant != Noise.name:
        pytest.skip(f"the device has {plant} for a plant: build it with --plant {Noise.name}")
    yield rig.device


def upload(device, policy):
    """Skips what a device that was there before us has no room for."""
    try:
        device.upload(policy)
    except BoardError as error:
        pytest.skip(str(error))


FITTING = pytest.mark.networks({name: policy.spec for name, policy in POLICIES.items()})


@FITTING
def test_random_network_is_bit_equal(device, network):
    policy = POLICIES[network]
    upload(device, policy)
    twin = ReferenceTwin(policy)
    device.reset()
    assert device.peek() == twin.state()
    for raw in random_counts(policy, STEPS):
        expected = twin.step(raw)
        reply = device.step(raw)
        assert reply.output.tolist() == expected.tolist()
        assert reply.digest == twin.digest
        assert reply.spikes == min(twin.spikes, 65535)
    assert device.peek() == twin.state()
    assert device.status().outputs.tolist() == expected.tolist()


@FITTING
def test_random_network_is_bit_equal_by_its_own_clock(noisy, network, request):
    """Every count and every output, by the trajectory's CRC, and at the end the whole state."""
    policy = POLICIES[network]
    steps = LONG_CLOCKED_STEPS if request.config.getoption("long") else CLOCKED_STEPS
    upload(noisy, policy)
    seed = len(network)
    noisy.begin_episode(seed, steps, period=0, silence_ms=0)
    result = await_end(noisy, 0)
    twin, noise, crc = quick_twin(policy), Noise(policy.observation_map), 0
    twin.reset()
    noise.begin(seed)
    for _ in range(steps):
        raw = noise.sense()
        applied = twin.step(raw).astype(np.int16)
        crc = zlib.crc32(applied.tobytes(), zlib.crc32(raw.tobytes(), crc))
        noise.judge()
    assert (result.end, result.steps) == (EpisodeEnd.STEPS, steps)
    assert result.trajectory == crc
    assert noisy.peek() == twin.state()


def test_reset_begins_the_same_episode_again(device):
    policy = random_policy(3, n_obs=3, n_act=2, n_neurons=32)
    upload(device, policy)
    counts = random_counts(policy, 10)
    episodes = []
    for _ in range(2):
        device.reset()
        episodes.append([device.step(raw).digest for raw in counts])
    assert episodes[0] == episodes[1]


def test_digest_is_off_when_not_wanted(device):
    policy = random_policy(3, n_obs=3, n_act=2, n_neurons=32)
    upload(device, policy)
    device.reset(digest=False)
    assert [device.step(raw).digest for raw in random_counts(policy, 3)] == [0, 0, 0]


def test_long_run_is_bit_equal(rig, device, request, tell):
    """Outputs and the digest of the whole state after every step, and at the end the state."""
    long = LONG_RUN_EMULATED if rig.is_emulated else LONG_RUN
    steps = long if request.config.getoption("long") else request.config.getoption("steps")
    hello = device.hello
    large = LONG.spec.n_neurons <= hello.max_neurons and len(LONG.image) <= hello.max_image
    policy = LONG if large else LONG_SMALL
    device.upload(policy)
    twin = quick_twin(policy)
    twin.reset()
    device.reset()
    spikes = 0
    for raw in random_counts(policy, steps):
        expected = twin.step(raw)
        reply = device.step(raw)
        assert reply.output.tolist() == expected.tolist() and reply.digest == twin.digest
        spikes += reply.spikes
    assert device.peek() == twin.state()
    assert device.status().steps == steps
    assert spikes > steps
    neurons = policy.spec.n_neurons
    tell(f"{rig.name}: {steps:,} control steps of {neurons} neurons bit-equal, {spikes:,} spikes")
