"""A device learns what the reference learns: members, ranks, probabilities, every bit."""

from __future__ import annotations

import contextlib
import time
import zlib
from dataclasses import replace

import numpy as np
import pytest
from twins import quick_twin, random_counts, random_policy

from ecedge import reference
from ecedge.errors import DeviceRefused
from ecedge.evolve import Lockstep, Origin, Plan, Run, policy_from_scratch, practise
from ecedge.link import (
    Device,
    DeviceMode,
    ErrorCode,
    Evolving,
    Faults,
    FaultyTransport,
    Limit,
    MessageType,
    Practice,
    PracticeState,
    Record,
    learned_hash,
    practice,
    read_rho,
)
from ecedge.link.learning import learn_request, member_request, ranks_request, rho_put_request
from ecedge.link.messages import reset_request
from ecedge.model import Policy
from ecedge.training.settings import Settings

POPULATION = 6
GENERATIONS, LONG_GENERATIONS = 3, 50
LONG_PRACTICE = 12  # generations by the device's own clock
POLICY = random_policy(9, n_obs=3, n_act=2, n_neurons=32)
LARGER = random_policy(9, n_obs=4, n_act=2, n_neurons=64)


def room_of(policy: Policy) -> int:
    return len(policy.image) + policy.spec.n_synapses + 4 * POPULATION


NEEDED = room_of(POLICY)
needs_room = pytest.mark.room(NEEDED)


def origin(seed: int = 3, one: int = 200) -> Origin:
    return Origin(POLICY, seed, reference.step_size(0.2, POPULATION), POPULATION, one)


def begin(device, at: Origin, generation: int = 0) -> Evolving:
    """Skips a port whose device turns out to have no room."""
    if device.hello.max_image < NEEDED:
        pytest.skip(f"{device.hello.board} has {device.hello.max_image} bytes for uploads")
    device.upload(at.policy)
    return Evolving(device, at.policy, at.seed, at.step, at.population, generation, at.one)


def assert_runs(device, policy: Policy, member: int | None = None) -> None:
    twin = quick_twin(policy)
    twin.reset()
    device.reset(member=member)
    for raw in random_counts(policy, 3):
        expected, reply = twin.step(raw), device.step(raw)
        assert (reply.output.tolist(), reply.digest) == (expected.tolist(), twin.digest)


@needs_room
def test_a_device_learns_as_its_twin_does(device, request, tell):
    long = request.config.getoption("long")
    twin = Lockstep(origin(), 1)
    evolving = begin(device, twin.origin)
    assert evolving.rho_hash == twin.rho_hash
    rng = np.random.default_rng(1)
    for generation in range(LONG_GENERATIONS if long else GENERATIONS):
        for member in range(POPULATION if generation < GENERATIONS else 1):
            evolving.draw(member)
            assert_runs(device, twin.member(member))
        ranks = reference.centered_ranks(rng.integers(0, 4, POPULATION))
        twin.learn(ranks)
        assert evolving.learn(ranks) == twin.rho_hash
    assert evolving.rho() == twin.planes
    evolving.draw(None)
    assert_runs(device, twin.decided())
    tell(f"{device.hello.board}: {twin.generation} generations learned in lock step")


@pytest.mark.room(room_of(LARGER))
def test_a_network_of_64_neurons_learns_where_uploads_have_6_kb(device):
    if device.hello.max_image < room_of(LARGER):
        pytest.skip(f"{device.hello.board} has {device.hello.max_image} bytes for uploads")
    twin = Lockstep(Origin(LARGER, 3, reference.step_size(0.2, POPULATION), POPULATION, 200), 1)
    evolving = begin(device, twin.origin)
    evolving.draw(1)
    assert_runs(device, twin.member(1))
    ranks = reference.centered_ranks(np.arange(POPULATION))
    twin.learn(ranks)
    assert evolving.learn(ranks) == twin.rho_hash


@needs_room
def test_probabilities_that_were_kept_can_be_put_back(device):
    twin = Lockstep(origin(), 1)
    evolving = begin(device, twin.origin)
    twin.learn(reference.centered_ranks(np.arange(POPULATION)))
    again = begin(device, twin.origin, generation=1)
    assert again.rho_hash != twin.rho_hash
    assert again.put_rho(twin.planes) == twin.rho_hash == zlib.crc32(again.rho())
    evolving.draw(2)
    assert_runs(device, twin.member(2))


@needs_room
def test_a_member_is_drawn_and_its_episode_begun_at_once(device):
    twin = Lockstep(origin(), 1)
    begin(device, twin.origin)
    assert_runs(device, twin.member(2), member=2)
    assert_runs(device, twin.member(2))
    assert_runs(device, twin.member(4), member=4)
    time.sleep(1.1)  # silence is counted from the member on
    device.reset(silence_ms=1000, member=3)
    device.step(random_counts(POLICY, 1)[0])
    refused(device, MessageType.MEMBER, member_request(1) + bytes(4), ErrorCode.LENGTH, 4)
    endless = reset_request(True, 60001)
    refused(device, MessageType.MEMBER, member_request(1) + endless, ErrorCode.ARGUMENT)
    assert device.status().mode == DeviceMode.IDLE
    assert_runs(device, twin.member(1))


