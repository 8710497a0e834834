"""A line that fails costs time, and neither a bit nor a step."""

from __future__ import annotations

import pytest
from twins import quick_twin, random_counts, random_policy

from ecedge.link import Device, Faults, FaultyTransport

STEPS, MOST_STEPS = 60, 5000
CUTS = 2
LINES = {
    "1 % of bytes flipped": Faults(flip=0.01),
    "1 % of bytes lost": Faults(drop=0.01),
    "cut again and again": Faults(cut_every=0.3),
}


@pytest.mark.parametrize("line", LINES)
def test_an_episode_on_a_bad_line_has_the_bits_of_a_good_one(rig, line):
    policy = random_policy(5, n_obs=3, n_act=2, n_neurons=32)
    twin = quick_twin(policy)
    twin.reset()
    rig.close()
    with Device(FaultyTransport(rig.open(), LINES[line], seed=4)) as device:
        device.upload(policy)
        device.reset()
        steps = 0
        for raw in random_counts(policy, MOST_STEPS):
            if steps >= STEPS and device.statistics.reopened >= CUTS * (LINES[line].cut_every > 0):
                break
            steps += 1
            expected = twin.step(raw)
            reply = device.step(raw)
            assert (reply.output.tolist(), reply.digest) == (expected.tolist(), twin.digest)
        assert device.status().steps == steps < MOST_STEPS
        assert device.statistics.resends > 0
