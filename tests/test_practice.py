"""A device that practises on its own plant, and the host that follows it: the same generations,
whatever becomes of either."""

import contextlib
import itertools
import json
import re
import threading
import time
import zlib
from dataclasses import asdict, astuple, replace
from pathlib import Path

import numpy as np
import pytest
from test_cli import assert_misuse, ecedge

from ecedge import devices
from ecedge.boards import find_board, find_plant
from ecedge.boards.build import build
from ecedge.boards.emulator import launch
from ecedge.devices import connect_running, open_device
from ecedge.errors import DeviceRefused, LinkError, LockstepLost, UsageError
from ecedge.evolve import Lineage, Plan, Run, clocked, policy_from_scratch, practise, replay
from ecedge.evolve.clocked import Practised
from ecedge.link import (
    Device,
    DeviceMode,
    Evolving,
    FrameReader,
    Limit,
    MessageType,
    Packet,
    Practice,
    PracticeState,
    Progress,
    Record,
    encode_frame,
    practice,
    read_rho,
)
from ecedge.link.messages import hello_request
from ecedge.model import Policy
from ecedge.policy_file import load_policy
from ecedge.training.settings import Settings

pytestmark = pytest.mark.timeout(120)

PLAN = Plan(
    "CartPole-v1", seed=4, population=5, generations=4, certainty=0.75, horizon=30,
    evaluation_episodes=3, period_ms=0.0,
)  # fmt: skip
CART_POLE = find_plant("cart-pole")
DOCS = Path(__file__).parent.parent / "docs"
CHANGED = str(DOCS.parent / "tasks/cart-pole-changed.toml")


@pytest.fixture(scope="module")
def policy() -> Policy:
    return policy_from_scratch(Settings("CartPole-v1", neurons=32, substeps=4, population=8))


def opener():
    return open_device("virtual", plant=CART_POLE)


def finish(run: Run, opener=opener) -> bytes:
    """What the run's lineage holds in the end."""
    for _ in practise(run, opener):
        pass
    return (run.folder / "lineage.bin").read_bytes()


@pytest.fixture(scope="module")
def clean(tmp_path_factory, policy) -> bytes:
    """What PLAN comes to where nothing happens."""
    return finish(Run.begin(tmp_path_factory.mktemp("clean") / "run", PLAN, policy))


def test_its_lineage_replays(tmp_path, clean):
    path = tmp_path / "lineage.bin"
    path.write_bytes(clean)
    twin = replay(Lineage.open(path))
    assert twin.generation == PLAN.generations
    assert len({ranks.tobytes() for ranks, _ in Lineage.open(path)}) > 1


def test_a_run_that_ends_after_any_generation_goes_on_to_the_same(tmp_path, policy, clean):
    run = Run.begin(tmp_path / "run", PLAN, policy)
    for _ in range(PLAN.generations):
        for _ in itertools.islice(practise(run, opener), 1):
            pass
        run = Run.resume(tmp_path / "run")
    assert (tmp_path / "run/lineage.bin").read_bytes() == clean
    log = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [entry["generation"] for entry in log] == [0, 1, 2, 3]


def test_a_device_that_restarts_goes_on_where_its_twin_is(tmp_path, policy, clean, monkeypatch):
    started, count = [], itertools.count(1)

    def recorded(*words, **more):
        started.append(launch(*words, **more))
        return started[-1]

    monkeypatch.setattr("ecedge.link.device.REOPEN_DEADLINE", 0.1)
    request = Device.request

    def killing(self, kind, *words, **more):
        if kind == MessageType.RECORD and next(count) == 2:
            started[-1].process.kill()
        return request(self, kind, *words, **more)

    monkeypatch.setattr(devices, "launch", recorded)
    monkeypatch.setattr(Device, "request", killing)
    assert finish(Run.begin(tmp_path / "run", PLAN, policy)) == clean
    assert len(started) == 2


