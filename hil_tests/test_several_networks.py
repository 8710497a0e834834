"""Several networks on one device, each the one that the reference computes."""

from __future__ import annotations

import pytest
from twins import quick_twin, random_counts, random_policy

from ecedge.errors import DeviceRefused
from ecedge.link import ErrorCode
from ecedge.link.messages import TrackStep

POLICY = random_policy(5, n_obs=3, n_act=2, n_neurons=32)
STEPS = 12


#: an Uno's firmware knows no tracks, nor has its memory room for one
pytestmark = pytest.mark.room(1024)


@pytest.fixture
def tracks(rig, device):
    device.upload(POLICY)
    if (room := device.begin_tracks(3)) == 0:
        assert rig.running is None, "there is room for three"
        pytest.skip(f"{device.hello.board} has no room for tracks beside this policy")
    return room


def step(device, number, raw, begins=False):
    question = device.ask_tracks([TrackStep(number, raw, begins)])
    return device.answer_tracks(question)[0][0]


def test_tracks_are_bit_equal_and_drive_nothing(device, tracks):
    twins = [quick_twin(POLICY) for _ in range(tracks)]
    steps = device.status().steps
    for twin in twins:
        twin.reset()
    counts = [random_counts(POLICY, STEPS, seed=number) for number in range(tracks)]
    for at in range(STEPS):
        asked = [number for number in range(tracks) if (at + number) % 4]  # not always all
        question = device.ask_tracks([TrackStep(n, counts[n][at]) for n in asked])
        replies, _ = device.answer_tracks(question)
        for number, reply in zip(asked, replies, strict=True):
            expected = twins[number].step(counts[number][at])
            told = reply.output.tolist(), reply.digest
            assert told == (expected.tolist(), twins[number].digest)
    status = device.status()
    assert (status.steps, status.outputs.tolist()) == (steps, [0, 0])


def test_an_episode_on_the_plant_goes_on_beside_the_tracks(device, tracks):
    twin, plant = quick_twin(POLICY), quick_twin(POLICY)
    twin.reset()
    plant.reset()
    device.reset()
    for at, raw in enumerate(random_counts(POLICY, STEPS)):
        expected = plant.step(raw)
        reply = device.step(raw)
        assert (reply.output.tolist(), reply.digest) == (expected.tolist(), plant.digest)
        expected = twin.step(raw)
        reply = step(device, tracks - 1, raw, begins=at == 0)
        assert (reply.output.tolist(), reply.digest) == (expected.tolist(), twin.digest)


def test_tracks_end_with_stop(device, tracks):
    device.stop()
    with pytest.raises(DeviceRefused) as caught:
        step(device, 0, random_counts(POLICY, 1)[0])
    assert caught.value.code == ErrorCode.IMAGE
