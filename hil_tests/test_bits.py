"""The device computes what the reference computes: outputs, digests, spikes, every bit of state."""

from __future__ import annotations

import pytest
from twins import NETWORKS, ReferenceTwin, quick_twin, random_counts, random_policy

from ecedge.errors import BoardError

STEPS = 25
LONG_STEPS, LONG_STEPS_EMULATED = 100_000, 10_000


def upload(device, policy):
    try:
        device.upload(policy)
    except BoardError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(("seed", "name"), [*enumerate(NETWORKS)], ids=list(NETWORKS))
def test_random_network_is_bit_equal(device, seed, name):
    policy = random_policy(seed, **NETWORKS[name])
    upload(device, policy)
    twin = ReferenceTwin(policy)
    device.reset()
    assert device.peek() == twin.state()
    for raw in random_counts(policy, STEPS, seed):
        expected = twin.step(raw)
        reply = device.step(raw)
        assert reply.output.tolist() == expected.tolist()
        assert (reply.digest, reply.spikes) == (twin.digest, min(twin.spikes, 65535))
    assert device.peek() == twin.state()
    assert device.status().outputs.tolist() == expected.tolist()


def test_reset_begins_the_same_episode_again(device):
    policy = random_policy(3, n_obs=4, n_act=2, n_neurons=64)
    upload(device, policy)
    counts = random_counts(policy, 10)
    episodes = []
    for _ in range(2):
        device.reset()
        episodes.append([device.step(raw).digest for raw in counts])
    assert episodes[0] == episodes[1]


def test_digest_is_off_when_not_wanted(device):
    policy = random_policy(3, n_obs=4, n_act=2, n_neurons=64)
    upload(device, policy)
    device.reset(digest=False)
    assert [device.step(raw).digest for raw in random_counts(policy, 3)] == [0, 0, 0]


def test_long_run_is_bit_equal(rig, device, request, tell):
    """Outputs and the digest of the whole state after every step, and at the end the state."""
    long = LONG_STEPS_EMULATED if rig.is_emulated else LONG_STEPS
    steps = long if request.config.getoption("long") else request.config.getoption("steps")
    policy = random_policy(11, n_obs=5, n_act=3, n_neurons=128, bits="half", recurrent_gain=1)
    upload(device, policy)
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
    tell(f"{rig.name}: {steps:,} control steps bit-equal, {spikes:,} spikes")