def test_who_comes_back_learns_what_the_device_did_alone(tmp_path, policy, clean, monkeypatch):
    run = Run.begin(tmp_path / "run", replace(PLAN, alone=PLAN.generations), policy)
    with opener() as device:
        stay = lambda: contextlib.nullcontext(device)  # noqa: E731
        with monkeypatch.context() as killed:
            killed.setattr(Practised, "__exit__", lambda *_: None)  # its host dies without a word
            next(practise(run, stay))
        while practice.progress(device).runs:
            pass
        assert practice.progress(device).generation == PLAN.generations
        monkeypatch.setattr("ecedge.evolve.clocked.Evolving", None)  # it goes on from there
        assert finish(Run.resume(tmp_path / "run"), stay) == clean


def test_a_twin_that_takes_long_does_not_keep_the_device_waiting(tmp_path, policy, monkeypatch):
    of_member = clocked.replay

    def slow(*words):
        time.sleep(1.6)
        return of_member(*words)

    monkeypatch.setattr(clocked, "replay", slow)
    monkeypatch.setattr(clocked, "SILENCE_MS", 1000)
    plan = replace(PLAN, population=2, generations=1, period_ms=100.0, horizon=20)
    (learned,) = practise(Run.begin(tmp_path / "run", plan, policy), opener)
    assert learned.losses == 0


def test_a_twin_that_fails_is_told_while_the_device_still_practises():
    def fails(member: int, conditions) -> int:
        raise LinkError(f"member {member}")

    with clocked.Expected(fails, 2) as expected:
        with pytest.raises(LinkError, match="member 0"):
            while True:  # the test's own time limit ends it
                expected.compute(clocked.Conditions(None, ()))


def test_a_twin_computes_all_members_under_the_conditions_of_the_device_that_is_there():
    wide, tight = (clocked.Conditions(None, (limit,)) for limit in (Limit(), Limit(-1, 1, 1)))
    begun, goes_on = threading.Event(), threading.Event()

    def earned(member: int, conditions) -> tuple:
        if conditions == wide:
            begun.set()
            assert goes_on.wait(10)
        return member, conditions

    with clocked.Expected(earned, 3) as expected:
        expected.compute(wide)
        assert begun.wait(10)
        expected.compute(tight)  # another device, in the middle of the first member
        goes_on.set()
        assert expected.all(tight) == [(member, tight) for member in range(3)]


@pytest.mark.parametrize(
    "changes", [{"certainty": 0.8}, {"horizon": 29}, {"learning_rate": 0.2}, {"population": 6}]
)
def test_another_evolution_is_not_taken_for_ours(tmp_path, policy, clean, changes):
    with opener() as device:
        stay = lambda: contextlib.nullcontext(device)  # noqa: E731
        other = replace(PLAN, generations=1, save_every=1, **changes)
        finish(Run.begin(tmp_path / "other", other, policy), stay)
        assert finish(Run.begin(tmp_path / "run", PLAN, policy), stay) == clean


@pytest.mark.parametrize(
    "changes, complaint",
    [
        ({"fitness": np.array([65536] * 5, np.int32)}, "of generation 1 earned 1 on the device, "),
        ({"rho_hash": 7}, "After generation 1 the device's probabilities are 00000007, its twin's"),
    ],
)
def test_the_first_difference_ends_the_run_with_both_states_kept(
    tmp_path, policy, monkeypatch, changes, complaint
):
    told = practice.record

    def changed(device, generation, population):
        record = told(device, generation, population)
        return replace(record, **changes) if generation == 1 and population > 1 else record

    monkeypatch.setattr(practice, "record", changed)
    run = Run.begin(tmp_path / "run", PLAN, policy)
    generations = practise(run, opener)
    next(generations)
    with pytest.raises(LockstepLost) as lost:
        next(generations)
    assert complaint in lost.value.message
    for name in ("device.rho", "device.twin.rho"):
        assert len((tmp_path / "run" / name).read_bytes()) == policy.spec.n_synapses
    assert len(list(Lineage.open(tmp_path / "run/lineage.bin"))) == 1


