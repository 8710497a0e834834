"""Device-clocked episodes, limits, and hosts that die: docs/LINK.md section 3."""

from __future__ import annotations

import itertools
import multiprocessing
import time
from dataclasses import replace

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from test_golden import named
from twins import ReferenceTwin, quick_twin, random_counts, random_policy

from ecedge.clocked import await_end, period_ticks, run_clocked
from ecedge.errors import DeviceRefused
from ecedge.hil import RigEnv
from ecedge.link import Device, DeviceMode, EpisodeEnd, ErrorCode, Limit, MessageType, Status
from ecedge.model import Policy
from ecedge.tasks import find_task

EPISODES = {case.id: case.values[0] for case in named("episodes")}
BALANCES = Policy.from_image(bytes.fromhex(EPISODES["balances"]["image"]))
COUNTS = random_counts(BALANCES, 100)
FREE = [Limit()] * 2
TASK = find_task("CartPole-v1")
PERIOD_MS = 20.0
SILENCE_MS = 200
#: seconds that a device may be found safe later than it promises: it looks at its clock every 10
#: ms, and a busy computer lets it wait
TOLERANCE = 0.5
KILLS, KILLS_EMULATED = 3, 1  # of each kind


@pytest.fixture
def clocked(rig, device) -> Device:
    """A device with the plant cart-pole on its side, and a policy that balances it."""
    try:
        plant = device.result().plant
    except DeviceRefused as refusal:
        assert (refusal.code, refusal.detail) == (ErrorCode.PLANT, 0)
        assert rig.running is None, "the firmware under test has one"
        pytest.skip("the device has no plant on its side")
    if plant != "cart-pole":
        pytest.skip(f"the device's plant is {plant}")
    if device.hello.policy_hash != BALANCES.hash:
        device.upload(BALANCES)
    device.limit(FREE)
    return device


def begin(device: Device, seed=0, steps=2**32 - 1, silence_ms=0, period_ms=PERIOD_MS) -> None:
    device.begin_episode(seed, steps, period_ticks(device, period_ms), silence_ms)


def await_safety(device: Device, seconds: float = 0.0) -> Status:
    """What a device tells that has made itself safe, `seconds` after its host fell silent and what
    its own clock measures from now on: an emulator's may be slow."""
    first = status = device.status()  # to ask leads nothing
    while status.mode in (DeviceMode.RUN, DeviceMode.CLOCKED, DeviceMode.HOSTED):
        waited = seconds + (status.uptime_ms - first.uptime_ms) / 1000
        assert waited < SILENCE_MS / 1000 + TOLERANCE
        time.sleep(0.005)
        status = device.status()
    assert status.mode == DeviceMode.SAFE
    assert not status.outputs.any()
    return status


# -- episodes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", EPISODES.values(), ids=EPISODES)
def test_episode_comes_to_what_the_vectors_say(clocked, case):
    policy = Policy.from_image(bytes.fromhex(case["image"]))
    if clocked.hello.policy_hash != policy.hash:
        clocked.upload(policy)
    limits = [Limit(*numbers) for numbers in case["limits"]]
    assert clocked.limit(limits) == limits
    clocked.begin_episode(case["seed"], case["most_steps"])
    result = await_end(clocked, 0)
    told = (result.end, result.steps, result.clamps, result.total, result.trajectory)
    names = ("end", "steps", "clamps", "return", "trajectory")
    assert told == tuple(case[name] for name in names)
    assert result.mode == DeviceMode.IDLE
    assert (result.misses, result.most_late, result.sum_late) == (0, 0, 0)
    assert not clocked.status().outputs.any()


def test_run_of_episodes_is_the_twins(clocked, tell, rig):
    limits = [Limit(-2000, 2000, 1500), Limit(slew=700)]
    episodes = [*run_clocked(clocked, BALANCES, 2, 100, 7, limits=limits)]
    assert [episode.seed for episode in episodes] == [7, 8]
    assert all(episode.is_equal for episode in episodes)
    steps = sum(episode.result.steps for episode in episodes)
    tell(f"{rig.name}: {steps} device-clocked steps bit-equal in counts and outputs applied")


