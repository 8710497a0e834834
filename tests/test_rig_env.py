"""The plant of a device as a gymnasium environment: docs/PLANT.md section 5."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st
from test_device_policy import policy_for
from test_faulty import serving

from ecedge.boards import find_plant
from ecedge.devices import connect_running, parse_device, run_board
from ecedge.errors import DeviceRefused, LinkError, PolicyError, UsageError
from ecedge.hil import RigEnv
from ecedge.link import (
    Device,
    DeviceMode,
    EpisodeEnd,
    ErrorCode,
    Faults,
    Limit,
    Proxy,
    open_transport,
)
from ecedge.link import device as link_device
from ecedge.model import CONTINUOUS, DISCRETE, NetworkSpec, decode_action, encode_action
from ecedge.plants import CartPole
from ecedge.tasks import find_task

TASK = find_task("CartPole-v1")
POLICY = policy_for(TASK)


@pytest.fixture(scope="module")
def running():
    with run_board(parse_device("virtual"), POLICY, plant=find_plant("cart-pole")) as running:
        yield running


@pytest.fixture
def device(running) -> Iterator[Device]:
    with Device(connect_running(running)) as device:
        if device.hello.policy_hash != POLICY.hash:
            device.upload(POLICY)
        yield device


def expected(seed: int, actions, steps: int = 500) -> tuple[list, int]:
    """(counts, reward, whether it ended) of every step by the plant's twin; its trajectory."""
    plant = CartPole(POLICY.observation_map)
    plant.begin(seed)
    raw, crc, seen = plant.sense(), 0, []
    for action in actions[:steps]:
        outputs = encode_action(POLICY.spec, action)
        plant.apply(outputs)
        crc = zlib.crc32(outputs.tobytes(), zlib.crc32(raw.tobytes(), crc))
        reward, ended = plant.judge()
        raw = plant.sense()
        seen.append((raw.tolist(), reward / 65536, ended))
        if ended:
            break
    return seen, crc


def actions_of(seed: int) -> list[int]:
    return np.random.default_rng(seed).integers(0, 2, 500).tolist()


def play(environment: RigEnv, seed: int) -> list:
    """What `expected` tells, of the environment."""
    environment.reset(seed=seed)
    seen = []
    for action in actions_of(seed):
        observation, reward, terminated, truncated, _ = environment.step(action)
        seen.append((POLICY.observation_map.encode(observation).tolist(), reward, terminated))
        if terminated or truncated:
            break
    return seen


@pytest.mark.filterwarnings("ignore:.*A Box observation space m")  # the task's is infinite
def test_gymnasium_s_checker_accepts_it(device):
    check_env(RigEnv(device, POLICY, TASK), skip_render_check=True)


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_every_step_is_the_twin_s(device, seed):
    seen, crc = expected(seed, actions_of(seed))
    assert play(RigEnv(device, POLICY, TASK), seed) == seen
    result = device.result()
    assert (result.end, result.steps, result.trajectory) == (EpisodeEnd.DONE, len(seen), crc)
    assert result.mode == DeviceMode.IDLE


def test_a_seed_is_drawn_where_none_is_given_and_told(device):
    environment = RigEnv(device, POLICY, TASK)
    first, info = environment.reset()
    other, _ = environment.reset()
    again, _ = environment.reset(seed=info["seed"])
    assert first.tolist() == again.tolist() != other.tolist()
    assert environment.reset(seed=2**32 + info["seed"])[0].tolist() == first.tolist()


def test_an_episode_that_has_all_its_steps_is_truncated(device):
    environment = RigEnv(device, POLICY, replace(TASK, max_episode_steps=3))
    environment.reset(seed=1)
    ends = [environment.step(0)[2:] for _ in range(3)]
    assert [end[:2] for end in ends] == [(False, False), (False, False), (False, True)]
    assert (ends[-1][2]["deadline_missed"], ends[-1][2]["fault"]) == (False, False)
    assert device.status().mode == DeviceMode.IDLE
    with pytest.raises(UsageError, match="No episode runs"):
        environment.step(0)


def test_steps_are_paced_by_the_device_and_a_late_action_truncates(device):
    environment = RigEnv(device, POLICY, TASK, period_ms=100.0)
    environment.reset(seed=1)
    begun = time.monotonic()
    for _ in range(3):
        assert environment.step(0)[3] is False
    assert time.monotonic() - begun > 0.29
    time.sleep(0.12)
    _, reward, terminated, truncated, info = environment.step(1)
    assert (reward, terminated, truncated, info["deadline_missed"]) == (1.0, False, True, True)
    assert device.result().end == EpisodeEnd.STOPPED
    assert not device.status().outputs.any()
    environment.reset(seed=1)
    assert environment.step(0)[4]["deadline_missed"] is False


def test_limits_hold_and_what_was_applied_is_told(device):
    limits = [Limit(), Limit(-100, 300, 200)]
    environment = RigEnv(device, POLICY, TASK, limits=limits)
    environment.reset(seed=1)
    applied = [environment.step(1)[4]["applied"].tolist() for _ in range(3)]
    assert applied == [[0, 200], [0, 300], [0, 300]]
    RigEnv(device, POLICY, TASK)
    assert device.limit([Limit()] * 2) == [Limit()] * 2


# -- trouble -------------------------------------------------------------------------------------


