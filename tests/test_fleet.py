"""Training on the devices of a rig: the bits of one machine, whatever becomes of a device."""

import contextlib
import itertools
import time
from dataclasses import replace
from functools import partial

import pytest
from test_cli import assert_misuse, ecedge
from test_cluster import SMALL, result, run

from ecedge import devices, fleet
from ecedge.boards.emulator import launch
from ecedge.devices import open_device
from ecedge.errors import BoardError, ClusterError, UsageError
from ecedge.fleet import Fleet
from ecedge.rig import parse_rig
from ecedge.training.trainer import Trainer

pytestmark = pytest.mark.timeout(120)

SHORT = replace(SMALL, generations=4)
ONE = parse_rig('[devices.left]\nemulate = "virtual"\n')
TWO = parse_rig('[devices.left]\nemulate = "virtual"\n[devices.right]\nemulate = "virtual"\n')


@pytest.fixture(scope="module")
def short(tmp_path_factory) -> dict:
    """What SHORT comes to without devices."""
    folder = tmp_path_factory.mktemp("short")
    run(Trainer(SHORT, folder, 1))
    return result(folder)


@pytest.fixture
def running(monkeypatch) -> list:
    """All firmware that was started."""
    started = []

    def recorded(*words, **more):
        started.append(launch(*words, **more))
        return started[-1]

    monkeypatch.setattr(devices, "launch", recorded)
    return started


@pytest.fixture
def steps(monkeypatch) -> list:
    """Functions to call with a device and its reply, at each of its steps; they give the reply."""
    changes = []

    @contextlib.contextmanager
    def opened(*words, **more):
        with open_device(*words, **more) as device:
            step = device.step

            def changed(raw):
                reply = step(raw)
                for change in changes:
                    reply = change(device, reply)
                return reply

            device.step = changed
            yield device

    monkeypatch.setattr(fleet, "open_device", opened)
    return changes


def flipped(reply):
    return replace(reply, output=reply.output ^ 1)


@pytest.mark.parametrize("simulated", [0, 2])
def test_a_run_on_devices_has_the_bits_of_one_machine(tmp_path, short, running, simulated):
    run(Trainer(SHORT, tmp_path, 1, crew=Fleet.of(TWO, simulated)))
    assert result(tmp_path) == short
    assert [one.process.poll() is not None for one in running] == [True, True]


def test_a_run_goes_on_with_devices_and_without(tmp_path, short):
    for _ in itertools.islice(Trainer(SHORT, tmp_path, 1, crew=Fleet.of(ONE)), 2):
        pass
    run(Trainer.resume(tmp_path, 1))
    assert result(tmp_path) == short


def test_devices_that_restart_in_the_middle_of_episodes_cost_nothing(
    tmp_path, short, running, steps, caplog
):
    count = itertools.count(1)

    def kill(_, reply):
        if next(count) % 600 == 0:
            running[-1].process.kill()
        return reply

    steps.append(kill)
    run(Trainer(SHORT, tmp_path, 1, crew=Fleet.of(TWO)))
    assert result(tmp_path) == short
    assert len(running) > 2
    assert "is lost, and it is tried again" in caplog.text


def test_a_device_that_computes_something_else_gets_no_more_members(tmp_path, short, steps, caplog):
    wrong = []

    def change(device, reply):
        wrong.append(device)
        return flipped(reply) if len(wrong) > 30 and device is wrong[0] else reply

    steps.append(change)
    run(Trainer(SHORT, tmp_path, 1, crew=Fleet.of(TWO)))
    assert result(tmp_path) == short
    assert caplog.text.count("gets no more members: virtual computes something else") == 1
    assert max(i for i, device in enumerate(wrong) if device is wrong[0]) < len(wrong) - 1


def test_a_run_without_a_right_device_ends_with_its_checkpoint_safe(tmp_path, short, steps):
    trainer = Trainer(SHORT, tmp_path, 1, crew=Fleet.of(ONE))
    generations = iter(trainer)
    next(generations)
    steps.append(lambda _, reply: flipped(reply))
    with pytest.raises(ClusterError, match=r"No device of .* is left .* something else than its"):
        next(generations)
    assert trainer.saved == 1
    run(Trainer.resume(tmp_path, 1))
    assert result(tmp_path) == short


def test_a_run_whose_devices_stay_away_ends_after_its_grace(tmp_path, running, monkeypatch):
    generations = iter(Trainer(SHORT, tmp_path, 1, crew=Fleet.of(ONE, grace=1.0)))
    next(generations)
    monkeypatch.setattr(devices, "launch", partial(launch, extra=["--nonsense"]))
    running[-1].process.kill()
    begun = time.monotonic()
    with pytest.raises(ClusterError, match=r"No device of rig.toml is left to run episodes\."):
        next(generations)
    assert time.monotonic() - begun < 30


def test_an_interrupted_generation_leaves_no_device_running(tmp_path, short, running, monkeypatch):
    generations = iter(Trainer(SHORT, tmp_path, 1, crew=Fleet.of(TWO, simulated=1)))
    next(generations)

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fleet.Job, "wait", interrupt)
        with pytest.raises(KeyboardInterrupt):
            next(generations)
    assert all(one.process.poll() is not None for one in running)
    run(Trainer.resume(tmp_path, 1))
    assert result(tmp_path) == short


def test_a_member_that_a_device_has_no_room_for_ends_the_run(tmp_path, monkeypatch):
    @contextlib.contextmanager
    def small(*words, **more):
        with open_device(*words, **more) as device:
            device.hello = replace(device.hello, max_image=64)
            yield device

    monkeypatch.setattr(fleet, "open_device", small)
    with pytest.raises(BoardError, match=r"does not fit virtual: it needs .* of policy image"):
        run(Trainer(SHORT, tmp_path, 1, crew=Fleet.of(ONE)))


def test_no_device_takes_part_in_the_training_of_a_rival(tmp_path):
    with pytest.raises(UsageError, match="No device runs a gru"):
        Fleet.of(ONE).check(replace(SHORT, kind="gru"))


# --- the verb -------------------------------------------------------------------------------


def rig_file(folder):
    path = folder / "rig.toml"
    path.write_text('[devices.left]\nemulate = "virtual"\n')
    return path


def test_train_takes_a_rig(tmp_path):
    common = "--generations", "2", "--population", "8", "--neurons", "32", "--evaluate-every", "2"
    on = "--rig", rig_file(tmp_path), "--simulated", "1"
    for name, words in (("a", on), ("b", ())):
        code, _, err = ecedge("train", "CartPole-v1", *common, "--out", tmp_path / name, *words)
        assert code == 0, err
    files = [tmp_path / name / "policy.onnx" for name in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    "words, complaint",
    [
        (["--simulated", "2"], "--simulated is for --rig"),
        (["--rig", "rig.toml", "--cluster", "auto"], "give --cluster or --rig"),
        (["--rig", "rig.toml", "--simulated", "-1"], "-1 threads cannot simulate"),
        (["--rig", "rig.toml", "--kind", "gru"], "No device runs a gru"),
        (["--rig", "nowhere.toml"], "There is no rig file nowhere.toml"),
    ],
)
def test_a_rig_that_cannot_take_part_is_told_before_a_folder_is_made(
    tmp_path, monkeypatch, words, complaint
):
    rig_file(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert_misuse(ecedge("train", "CartPole-v1", *words), complaint)
    assert not (tmp_path / "runs").exists()