def test_steps_are_paced_by_the_device_s_clock(clocked, rig, tell):
    steps, period_ms = 24, 10.0
    begun = time.monotonic()
    begin(clocked, steps=steps, period_ms=period_ms)
    result = await_end(clocked, 0)
    seconds = time.monotonic() - begun
    # The last step needs no period after it, and an emulator's clock may run a little ahead.
    assert seconds > 0.8 * (steps - 1) * period_ms / 1000
    assert (result.end, result.steps) == (EpisodeEnd.STEPS, steps)
    assert result.least_late <= result.sum_late / steps <= result.most_late
    ms = 1000 / clocked.hello.tick_hz
    tell(
        f"{rig.name}: {steps} steps of {period_ms:g} ms, {result.misses} misses, "
        f"{result.sum_late * ms / steps:.3f} ms late on average, {result.most_late * ms:.3f} most"
    )


def test_device_answers_between_steps(clocked):
    begin(clocked)
    seen = set()
    for _ in range(5):
        status = clocked.status()
        assert status.mode == DeviceMode.CLOCKED
        seen.add(status.steps)
        with pytest.raises(DeviceRefused) as refused:
            clocked.step(np.zeros(4, np.int16))
        assert (refused.value.code, refused.value.detail) == (ErrorCode.MODE, DeviceMode.CLOCKED)
        time.sleep(0.04)
    assert len(seen) > 1
    assert clocked.result().runs
    assert clocked.stop() == DeviceMode.IDLE
    result = clocked.result()
    assert (result.end, result.runs) == (EpisodeEnd.STOPPED, False)
    assert not clocked.status().outputs.any()


def test_plant_refuses_a_policy_of_another_task(clocked):
    clocked.upload(random_policy(5, n_obs=3, n_act=2, n_neurons=32))
    with pytest.raises(DeviceRefused) as refused:
        clocked.begin_episode(0, 1)
    assert (refused.value.code, refused.value.detail) == (ErrorCode.PLANT, 1)
    assert clocked.status().mode == DeviceMode.IDLE


def test_episode_without_a_host_runs_to_its_end(clocked, rig):
    begin(clocked, steps=20, period_ms=5.0)
    rig.close()
    time.sleep(0.3)
    result = await_end(rig.connect(), 0)
    assert (result.end, result.steps) == (EpisodeEnd.STEPS, 20)


def test_host_that_stops_asking_ends_its_episode(clocked):
    before = clocked.status()
    begin(clocked, silence_ms=SILENCE_MS)
    status = await_safety(clocked)
    assert status.silences == before.silences + 1
    assert status.uptime_ms - before.uptime_ms >= SILENCE_MS
    assert clocked.result().end == EpisodeEnd.SILENCE


# -- a host that acts ----------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*A Box observation space m")  # the task's is infinite
def test_gymnasium_s_checker_accepts_the_plant(clocked):
    check_env(RigEnv(clocked, BALANCES, TASK), skip_render_check=True)


@pytest.mark.parametrize("name", ["falls", "within a slew"])
def test_host_that_acts_as_the_network_would_has_its_trajectory(clocked, rig, tell, name):
    case = EPISODES[name]
    policy = Policy.from_image(bytes.fromhex(case["image"]))
    if clocked.hello.policy_hash != policy.hash:
        clocked.upload(policy)
    clocked.limit([Limit(*numbers) for numbers in case["limits"]])
    network = quick_twin(policy)
    network.reset()
    seen = clocked.begin_hosted(case["seed"], case["most_steps"], 0, SILENCE_MS)
    while seen.episode.runs:
        seen = clocked.act(network.step(seen.raw))
    names = ("end", "steps", "clamps", "return", "trajectory")
    told = clocked.result()
    assert (told.end, told.steps, told.clamps, told.total, told.trajectory) == tuple(
        case[name] for name in names
    )
    assert replace(told, plant="") == seen.episode
    assert not clocked.status().outputs.any()
    tell(f"{rig.name}: {told.steps} hosted steps bit-equal in counts and outputs applied")


