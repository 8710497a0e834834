"""Plants on the device's side: the integer cart-pole, the page's own example, a run's outcome."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecedge import reference
from ecedge.boards import find_plant
from ecedge.boards.registry import plant_names
from ecedge.clocked import (
    ClockedEpisode,
    Trajectory,
    period_ticks,
    run_clocked,
    summarise_clocked,
)
from ecedge.devices import open_device
from ecedge.engine._library import ffi, lib
from ecedge.errors import DeviceRefused, PlantFault, PolicyError, UsageError
from ecedge.hil import RigEnv
from ecedge.link import Device, DeviceMode, EpisodeEnd, EpisodeResult, ErrorCode, Limit
from ecedge.model import NetworkSpec, ObservationMap, Policy
from ecedge.plants import PLANTS, CartPole, Noise, plant_of_task
from ecedge.plants.cart_pole import FRACTION, ONE, count
from ecedge.tasks import find_task
from ecedge.tasks.cart_pole import CartPole as Task

PAGE = Path(__file__).parent.parent / "docs/PLANT.md"
PLAIN = ObservationMap([0] * 4, [64] * 4, [4] * 4, [13, 12, 16, 12])


# -- the integer cart-pole -----------------------------------------------------------------------


def test_one_step_is_the_task_s_to_a_millionth():
    rng = np.random.default_rng(0)
    states = rng.uniform([-2.4, -4, -0.21, -4], [2.4, 4, 0.21, 4], (1000, 4))
    pushes = rng.integers(0, 2, 1000)
    moved, _, _ = Task.move(states.T, pushes)
    plant = CartPole(PLAIN)
    for state, push, expected in zip(states, pushes, moved.T, strict=True):
        plant.state = [round(x * ONE) for x in state]
        plant.apply([0, 1] if push else [0, 0])  # a tie is the lowest index
        plant.judge()
        assert np.abs(np.array(plant.state) / ONE - expected).max() < 1e-6


def test_it_ends_where_the_task_ends():
    plant = CartPole(PLAIN)
    for state, ended in (
        ([2.39, 0, 0, 0], False),
        ([2.41, 0, 0, 0], True),
        ([-2.41, 0, 0, 0], True),
        ([0, 0, 0.209, 0], False),
        ([0, 0, 0.210, 0], True),
        ([0, 0, -0.210, 0], True),
    ):
        plant.state = [round(x * ONE) for x in state]
        assert plant.judge() == (65536, ended)


def test_seeds_begin_within_the_task_s_range_and_differ():
    plant = CartPole(PLAIN)
    starts = []
    for seed in range(200):
        plant.begin(seed)
        starts.append(plant.state)
    starts = np.array(starts) / ONE
    assert np.abs(starts).max() <= 0.05
    assert np.abs(starts).max() > 0.049 and np.abs(starts.mean(0)).max() < 0.01
    assert len(np.unique(starts, axis=0)) == 200


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-16, 30), st.integers(0, 31))
def test_the_core_s_count_is_the_exact_one(value, exponent, fraction):
    channel = ffi.new("ec_channel *", {"exponent": exponent})
    exact = value * 2.0 ** (exponent - fraction)
    expected = min(max(round(exact), -32768), 32767)  # Python rounds halves to even
    assert lib.ec_channel_count(channel, value, fraction) == expected
    if fraction == FRACTION:
        assert count(value, exponent) == expected


def test_a_count_s_ties_go_to_even():
    for halves, expected in ((1, 0), (3, 2), (5, 2), (-1, 0), (-3, -2), (-5, -2)):
        channel = ffi.new("ec_channel *", {"exponent": 0})
        assert lib.ec_channel_count(channel, halves, 1) == expected
        assert count(halves << (FRACTION - 1), 0) == expected


def test_every_plant_has_a_twin():
    assert sorted(PLANTS) == plant_names()
    for name, twin in PLANTS.items():
        n_obs = find_task(twin.task).n_obs if twin.task else 7
        twin_of_it = twin(ObservationMap(*[[1] * n_obs] * 3, [0] * n_obs))
        twin_of_it.begin(1)
        assert twin_of_it.sense().shape == (n_obs,)
        assert f'.plant = "{name}"' in find_plant(name).read_text()
    assert plant_of_task("CartPole-v1") is CartPole
    assert plant_of_task("Hopper-v5") is plant_of_task(None) is None


def test_noise_is_of_every_loudness():
    noise = Noise(ObservationMap(*[[1] * 64] * 3, [0] * 64))
    counts = []
    for seed in (1, 2):
        noise.begin(seed)
        for _ in range(50):
            counts.append(noise.sense())
            assert noise.judge() == (0, False)
    assert len({row.tobytes() for row in counts}) == 100
    loud = np.bincount(np.ceil(np.log2(1 + np.abs(np.array(counts, int)))).astype(int).ravel())
    assert len(loud) == 17 and loud.min() > 50


@pytest.mark.parametrize("name", ["nonsense", "nonsense.c", ""])
def test_an_unknown_plant_is_a_sentence(name):
    with pytest.raises(UsageError) as caught:
        find_plant(name)
    assert caught.value.hint.endswith(".")


# -- a plant of one's own: the page's --------------------------------------------------------------


@pytest.fixture(scope="module")
def servo(tmp_path_factory) -> Device:
    """A virtual device with the plant of docs/PLANT.md, and a network whose output saturates."""
    (code,) = re.findall(r"```c\n(.*?)```", PAGE.read_text(), re.DOTALL)
    path = tmp_path_factory.mktemp("plant") / "servo.c"
    path.write_text(code)
    with open_device("virtual", SERVO_POLICY, plant=path) as device:
        yield device


def saturating(n_obs: int) -> Policy:
    spec = NetworkSpec(n_obs=n_obs, n_act=1, n_neurons=32, n_exc=32, output_gain=12)
    observations = ObservationMap([-20000] * n_obs, [30000] * n_obs, [4] * n_obs, [13] * n_obs)
    synapses = np.zeros((spec.n_rows, 1), np.uint32)
    synapses[0] = synapses[spec.rows_out] = 0xFFFFFFFF  # an observation, in and out again
    return reference.with_golden_trace(Policy(spec, observations, synapses))


SERVO_POLICY = saturating(2)


def test_the_page_s_plant_keeps_its_own_limits_and_faults(servo):
    device = servo
    assert device.result().plant == "servo"
    assert device.limit([Limit()]) == [Limit(-1536, 1536, 512)]
    assert device.limit([Limit(-9, 9, 600)]) == [Limit(-9, 9, 512)]
    with pytest.raises(DeviceRefused) as refused:
        device.limit([Limit(1600, 1700)])
    assert refused.value.code == ErrorCode.ARGUMENT and "bears" in refused.value.message
    with pytest.raises(PlantFault, match="asked for safety"):
        for _ in run_clocked(device, SERVO_POLICY, 50, 500, 1):
            pass
    result, status = device.result(), device.status()
    assert (result.end, status.mode) == (EpisodeEnd.FAULT, DeviceMode.SAFE)
    assert result.clamps > 0 and not status.outputs.any()
    assert 20 < result.steps < 500


def test_its_fault_terminates_a_learner_s_episode_and_leaves_it_safe(servo):
    task = find_task("MountainCarContinuous-v0")  # two observations, an action of -1 ... 1
    push = np.ones(1, np.float32)
    environment = RigEnv(servo, SERVO_POLICY, task)
    environment.reset(seed=1)
    steps = [environment.step(push) for _ in range(20)]
    applied = [info["applied"].item() for *_, info in steps]
    assert applied == [512, 1024, *[1536] * 18]  # the plant's own slew and range
    rewards = [reward for _, reward, *_ in steps]
    assert rewards[-1] < rewards[-10] < 0
    terminated = False
    while not terminated:
        *_, terminated, truncated, info = environment.step(push)
    assert (truncated, info["fault"], servo.status().mode) == (False, True, DeviceMode.SAFE)
    assert environment.reset(seed=1)[0].shape == (2,)
    environment.close()


def test_a_plant_without_a_twin_is_run_and_not_compared(servo):
    episodes = [*run_clocked(servo, SERVO_POLICY, 2, 10, 1)]
    assert [episode.is_equal for episode in episodes] == [None, None]
    summary = summarise_clocked(episodes, servo.hello.tick_hz, 0.0)
    assert (summary.plant, summary.differing, summary.steps) == ("servo", None, 20)
    assert summary.mean_return < 0


def test_a_run_needs_the_policy_and_a_limit_for_each_output(servo):
    with pytest.raises(PolicyError, match="not"):
        next(run_clocked(servo, saturating(3), 1, 10))
    with pytest.raises(UsageError, match="2 limits for 1 outputs"):
        next(run_clocked(servo, SERVO_POLICY, 1, 10, limits=[Limit(), Limit()]))


@pytest.mark.parametrize("period_ms", [-1.0, 1e-7, 1074.0, 1e9])
def test_a_period_that_the_clock_cannot_measure_is_a_sentence(servo, period_ms):
    with pytest.raises(UsageError, match="cannot pace"):
        period_ticks(servo, period_ms)
    assert period_ticks(servo, 0) == 0
    assert period_ticks(servo, 20) == 20_000_000


def test_a_silent_host_is_told_so(servo, monkeypatch):
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(seconds + 0.2))
    with pytest.raises(PlantFault, match="asked too late"):
        next(run_clocked(servo, SERVO_POLICY, 1, 10, 1, 1000.0, silence_ms=10))


# -- outcomes ------------------------------------------------------------------------------------

RESULT = EpisodeResult(
    mode=0,
    end=EpisodeEnd.STEPS,
    steps=4,
    clamps=1,
    misses=2,
    trajectory=0xDEADBEEF,
    least_late=10,
    most_late=50,
    sum_late=100,
    total=4 * 65536,
    plant="cart-pole",
)
EXPECTED = Trajectory(4, 4 * 65536, 1, 0xDEADBEEF)


@pytest.mark.parametrize("field", ["steps", "total", "clamps", "crc"])
def test_a_difference_in_any_number_is_told(field):
    other = replace(EXPECTED, **{field: getattr(EXPECTED, field) + 1})
    assert ClockedEpisode(0, RESULT, EXPECTED).is_equal is True
    assert ClockedEpisode(0, RESULT, other).is_equal is False


def test_a_summary_adds_up():
    episodes = [
        ClockedEpisode(0, RESULT, EXPECTED),
        ClockedEpisode(1, replace(RESULT, least_late=4, total=65536, misses=0), EXPECTED),
    ]
    summary = summarise_clocked(episodes, tick_hz=1000, period_ms=20.0, emulated=True)
    assert summary.returns == (4.0, 1.0)
    assert (summary.mean_return, summary.least_return) == (2.5, 1.0)
    assert (summary.steps, summary.misses, summary.clamps, summary.differing) == (8, 2, 2, 1)
    late = summary.least_late_ms, summary.mean_late_ms, summary.most_late_ms
    assert late == (4.0, 25.0, 50.0)
