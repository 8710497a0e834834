"""Many devices that learn together: the lineage of one, whatever becomes of any of them."""

import contextlib
import itertools
import json
import threading
import time
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from test_cli import assert_misuse, ecedge
from test_evolve import PLAN

from ecedge import devices, fleet
from ecedge.boards.emulator import launch
from ecedge.devices import connect_running, open_device, parse_device, run_board
from ecedge.errors import (
    BoardError,
    ClusterError,
    DeviceRefused,
    LinkTimeout,
    NoDevice,
    UsageError,
)
from ecedge.evolve import Lockstep, Origin, Run, policy_from_scratch
from ecedge.evolve.seat import Seat
from ecedge.fleet import Fleet
from ecedge.link import Device, ErrorCode, Faults, FaultyTransport, MessageType, learned_hash
from ecedge.model import Policy
from ecedge.reference import centered_ranks, step_size
from ecedge.training.settings import Settings

pytestmark = pytest.mark.timeout(120)

NAMES = "left", "right"


@pytest.fixture(scope="module")
def policy() -> Policy:
    return policy_from_scratch(Settings("CartPole-v1", neurons=32, substeps=4, population=8))


@pytest.fixture(scope="module")
def alone(tmp_path_factory, policy) -> bytes:
    """The lineage of a run that no device takes part in."""
    return lineage_of(tmp_path_factory.mktemp("alone"), policy, Fleet({}, simulated=1))


def lineage_of(folder, policy, crew: Fleet) -> bytes:
    for _ in Run.begin(folder / "run", PLAN, policy).by(crew):
        pass
    return (folder / "run/lineage.bin").read_bytes()


def virtual():
    return open_device("virtual")


def changed(change):
    """An opener whose device's steps give what `change(device, reply)` makes of them."""

    @contextlib.contextmanager
    def opened():
        with open_device("virtual") as device:
            step = device.step
            device.step = lambda raw: change(device, step(raw))
            yield device

    return opened


# -- who runs whom -------------------------------------------------------------------------------


@pytest.mark.parametrize("names, simulated", [(NAMES, 0), (NAMES[:1], 1), ((), 2)])
def test_the_lineage_is_the_same_whoever_runs_the_members(
    tmp_path, policy, alone, names, simulated
):
    crew = Fleet(dict.fromkeys(names, virtual), simulated)
    run = Run.begin(tmp_path / "run", PLAN, policy)
    assert [generation.losses for generation in run.by(crew)] == [0] * PLAN.generations
    assert (tmp_path / "run/lineage.bin").read_bytes() == alone
    assert run.settled == list(names)


def test_a_device_that_is_killed_again_and_again_ends_with_the_hash_of_the_rest(
    tmp_path, policy, alone, monkeypatch
):
    mine, count = threading.local(), itertools.count(1)  # a thread opens and steps its device

    def recorded(*words, **more):
        mine.device = launch(*words, **more)
        return mine.device

    def killing(device, reply):
        if next(count) % 120 == 0:
            mine.device.process.kill()
        return reply

    monkeypatch.setattr(devices, "launch", recorded)
    run = Run.begin(tmp_path / "run", PLAN, policy)
    losses = [each.losses for each in run.by(Fleet(dict.fromkeys(NAMES, changed(killing))))]
    assert sum(losses) > 0
    assert run.settled == list(NAMES)
    assert (tmp_path / "run/lineage.bin").read_bytes() == alone


def test_a_device_that_computes_something_else_counts_for_nothing(tmp_path, policy, alone, caplog):
    wrong = changed(lambda _, reply: replace(reply, output=reply.output ^ 1))
    run = Run.begin(tmp_path / "run", PLAN, policy)
    for _ in run.by(Fleet({"left": virtual, "right": wrong})):
        pass
    assert (tmp_path / "run/lineage.bin").read_bytes() == alone
    assert run.settled == ["left"]
    assert caplog.text.count("right is lost, and it gets no more members") == 1


def test_a_member_that_is_late_is_run_by_another(tmp_path, policy, alone, monkeypatch):
    monkeypatch.setattr(fleet, "LATE_LEAST", 0.1)
    begun = time.monotonic()

    def late(_, reply):
        time.sleep(1.0)
        return reply

    crew = Fleet({"left": virtual, "right": changed(late)})
    assert lineage_of(tmp_path, policy, crew) == alone
    assert time.monotonic() - begun < 30  # an episode of `right` takes 10 s, and more