def test_limits_hold_while_it_learns(tmp_path, policy, clean, monkeypatch):
    """The twin within the same limits earns the same; without them it earns something else."""
    tight = [Limit(-40, 40, 10)] * 2
    with opener() as device:
        stay = lambda: contextlib.nullcontext(device)  # noqa: E731
        plan = replace(PLAN, limits=[astuple(limit) for limit in tight])
        with monkeypatch.context() as left:
            left.setattr(Practised, "__exit__", lambda *_: None)  # with what it counted
            limited = finish(Run.begin(tmp_path / "run", plan, policy), stay)
        assert limited != clean
        assert device.status().clamps > 0
        assert device.limit([Limit()], first=1) == [Limit()]


@pytest.mark.parametrize(
    "budget, state, words",
    [
        (
            {"most_episodes": 7},
            PracticeState.EPISODES,
            "the 7 episodes that the device may run are",
        ),
        (
            {"most_steps": 70},
            PracticeState.STEPS,
            "the 70 steps that the device may take are taken",
        ),
        ({"most_seconds": 0.001}, PracticeState.TIME, " ms that the device may practise are over"),
    ],
)
def test_a_device_ends_its_practice_when_a_budget_is_used_up(
    tmp_path, policy, monkeypatch, budget, state, words
):
    monkeypatch.setattr(Practised, "__exit__", lambda *_: None)  # left as it is
    with opener() as device:
        run = Run.begin(tmp_path / "run", replace(PLAN, period_ms=1.0, **budget), policy)
        finish(run, lambda: contextlib.nullcontext(device))
        assert words in run.ending
        now = practice.progress(device)
        assert (now.mode, now.state) == (DeviceMode.IDLE, state)
        assert not device.status().outputs.any()
        assert len(list(Lineage.open(run.folder / "lineage.bin"))) == now.generation


def test_whatever_ends_it_the_device_is_left_with_the_confirmed_policy(tmp_path, policy):
    run = Run.begin(tmp_path / "run", replace(PLAN, most_steps=70), policy)
    with opener() as device:
        finish(run, lambda: contextlib.nullcontext(device))
        device.connect()
        assert device.hello.policy_hash == load_policy(run.policy_file)[0].hash
        assert device.status().mode == DeviceMode.IDLE


def test_after_a_collapse_it_practises_on_from_the_confirmed_policy(tmp_path, policy, monkeypatch):
    told = [10.0, 20.0, 1.0, 2.0, 15.0, 30.0]
    run = Run.begin(tmp_path / "run", replace(PLAN, fall=0.5, patience=2), policy)
    monkeypatch.setattr(run, "_evaluate", lambda task, rho: (run.twin.decided(rho), told.pop(0)))
    assert [each.back_to for each in practise(run, opener)] == [None, None, 1, None]
    assert replay(Lineage.open(tmp_path / "run/lineage.bin")).rho_hash == run.twin.rho_hash


def test_a_collapse_that_ends_it_leaves_the_device_with_the_confirmed_policy(
    tmp_path, policy, monkeypatch
):
    told = [10.0, 1.0, 1.0]
    run = Run.begin(tmp_path / "run", replace(PLAN, fall=0.5, patience=1), policy)
    monkeypatch.setattr(run, "_evaluate", lambda task, rho: (run.twin.decided(rho), told.pop(0)))
    with opener() as device:
        learned = list(practise(run, lambda: contextlib.nullcontext(device)))
        assert [each.back_to for each in learned] == [0, 0]
        device.connect()
        assert device.hello.policy_hash == load_policy(run.policy_file)[0].hash


def test_a_device_without_a_plant_says_so(tmp_path, policy):
    run = Run.begin(tmp_path / "run", PLAN, policy)
    with pytest.raises(DeviceRefused, match="The device has no plant on its own side"):
        finish(run, lambda: open_device("virtual"))


def test_more_generations_alone_than_there_is_room_for_are_refused(tmp_path, policy):
    run = Run.begin(tmp_path / "run", replace(PLAN, generations=10**6, alone=10**6), policy)
    with pytest.raises(DeviceRefused, match=r"has room for the records of \d+ generations"):
        finish(run)