def test_a_bad_line_changes_no_bit(running):
    with serving(Proxy(running.port, Faults(drop=0.002, flip=0.002), seed=3)) as proxy:
        with Device(open_transport(proxy.url)) as device:
            environment = RigEnv(device, POLICY, TASK)
            for seed in range(2):
                assert play(environment, seed) == expected(seed, actions_of(seed))[0]
            assert device.statistics.resends > 0


def test_a_silent_learner_gets_an_error_and_can_begin_again(device):
    environment = RigEnv(device, POLICY, TASK, silence_ms=50)
    environment.reset(seed=1)
    time.sleep(0.15)
    with pytest.raises(DeviceRefused) as refused:
        environment.step(0)
    assert (refused.value.code, refused.value.detail) == (ErrorCode.MODE, DeviceMode.SAFE)
    with pytest.raises(UsageError, match="reset"):
        environment.step(0)
    assert play(environment, 2) == expected(2, actions_of(2))[0]


def test_a_session_that_was_lost_is_an_error_and_reset_connects_anew(device, monkeypatch):
    environment = RigEnv(device, POLICY, TASK)
    environment.reset(seed=1)
    monkeypatch.setattr(device, "_session", device._session ^ 1)
    with pytest.raises(DeviceRefused) as refused:
        environment.step(0)
    assert refused.value.code == ErrorCode.SESSION
    assert play(environment, 2) == expected(2, actions_of(2))[0]


def test_a_policy_that_a_restart_took_is_uploaded_again(device):
    other = policy_for(TASK, seed=2)
    device.upload(other)
    environment = RigEnv(device, other, TASK)
    environment.reset(seed=1)
    device.upload(POLICY)  # as after a restart: another one is in use
    with pytest.raises(LinkError):
        environment.step(0)
    environment.reset(seed=1)
    assert device.hello.policy_hash == other.hash
    environment.step(0)


def test_a_device_that_is_gone_is_an_error_in_step_and_reset_and_none_in_close(monkeypatch):
    monkeypatch.setattr(link_device, "REOPEN_DEADLINE", 0.2)
    with run_board(parse_device("virtual"), POLICY, plant=find_plant("cart-pole")) as running:
        device = Device(connect_running(running))
        device.connect()
        environment = RigEnv(device, POLICY, TASK)
        environment.reset(seed=1)
    for call in (lambda: environment.step(0), lambda: environment.reset(seed=1)):
        with pytest.raises(LinkError):
            call()
    environment.close()
    device.close()


def test_close_stops_the_plant_and_leaves_the_device_open(device):
    environment = RigEnv(device, POLICY, TASK)
    environment.reset(seed=1)
    environment.step(1)
    assert device.status().outputs.any()
    environment.close()
    assert device.status().mode == DeviceMode.IDLE
    assert not device.status().outputs.any()


# -- misuse --------------------------------------------------------------------------------------


def test_what_cannot_be_is_a_sentence(device):
    for error, match, call in (
        (PolicyError, "Upload it first", lambda: RigEnv(device, policy_for(TASK, 9), TASK)),
        (PolicyError, "not of Pendulum", lambda: RigEnv(device, POLICY, find_task("Pendulum-v1"))),
        (UsageError, "1 limits", lambda: RigEnv(device, POLICY, TASK, limits=[Limit()])),
        (UsageError, "cannot pace", lambda: RigEnv(device, POLICY, TASK, period_ms=1000.1)),
        (UsageError, "4295", lambda: RigEnv(device, POLICY, TASK, 20.0, silence_ms=5000)),
    ):
        with pytest.raises(error, match=match):
            call()
    environment = RigEnv(device, POLICY, TASK)
    environment.reset(seed=1)
    for action in (2, -1, 0.5, [0], None):
        with pytest.raises(PolicyError, match="An action is a number of 0 to 1"):
            environment.step(action)
    environment.step(np.int64(1))


# -- actions -------------------------------------------------------------------------------------


numbers = st.lists(st.integers(-2048, 2048), min_size=3, max_size=3)


@given(numbers, st.floats(-1, 0), st.floats(0.1, 1e3))
def test_encoding_undoes_decoding(output, share, span):
    spec = NetworkSpec(2, 3, actions=CONTINUOUS)
    bounds = [share * span] * 3, [(share + 1) * span] * 3
    action = decode_action(spec, np.array(output, np.int16), *bounds)
    assert encode_action(spec, action, *bounds).tolist() == output


@given(st.integers(1, 64), st.data())
def test_a_discrete_action_is_the_largest_output(n_act, data):
    spec = NetworkSpec(2, n_act, actions=DISCRETE)
    action = data.draw(st.integers(0, n_act - 1))
    assert decode_action(spec, encode_action(spec, action)) == action


@pytest.mark.parametrize("action", [[np.nan, 0], [np.inf, 0], [0], [[0, 0]], 0])
def test_an_action_that_is_none_is_refused(action):
    with pytest.raises(PolicyError, match="2 finite numbers"):
        encode_action(NetworkSpec(2, 2), action, [-1, -1], [1, 1])


def test_an_action_beyond_its_bounds_counts_as_on_them():
    spec = NetworkSpec(2, 2)
    assert encode_action(spec, [-9.0, 9.0], [-1, -1], [1, 1]).tolist() == [-2048, 2048]
    assert encode_action(spec, [0.5, 3.0], [-1, 3], [1, 3]).tolist() == [1024, -2048]