def test_a_device_without_the_room_ends_the_run(tmp_path, policy, monkeypatch):
    def full(self, kind, *words, **more):
        if kind == MessageType.EVOLVE:
            raise DeviceRefused("It has no room.", code=ErrorCode.CAPACITY)
        return request(self, kind, *words, **more)

    request = Device.request
    monkeypatch.setattr(Device, "request", full)
    with pytest.raises(BoardError, match="left: It has no room"):
        next(Run.begin(tmp_path / "run", PLAN, policy).by(Fleet({"left": virtual})))


def test_a_fleet_that_was_never_there_says_so_at_once(tmp_path, policy):
    def nowhere():
        raise NoDevice("There is nothing.")

    begun = time.monotonic()
    with pytest.raises(ClusterError, match=r"No device of the fleet is left .* left: There is not"):
        next(Run.begin(tmp_path / "two", PLAN, policy).by(Fleet(dict.fromkeys(NAMES, nowhere))))
    with pytest.raises(NoDevice, match="There is nothing"):
        next(Run.begin(tmp_path / "one", PLAN, policy).on(nowhere))
    assert time.monotonic() - begun < 20


def test_a_device_that_opens_and_never_gets_ready_is_gone_in_time(tmp_path, policy, monkeypatch):
    """It answers, and takes no policy: neither a generation nor the end of a run waits for it."""

    def silent(self, policy):
        raise LinkTimeout("The upload got no answer.")

    monkeypatch.setattr(Device, "upload", silent)
    with run_board(parse_device("virtual")) as board:

        def opener():
            device = Device(connect_running(board))
            device.connect()
            return contextlib.closing(device)

        run = Run.begin(tmp_path / "run", PLAN, policy)
        with pytest.raises(LinkTimeout, match="The upload got no answer"):
            list(run.by(Fleet({"left": opener}, grace=0.5)))
        beside = Run.begin(tmp_path / "beside", PLAN, policy)
        list(beside.by(Fleet({"left": opener}, simulated=1, grace=0.5)))
        assert (beside.twin.generation, beside.settled) == (PLAN.generations, [])


def test_nobody_is_no_fleet():
    with pytest.raises(UsageError, match="Nobody is there to run episodes"):
        Fleet({})


# -- what a device missed ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def board():
    """A virtual device that stays whatever becomes of its hosts."""
    with run_board(parse_device("virtual")) as running:
        yield running


@contextlib.contextmanager
def heard(board):
    """(a new connection to the device, how often each kind of request went to it)."""
    with Device(connect_running(board)) as device:
        request, kinds = device.request, Counter()

        def counted(kind, payload=b"", *more):
            kinds[kind] += len(payload) > 4  # a request for the hash alone has no bytes
            return request(kind, payload, *more)

        device.request = counted
        yield device, kinds


def twin_of(policy, population: int) -> Lockstep:
    return Lockstep(Origin(policy, 3, step_size(0.2, population), population, 200), 1)


def teach(twin: Lockstep, generations: int) -> None:
    rng = np.random.default_rng(twin.generation)
    for _ in range(generations):
        twin.learn(centered_ranks(rng.integers(0, 9, twin.origin.population)))


def never(*_):
    raise AssertionError("A device and its twin differ.")


def seat_of(device: Device, twin: Lockstep) -> Seat:
    plan = SimpleNamespace(output_limits=[])
    return Seat("left", device, SimpleNamespace(twin=twin, plan=plan, keep_difference=never))


@pytest.mark.parametrize(
    "population, missed, learned",
    [(6, 0, 0), (6, 1, 1), (6, 5, 5), (6, 60, 0), (900, 1, 1), (900, 3, 0)],
)
def test_a_device_that_was_away_gets_the_ranks_it_missed_or_the_probabilities(
    policy, board, population, missed, learned
):
    twin = twin_of(policy, population)
    teach(twin, 1)
    with heard(board) as (device, kinds):
        seat_of(device, twin).prepare()
    teach(twin, missed)
    with heard(board) as (device, kinds):
        seat = seat_of(device, twin)
        seat.prepare()
        assert seat._evolving.generation == missed + 1
        assert seat._evolving.rho_hash == twin.rho_hash
        assert seat._evolving.rho() == twin.planes
        assert kinds[MessageType.UPLOAD_OPEN] == 0
        assert kinds[MessageType.LEARN] >= learned
        assert (kinds[MessageType.LEARN] > 0) == (learned > 0)
        assert (kinds[MessageType.RHO_PUT] > 0) == (missed > 0 and learned == 0)


