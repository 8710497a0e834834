"""The device computes what the reference computes: outputs, digests, spikes, every bit of state."""

from __future__ import annotations

import pytest
from twins import NETWORKS, ReferenceTwin, quick_twin, random_counts, random_policy

from ecedge.errors import BoardError

STEPS, LONG_STEPS = 25, 1000  # of each network
LONG_RUN, LONG_RUN_EMULATED = 100_000, 2_000


POLICIES = {
    name: random_policy(seed, **numbers) for seed, (name, numbers) in enumerate(NETWORKS.items())
}
LONG = random_policy(11, n_obs=5, n_act=3, n_neurons=128, bits="half", recurrent_gain=1)
LONG_SMALL = random_policy(11, n_obs=3, n_act=3, n_neurons=32, bits="half", recurrent_gain=1)


def upload(device, policy):
    """Skips what a device that was there before us has no room for."""
    try:
        device.upload(policy)
    except BoardError as error:
        pytest.skip(str(error))


@pytest.mark.networks({name: policy.spec for name, policy in POLICIES.items()})
def test_random_network_is_bit_equal(device, network, request):
    policy = POLICIES[network]
    steps = LONG_STEPS if request.config.getoption("long") else STEPS
    upload(device, policy)
    twin, quick = ReferenceTwin(policy), quick_twin(policy)
    quick.reset()
    device.reset()
    assert device.peek() == twin.state()
    for step, raw in enumerate(random_counts(policy, steps)):
        expected = quick.step(raw)
        reply = device.step(raw)
        assert (reply.output.tolist(), reply.digest) == (expected.tolist(), quick.digest)
        if step < STEPS:
            assert twin.step(raw).tolist() == expected.tolist()
            assert reply.spikes == min(twin.spikes, 65535)
    twin = quick
    assert device.peek() == twin.state()
    assert device.status().outputs.tolist() == expected.tolist()


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