# -- limits --------------------------------------------------------------------------------------


def test_limits_keep_what_is_applied_and_change_no_bit_of_the_network(clocked):
    limits = [Limit(-100, 40, 30), Limit(-5, 500, 65535)]
    twin = ReferenceTwin(BALANCES)
    assert clocked.limit(limits) == limits
    clocked.reset(silence_ms=60000)
    clamps = clocked.status().clamps
    applied = [0, 0]
    for raw in random_counts(BALANCES, 10):
        wanted = twin.step(raw)
        reply = clocked.step(raw)
        assert (reply.output.tolist(), reply.digest) == (wanted.tolist(), twin.digest)
        pairs = zip(limits, wanted.tolist(), applied, strict=True)
        applied = [limit.apply(*pair) for limit, *pair in pairs]
        clamps += sum(a != b for a, b in zip(applied, wanted.tolist(), strict=True))
        status = clocked.status()
        assert (status.outputs.tolist(), status.clamps) == (applied, clamps)
    clocked.stop()
    assert not clocked.status().outputs.any()


def test_limits_outlive_a_session_and_are_free_again_by_others(clocked, rig):
    clocked.limit([Limit(0, 0)], first=1)
    again = rig.connect()
    again.reset(silence_ms=60000)
    for raw in random_counts(BALANCES, 3):
        again.step(raw)
        assert again.status().outputs[1] == 0
    assert again.limit(FREE) == FREE


def test_impossible_limits_are_refused(clocked):
    upside_down = b"\0\0\0\0" + b"\5\0\4\0\0\0"
    for payload, code in (
        (upside_down, ErrorCode.ARGUMENT),
        (upside_down[:-1], ErrorCode.LENGTH),
        (b"\0\0\1\0" + bytes(6), ErrorCode.CAPACITY),
    ):
        with pytest.raises(DeviceRefused) as refused:
            clocked.request(MessageType.LIMITS, payload)
        assert refused.value.code == code


# -- hosts that die ------------------------------------------------------------------------------


def lead_in_steps(device: Device) -> None:
    device.reset(digest=False, silence_ms=SILENCE_MS)
    for raw in itertools.cycle(COUNTS):
        device.step(raw)


def lead_an_episode(device: Device) -> None:
    begin(device, silence_ms=SILENCE_MS)
    while device.result().runs:
        time.sleep(0.001)


def act_on_the_plant(device: Device) -> None:
    network = quick_twin(BALANCES)
    network.reset()
    seen = device.begin_hosted(0, 2**32 - 1, 0, SILENCE_MS)
    while True:
        seen = device.act(network.step(seen.raw))


def be_a_host(rig, lead, leads) -> None:
    with Device(rig.open()) as device:
        device.stop()
        leads.set()
        lead(device)


@pytest.mark.parametrize("lead", [lead_in_steps, lead_an_episode, act_on_the_plant])
def test_host_that_is_killed_leaves_a_safe_device(clocked, rig, lead, request, tell):
    """At random moments: between two bytes, while a step or its reply is on its way."""
    usual = KILLS_EMULATED if rig.is_emulated else KILLS
    kills = request.config.getoption("kills") or usual
    rng = np.random.default_rng(len(lead.__name__))
    processes = multiprocessing.get_context("fork")
    silences, waits = clocked.status().silences, []
    for kill in range(kills):
        rig.close()
        leads = processes.Event()
        host = processes.Process(target=be_a_host, args=(rig, lead, leads), daemon=True)
        host.start()
        try:
            assert leads.wait(10)
            time.sleep(0.05 + rng.uniform(0, 0.2))
            assert host.is_alive()
        finally:
            host.kill()
        killed = time.monotonic()
        host.join(10)
        device = rig.connect()
        status = await_safety(device, time.monotonic() - killed)
        waits.append(time.monotonic() - killed)
        assert status.silences == silences + kill + 1
    tell(
        f"{rig.name}: {kills} hosts killed in {lead.__name__}; silence {SILENCE_MS} ms, "
        f"safe after {max(waits) * 1000:.0f} ms at most"
    )