def test_probabilities_come_through_a_line_that_spoils_a_byte_of_a_hundred(policy, board):
    twin = twin_of(policy, 600)
    teach(twin, 3)
    line = FaultyTransport(connect_running(board), Faults(flip=0.01), seed=2)
    with Device(line) as device:
        seat = seat_of(device, twin)
        seat.prepare()
        assert device.statistics.resends > 0
    with heard(board) as (device, _):
        assert learned_hash(device) == twin.rho_hash


@pytest.mark.parametrize("missed, by_ranks", [(3, True), (60, False)])
def test_a_device_that_restarted_gets_its_policy_again(policy, missed, by_ranks):
    twin = twin_of(policy, 6)
    teach(twin, missed)
    with run_board(parse_device("virtual")) as restarted, heard(restarted) as (device, kinds):
        seat = seat_of(device, twin)
        seat.prepare()
        assert seat._evolving.rho() == twin.planes
        assert (kinds[MessageType.LEARN] > 0) == by_ranks
        assert (kinds[MessageType.RHO_PUT] > 0) == (not by_ranks)


def test_a_device_that_learned_something_else_begins_anew(policy, board):
    stranger, twin = twin_of(policy, 8), twin_of(policy, 6)
    teach(stranger, 2)
    teach(twin, 2)
    with heard(board) as (device, _):
        seat_of(device, stranger).prepare()
    with heard(board) as (device, _):
        seat = seat_of(device, twin)
        seat.prepare()
        assert seat._evolving.rho() == twin.planes


def test_the_sizes_by_which_it_is_chosen_are_those_of_the_line(policy, board):
    twin = twin_of(policy, 40)
    teach(twin, 1)
    with heard(board) as (device, _):
        seat = seat_of(device, twin)
        seat.prepare()
        evolving, sizes = seat._evolving, Counter()
        device.trace = lambda _, data: sizes.update(bytes=len(data))
        evolving._piece = device.hello.max_payload  # as on a good line, after a while
        for work, size in (
            (lambda: evolving.learn(twin.ranks_of(0)), lambda: evolving.learn_size),
            (
                lambda: (evolving.restart(1), evolving.put_rho(twin.planes)),
                lambda: evolving.put_size,
            ),
        ):
            sizes.clear()
            expected = size()
            work()
            assert expected * 0.8 <= sizes["bytes"] <= expected


# -- the verb ------------------------------------------------------------------------------------


def test_evolve_takes_a_rig_a_device_or_nobody(tmp_path):
    rig = tmp_path / "rig.toml"
    rig.write_text("".join(f'[devices.{name}]\nemulate = "virtual"\n' for name in NAMES))
    words = "--population", "6", "--neurons", "32", "--horizon", "20", "--generations", "1"
    hashes = set()
    for name, (on, settled) in {
        "rig": (("--rig", rig), ["left", "right"]),
        "one": (("--rig", rig, "--device", "left", "--simulated", "1"), ["device"]),
        "none": (("--simulated", "2"), []),
    }.items():
        out = "--out", tmp_path / name
        code, text, err = ecedge("evolve", "CartPole-v1", *words, *on, *out, "--json")
        assert code == 0, err
        assert json.loads(text)["settled"] == settled
        hashes.add((json.loads(text)["rho_hash"], (tmp_path / name / "lineage.bin").read_bytes()))
    assert len(hashes) == 1


def test_an_impossible_fleet_is_told_before_a_folder_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_misuse(
        ecedge("evolve", "CartPole-v1", "--rig", "nowhere.toml"), "no rig file nowhere.toml"
    )
    assert_misuse(ecedge("evolve", "CartPole-v1", "--simulated", "-1"), "-1 threads cannot")
    assert not (tmp_path / "runs").exists()