def test_the_confirmed_policy_comes_back(policy):
    with opener() as device:
        device.upload(policy)
        Evolving(device, policy, 1, 1 << 24, 4)
        practice.begin_practice(device, Practice(2, 5, 20))
        while practice.progress(device).runs:
            pass
        practice.recall(device)
        assert episode_of(device) == expected_of(policy)
        practice.confirm(device, 2)
        practice.begin_practice(device, Practice(1, 5, 20, device.hello.tick_hz))
        practice.recall(device)  # whatever it is at
        confirmed = episode_of(device)
        device.request(0x21, (2).to_bytes(4, "little"))
        assert confirmed == episode_of(device)


def episode_of(device: Device) -> tuple[int, int]:
    device.begin_episode(3, 50)
    while (result := device.result()).runs:
        pass
    return result.total, result.trajectory


def expected_of(policy: Policy) -> tuple[int, int]:
    from ecedge.clocked import replay as run_twin
    from ecedge.plants import CartPole

    trajectory = run_twin(CartPole, policy, 3, 50, [Limit()] * 2)
    return trajectory.total, trajectory.crc


# -- snapshots -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def firmware(tmp_path_factory, policy):
    folder = tmp_path_factory.mktemp("firmware")
    return build(policy, find_board("virtual"), folder, command="pytest", plant=CART_POLE).elf


@contextlib.contextmanager
def powered(firmware, flash, cut: int = 0):
    """A virtual device with its flash in a file; the power fails at the `cut`th write."""
    board = find_board("virtual")
    words = "{elf}", "--flash", str(flash), "--cut", str(cut)
    emulator = replace(board.emulator, args=words)
    running = launch(replace(board, emulator=emulator), firmware)
    try:
        with contextlib.closing(Device(connect_running(running, None))) as device:
            device.connect()
            yield device
    finally:
        running.stop()


def test_a_device_whose_power_fails_goes_on_with_what_it_saved(
    tmp_path, policy, clean, firmware, monkeypatch
):
    """Its host was away: what the device learned meanwhile is in its flash alone."""
    plan = replace(PLAN, alone=PLAN.generations, save_every=1)
    run = Run.begin(tmp_path / "run", plan, policy)
    with powered(firmware, tmp_path / "flash") as device:
        with monkeypatch.context() as killed:
            killed.setattr(Practised, "__exit__", lambda *_: None)
            next(practise(run, lambda: contextlib.nullcontext(device)))
        while practice.progress(device).runs:
            pass
    monkeypatch.setattr("ecedge.evolve.clocked.Evolving", None)
    with powered(firmware, tmp_path / "flash") as device:
        assert practice.snapshot(device).generation == PLAN.generations
        stay = lambda: contextlib.nullcontext(device)  # noqa: E731
        assert finish(Run.resume(tmp_path / "run"), stay) == clean


@pytest.mark.parametrize("cut", [1, 2, 200, 460, 463, 465, 900])
def test_a_power_cut_while_it_saves_leaves_a_whole_snapshot(
    tmp_path, policy, firmware, cut, monkeypatch
):
    monkeypatch.setattr("ecedge.link.device.REOPEN_DEADLINE", 0.1)
    flash = tmp_path / "flash"
    with powered(firmware, flash, cut) as device:
        device.upload(policy)
        Evolving(device, policy, 1, 1 << 26, 4)
        practice.begin_practice(device, Practice(9, 5, 20, save_every=1))
        with contextlib.suppress(LinkError):
            while practice.progress(device).runs:
                pass
    with powered(firmware, flash) as device:
        kept = practice.snapshot(device)
        assert kept.generation == kept.sequence
        if kept.sequence:
            practice.load(device)
            now = practice.progress(device)
            assert (now.first_record, now.generation) == (0, kept.generation)
            last = practice.record(device, kept.generation - 1, 4)
            assert zlib.crc32(read_rho(device, policy.spec.n_synapses)) == last.rho_hash
        assert kept.sequence < 9


# -- messages ------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", asdict(Practice(1, 2, 3)))
@pytest.mark.parametrize("value", [-1, 1 << 32])
def test_what_no_message_can_say_is_refused(field, value):
    with pytest.raises(UsageError, match=f"cannot practise with {value} as its {field}"):
        replace(Practice(1, 2, 3), **{field: value})