@needs_room
def test_a_device_tells_a_new_host_what_it_has_learned(device):
    device.upload(POLICY)
    assert learned_hash(device) is None
    twin = Lockstep(origin(), 1)
    evolving = begin(device, twin.origin)
    device.connect()
    assert learned_hash(device) == twin.rho_hash
    ranks = reference.centered_ranks(np.arange(POPULATION))
    device.request(MessageType.RANKS, ranks_request(0, ranks))
    device.request(MessageType.LEARN, learn_request(0, 0, 3))
    assert learned_hash(device) is None
    twin.learn(ranks)
    device.request(MessageType.LEARN, learn_request(0, 3, 1 << 31))
    assert learned_hash(device) == twin.rho_hash
    assert evolving.rho() == twin.planes


@needs_room
def test_a_policy_that_evolves_has_no_hash(device):
    begin(device, origin())
    hello = device.connect()
    assert (hello.policy_source, hello.policy_hash) == (3, "0" * 16)
    device.upload(POLICY)
    assert device.hello.policy_hash == POLICY.hash
    refused(device, MessageType.MEMBER, member_request(0), ErrorCode.IMAGE, 1)


def refused(device, kind: int, payload: bytes, code: int, detail: int = 0) -> None:
    with pytest.raises(DeviceRefused) as refusal:
        device.request(kind, payload)
    assert (refusal.value.code, refusal.value.detail) == (code, detail)


@needs_room
def test_what_cannot_be_learned_is_refused(device):
    evolving = begin(device, origin())
    before = evolving.rho()
    refused(device, MessageType.MEMBER, member_request(POPULATION), ErrorCode.ARGUMENT)
    refused(device, MessageType.MEMBER, b"", ErrorCode.LENGTH, 4)
    refused(device, MessageType.RANKS, ranks_request(POPULATION, [0]), ErrorCode.ARGUMENT)
    refused(device, MessageType.RANKS, ranks_request(1, [0] * POPULATION), ErrorCode.ARGUMENT)
    refused(device, MessageType.RANKS, b"\0" * 5, ErrorCode.LENGTH)
    refused(device, MessageType.LEARN, learn_request(1, 0, 1), ErrorCode.ARGUMENT)
    refused(device, MessageType.LEARN, learn_request(0, 0, 0), ErrorCode.ARGUMENT)
    refused(device, MessageType.LEARN, learn_request(0, 1, 1), ErrorCode.OFFSET)
    end = POLICY.spec.n_synapses
    refused(device, MessageType.RHO_PUT, rho_put_request(end - 3, b"1234"), ErrorCode.ARGUMENT)
    assert evolving.rho() == before


@needs_room
def test_a_generation_that_is_half_learned_goes_on_where_it_was(device):
    twin = Lockstep(origin(), 1)
    evolving = begin(device, twin.origin)
    ranks = reference.centered_ranks(np.arange(POPULATION))
    device.request(MessageType.RANKS, ranks_request(0, ranks))
    device.request(MessageType.LEARN, learn_request(0, 0, 3))
    for kind, payload in ((MessageType.MEMBER, member_request(0)), (MessageType.RHO, b"\0" * 6)):
        refused(device, kind, payload, ErrorCode.OFFSET, 3)
    refused(device, MessageType.LEARN, learn_request(0, 0, 1), ErrorCode.OFFSET, 3)
    device.request(MessageType.LEARN, learn_request(0, 3, 1 << 31))
    twin.learn(ranks)
    assert evolving.rho() == twin.planes


@needs_room
def test_a_device_learns_the_same_on_a_line_that_spoils_bytes(rig):
    twin = Lockstep(origin(), 1)
    ranks = reference.centered_ranks(np.arange(POPULATION))
    rig.close()
    with Device(FaultyTransport(rig.open(), Faults(flip=0.01), seed=4)) as device:
        evolving = begin(device, twin.origin)
        assert_runs(device, twin.member(2), member=2)
        twin.learn(ranks)
        assert evolving.learn(ranks) == twin.rho_hash
        assert device.statistics.resends > 0


