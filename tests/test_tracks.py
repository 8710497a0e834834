"""Several episodes at once on a virtual device: the same bits as one after another."""

from __future__ import annotations

import numpy as np
import pytest
from test_device_policy import policy_for

from ecedge.devices import open_device
from ecedge.errors import BoardError
from ecedge.hil import run_episodes
from ecedge.link.messages import TrackStep
from ecedge.tasks import find_task
from ecedge.tracks import run_together

TASK = find_task("CartPole-v1")


@pytest.fixture(scope="module")
def policy():
    return policy_for(TASK)


@pytest.fixture
def device(policy):
    with open_device("virtual", policy) as device:
        yield device


def told(episodes):
    return {
        episode.seed: (episode.total, [step.digest for step in episode.steps])
        for episode in episodes
    }


@pytest.mark.parametrize("together", [2, 3, 8])
def test_episodes_at_once_have_the_bits_of_one_after_another(device, policy, together):
    expected = told(run_episodes(device, policy, TASK, 7, seed=3))
    noted = []
    episodes = list(
        run_together(device, policy, TASK, 7, 3, together, lambda *what: noted.append(what))
    )
    assert told(episodes) == expected
    assert [episode.differing_bits for episode in episodes] == [0] * 7
    assert len(noted) == sum(len(episode.steps) for episode in episodes)


def test_a_request_holds_no_more_steps_than_its_reply(device):
    room = device.begin_tracks(1000)
    assert room == 255
    at_once = device.tracks_at_once
    n_obs = device.hello.n_obs
    steps = [TrackStep(k % room, np.zeros(n_obs, np.int16), begins=True) for k in range(at_once)]
    replies, _ = device.answer_tracks(device.ask_tracks(steps))
    assert len(replies) == at_once and len({reply.digest for reply in replies}) == 1


def test_a_device_without_room_says_so(device, policy, monkeypatch):
    monkeypatch.setattr(device, "begin_tracks", lambda count: 0)
    with pytest.raises(BoardError, match="no room for episodes at once"):
        list(run_together(device, policy, TASK, 2))