@pytest.mark.parametrize("kind, more", [(Progress, ()), (Record, (3,))])
def test_replies_of_another_length_are_refused(kind, more):
    right = kind.LAYOUT.size + 4 * sum(more)
    kind.unpack(bytes(right), *more)
    for length in {*range(right + 9)} - {right}:
        with pytest.raises(LinkError, match=f"has {length} bytes instead of {right}"):
            kind.unpack(bytes(length), *more)


def test_the_dialogue_of_the_link_s_page_is_the_device_s():
    """LINK.md section 7. The milliseconds that it took vary, and with them that reply's CRC."""
    text = (DOCS / "LINK.md").read_text().partition("\n## 7. ")[2]
    frames = re.findall(r"^    ([<>])((?: [0-9a-f]{2})+(?:\n     (?: [0-9a-f]{2})+)*)", text, re.M)
    assert len(frames) == 10
    cases = json.loads((DOCS / "vectors/episodes.json").read_text())["cases"]
    balances = next(case["image"] for case in cases if case["name"] == "balances")
    packets = FrameReader(1 << 12)
    with opener() as device:
        device.upload(Policy.from_image(bytes.fromhex(balances)))
        hello = Packet(MessageType.HELLO, 0x1234, 1, hello_request())
        ask(device, packets, encode_frame(hello))
        for mark, digits in frames:
            line = bytes.fromhex(digits)
            if mark == ">":
                reply = ask(device, packets, line)
                while reply.type == MessageType.PROGRESS | 0x80 and reply.payload[2] == 1:
                    time.sleep(0.01)
                    again = replace(reply, type=MessageType.PROGRESS, sequence=99, payload=b"")
                    ask(device, packets, encode_frame(again))
                    reply = ask(device, packets, line)
            else:
                (expected,) = FrameReader(1 << 12).feed(line)
                assert without_ms(expected) == without_ms(reply)


def ask(device: Device, packets: FrameReader, line: bytes) -> Packet:
    device.transport.write(line)
    while True:
        if found := packets.feed(device.transport.read(1.0)):
            return found[0]


def without_ms(packet: Packet) -> Packet:
    if packet.type != MessageType.PROGRESS | 0x80:
        return packet
    return replace(packet, payload=packet.payload[:36] + packet.payload[40:])


# -- the verb ------------------------------------------------------------------------------------


def test_evolve_practises_and_goes_on(tmp_path):
    folder = tmp_path / "run"
    words = "--population", "4", "--neurons", "32", "--horizon", "20", "--period-ms", "0"
    code, out, err = ecedge(
        "evolve",
        "CartPole-v1",
        "--clocked",
        "--out",
        folder,
        "--generations",
        "1",
        *words,
        "--json",
    )
    assert (code, json.loads(out)["generations"]) == (0, 1), err
    code, out, err = ecedge("evolve", "--resume", folder, "--generations", "2", "--json")
    assert (code, json.loads(out)["generations"]) == (0, 2), err


@pytest.mark.parametrize(
    "words, complaint",
    [
        (["CartPole-v1", "--alone", "3"], "Add --clocked."),
        (["CartPole-v1", "--period-ms", "20"], "Add --clocked."),
        (["CartPole-v1", "--clocked", "--period-ms", "-1"], "A period of -1 ms cannot be"),
        (
            ["CartPole-v1", "--clocked", "--alone", "-1"],
            "A device goes on alone, and saves, after 0 or",
        ),
        (["CartPole-v1", "--save-every", "3"], "Add --clocked."),
        (["Pendulum-v1", "--clocked"], "There is no plant like Pendulum-v1"),
        (["--resume", "nowhere", "--alone", "3"], "A run goes on by the clock that it began with."),
        (
            [CHANGED, "--clocked"],
            "changes the plant, and the device has the one that it comes with",
        ),
    ],
)
def test_misuse_is_one_sentence(tmp_path, monkeypatch, words, complaint):
    monkeypatch.chdir(tmp_path)
    assert_misuse(ecedge("evolve", *words), complaint)
    assert not (tmp_path / "runs").exists()