def test_a_device_without_the_room_says_so(device):
    room = device.hello.max_image
    if len(POLICY.image) > room:
        pytest.skip(f"{device.hello.board} has no room for the policy itself")
    device.upload(POLICY)
    population = min(room // 4, 16000)
    if NEEDED + 4 * (population - POPULATION) <= room:
        Evolving(device, POLICY, 1, 1, population)
        return
    with pytest.raises(DeviceRefused) as refusal:
        Evolving(device, POLICY, 1, 1, population)
    assert refusal.value.code in (ErrorCode.CAPACITY, ErrorCode.TYPE)
    assert device.hello.policy_hash == POLICY.hash


# -- practice: by its own clock, on its own plant --------------------------------------------------

BALANCE = policy_from_scratch(Settings("CartPole-v1", neurons=32, substeps=4, population=8))
PLAN = Plan(
    "CartPole-v1", seed=4, population=POPULATION, generations=3, horizon=40, evaluation_episodes=1,
    period_ms=0.0,
)  # fmt: skip
PRACTICE_ROOM = (
    len(BALANCE.image) + BALANCE.spec.n_synapses + 4 * POPULATION  # evolution's
    + BALANCE.spec.n_synapses // 8 + Record.LAYOUT.size + 4 * POPULATION
)  # fmt: skip


@pytest.fixture
def practised(rig, device):
    """A device with the plant cart-pole on its side, and room to practise."""
    try:
        plant = device.result().plant
    except DeviceRefused:
        assert rig.running is None, "the firmware under test has one"
        pytest.skip("the device has no plant on its side")
    if plant != "cart-pole" or device.hello.max_image < PRACTICE_ROOM:
        assert rig.running is None, "the firmware under test has both"
        pytest.skip(f"the device's plant is {plant}, its room {device.hello.max_image}")
    device.limit([Limit()] * 2)
    return device


@pytest.mark.room(PRACTICE_ROOM)
def test_a_device_practises_as_its_twin_does(practised, tmp_path, request, tell):
    long = request.config.getoption("long")
    plan = replace(PLAN, generations=LONG_PRACTICE if long else PLAN.generations)
    run = Run.begin(tmp_path / "run", plan, BALANCE)
    steps = 0
    for generation in practise(run, lambda: contextlib.nullcontext(practised)):
        assert generation.losses == 0
        steps += generation.steps
        if run.twin.generation == plan.generations:
            assert read_rho(practised, BALANCE.spec.n_synapses) == run.twin.planes
    assert practised.connect().policy_hash == run.confirmed.hash
    tell(f"{practised.hello.board}: practised {plan.generations} generations, {steps} steps")


@pytest.mark.room(PRACTICE_ROOM)
def test_practice_stops_for_its_budget_and_for_a_silent_host(practised):
    def practise_with(**terms):
        practice.begin_practice(practised, Practice(1, 5, 1 << 30, **terms))
        while (now := practice.progress(practised)).runs:
            pass
        assert not practised.status().outputs.any()
        return now

    practised.upload(BALANCE)
    Evolving(practised, BALANCE, 1, 1 << 24, POPULATION)
    now = practise_with(most_episodes=2)
    assert (now.state, now.mode, now.episodes) == (PracticeState.EPISODES, DeviceMode.IDLE, 2)
    now = practise_with(most_steps=now.steps + 3)
    assert (now.state, now.mode) == (PracticeState.STEPS, DeviceMode.IDLE)
    period = practised.hello.tick_hz // 50
    practice.begin_practice(practised, Practice(1, 5, 1 << 30, period, silence_ms=100))
    deadline = time.monotonic() + 10
    while (status := practised.status()).mode == DeviceMode.PRACTICE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert (status.mode, practice.progress(practised).state) == (
        DeviceMode.SAFE, PracticeState.SILENCE,
    )  # fmt: skip
    assert not status.outputs.any()


@pytest.mark.room(PRACTICE_ROOM)
def test_the_confirmed_policy_comes_back_whatever_it_practises(practised):
    practised.upload(BALANCE)
    evolving = Evolving(practised, BALANCE, 1, 1 << 24, POPULATION)
    practice.begin_practice(practised, Practice(1, 5, 40, practised.hello.tick_hz))
    practice.recall(practised)
    assert_runs(practised, BALANCE)
    twin = Lockstep(Origin(BALANCE, 1, 1 << 24, POPULATION, 128), 1)
    assert evolving.rho_hash == twin.rho_hash
    practice.confirm(practised, 2)
    evolving.draw(None)
    assert_runs(practised, twin.decided())
    practice.recall(practised)
    assert_runs(practised, twin.member(2))


@pytest.mark.room(PRACTICE_ROOM)
def test_what_was_learned_is_in_flash_where_there_is_some(practised, tell):
    practised.upload(BALANCE)
    Evolving(practised, BALANCE, 1, 1 << 26, POPULATION)
    practice.begin_practice(practised, Practice(1, 5, 20))
    while practice.progress(practised).runs:
        pass
    planes = read_rho(practised, BALANCE.spec.n_synapses)
    try:
        saved = practice.save(practised)
    except DeviceRefused as refusal:
        assert (refusal.code, refusal.detail) == (ErrorCode.FLASH, 0)
        return
    assert (saved.generation, practice.snapshot(practised)) == (1, saved)
    practised.upload(BALANCE)
    refused(practised, MessageType.PROGRESS, b"", ErrorCode.IMAGE, 1)
    assert practice.load(practised) == saved
    assert read_rho(practised, BALANCE.spec.n_synapses) == planes
    assert practice.record(practised, 0, POPULATION).rho_hash == zlib.crc32(planes)
    tell(f"{practised.hello.board}: {saved.size} bytes saved in flash, and loaded")
