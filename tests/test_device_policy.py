"""A device as a policy with `predict`, in the hands of an evaluator."""

import numpy as np
import pytest

from ecedge import reference
from ecedge.devices import open_device
from ecedge.errors import PolicyError
from ecedge.hil import DevicePolicy, run_episodes
from ecedge.model import NetworkSpec, ObservationMap, Policy
from ecedge.tasks import find_task

EPISODES = 3


def policy_for(task, seed=1) -> Policy:
    spec = NetworkSpec(task.n_obs, task.n_act, 32, substeps=4, actions=task.actions)
    random = np.random.default_rng(seed)
    words = random.integers(0, 1 << 32, spec.n_words, dtype=np.uint32)
    unit = ObservationMap.from_statistics(np.zeros(task.n_obs), np.ones(task.n_obs), 40.0)
    return reference.with_golden_trace(Policy(spec, unit, words), steps=2)


@pytest.fixture(scope="module", params=["CartPole-v1", "Pendulum-v1"])
def subject(request):
    """(task, policy, device that runs it)."""
    task = find_task(request.param)
    policy = policy_for(task)
    with open_device("virtual", policy) as device:
        yield task, policy, device


def evaluate(model: DevicePolicy, task, vector: bool) -> list[float]:
    """Returns of episodes, by the calls of stable-baselines3's `evaluate_policy`: observations and
    flags of a vector of environments, the state handed through."""
    environment = task.make_single()
    returns = []
    state, start = None, np.ones(1, bool)
    for seed in range(EPISODES):
        observation, _ = environment.reset(seed=seed)
        total, ended = 0.0, False
        while not ended:
            given = observation[None] if vector else observation
            action, state = model.predict(
                given, state=state, episode_start=start if vector else start[0], deterministic=True
            )
            if vector:
                (action,) = action
            observation, reward, terminated, truncated, _ = environment.step(action)
            total += float(reward)
            ended = terminated or truncated
            start = np.array([ended])
        returns.append(total)
    environment.close()
    return returns


@pytest.mark.parametrize("vector", [True, False], ids=["vector of one", "single"])
def test_an_evaluator_gets_the_returns_of_the_loop(subject, vector):
    task, policy, device = subject
    expected = [episode.total for episode in run_episodes(device, policy, task, EPISODES)]
    assert evaluate(DevicePolicy(device, policy, task), task, vector) == expected


def test_actions_are_of_the_task_s_action_space(subject):
    task, policy, device = subject
    space = task.make_single().action_space
    model = DevicePolicy(device, policy, task)
    for observation in np.random.default_rng(2).normal(size=(20, task.n_obs)) * 50:
        assert space.contains(model.predict(observation, episode_start=False)[0])


def outputs_of_reference(policy, observations) -> list[list[int]]:
    state, outputs = reference.reset(policy.spec), []
    for raw in map(policy.observation_map.encode, observations):
        state = reference.control_step(policy, state, raw)
        outputs.append(state.output.tolist())
    return outputs


def outputs_of_device(device, calls, monkeypatch) -> list[list[int]]:
    """The device's outputs while `calls` runs."""
    outputs, step = [], device.step

    def noted(raw):
        reply = step(raw)
        outputs.append(reply.output.tolist())
        return reply

    with monkeypatch.context() as patch:
        patch.setattr(device, "step", noted)
        calls()
    return outputs


def test_the_device_is_reset_where_an_episode_begins_and_nowhere_else(subject, monkeypatch):
    task, policy, device = subject
    first, second = np.random.default_rng(3).normal(size=(2, 6, task.n_obs))
    model = DevicePolicy(device, policy, task)

    def calls():
        for episode in (first, second):
            state = None
            for number, observation in enumerate(episode):
                _, state = model.predict(observation, state, np.array([number == 0]))

    expected = [*outputs_of_reference(policy, first), *outputs_of_reference(policy, second)]
    assert outputs_of_device(device, calls, monkeypatch) == expected


def test_without_a_flag_a_call_without_state_begins_an_episode(subject, monkeypatch):
    task, policy, device = subject
    observations = np.random.default_rng(4).normal(size=(6, task.n_obs))
    model = DevicePolicy(device, policy, task)

    def calls():
        state = None
        for observation in observations:
            _, state = model.predict(observation, state)
        model.predict(observations[0])

    expected = outputs_of_reference(policy, observations)
    assert outputs_of_device(device, calls, monkeypatch) == [*expected, expected[0]]


def test_a_state_that_the_device_no_longer_has_is_refused(subject):
    task, policy, device = subject
    model = DevicePolicy(device, policy, task)
    observation = np.zeros(task.n_obs)
    _, old = model.predict(observation)
    _, last = model.predict(observation, old)
    with pytest.raises(PolicyError, match="at step 2 of its episode, not at 1"):
        model.predict(observation, old)
    model.predict(observation, last)


@pytest.mark.parametrize("shape", [lambda n: (n + 1,), lambda n: (2, n), lambda n: ()])
def test_observations_of_another_shape_are_refused(subject, shape):
    task, policy, device = subject
    with pytest.raises(PolicyError, match="Evaluate on one environment at a time"):
        DevicePolicy(device, policy, task).predict(np.zeros(shape(task.n_obs)))


def test_a_device_that_runs_another_policy_is_refused(subject):
    task, _, device = subject
    with pytest.raises(PolicyError, match="Upload it first"):
        DevicePolicy(device, policy_for(task, seed=9), task)
