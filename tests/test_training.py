"""Runs that learn, and that no accident costs more than the generation it interrupts."""

import io
import itertools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecedge import storage
from ecedge.errors import EcedgeError, StorageError, TrainingError, UsageError
from ecedge.evolution import STEPS
from ecedge.hil import Twin
from ecedge.model import decode_action
from ecedge.policy_file import load_policy
from ecedge.tasks import find_task
from ecedge.training.checkpoint import load_checkpoint
from ecedge.training.horizon import Horizon
from ecedge.training.learner import Learner
from ecedge.training.log import read_log
from ecedge.training.rollout import Population
from ecedge.training.settings import Settings
from ecedge.training.trainer import Trainer

ROOT = Path(__file__).parent.parent
DEADLINE = 60.0  # seconds for anything that a subprocess does here

#: a run of a second, with a policy that is found before the end
SMALL = Settings(
    "CartPole-v1",
    seed=3,
    generations=24,
    population=32,
    neurons=32,
    substeps=4,
    evaluate_every=5,
    evaluation_episodes=4,
)


def train(settings: Settings, folder: Path, threads: int | None = 1) -> Trainer:
    trainer = Trainer(settings, folder, threads)
    for _ in trainer:
        pass
    return trainer


def resume(folder: Path, threads: int | None = 1, **changes) -> Trainer:
    trainer = Trainer.resume(folder, threads, **changes)
    for _ in trainer:
        pass
    return trainer


def begin(settings: Settings, folder: Path, generations: int) -> Path:
    """The folder of a run that stopped after so many generations."""
    for _ in itertools.islice(Trainer(settings, folder, 1), generations):
        pass
    return folder


def result(folder: Path) -> dict:
    """Everything that a run leaves, but the time it took."""
    stored, state = load_checkpoint(folder / "checkpoint.npz")
    del state["seconds"]
    return {
        "settings": stored,
        "state": {name: array.tobytes() for name, array in state.items()},
        "log": [entry | {"seconds": None} for entry in read_log(folder / "log.jsonl")],
        "policy": (folder / "policy.onnx").read_bytes(),
    }


RUN_FILES = ["checkpoint.npz", "curve.png", "events", "lineage.bin", "log.jsonl", "policy.onnx"]


def shown(folder: Path) -> list[str]:
    """The files of a run that a user sees."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict:
    """What SMALL comes to when nothing goes wrong."""
    folder = tmp_path_factory.mktemp("whole")
    train(SMALL, folder)
    return result(folder)


# --- subprocesses ---------------------------------------------------------------------------


def arguments(settings: Settings) -> list[str]:
    """The command line that asks for these settings."""
    given = settings.to_dict()
    task = given.pop("task")
    words = ((f"--{k.replace('_', '-')}", str(v)) for k, v in given.items() if v is not None)
    return [task, *(word for pair in words for word in pair)]


def start(*words, folder=None, preexec=None) -> subprocess.Popen:
    """`ecedge train WORDS`, which may import modules of `folder`."""
    paths = [str(folder)] * bool(folder) + [str(ROOT)]
    return subprocess.Popen(
        [sys.executable, "-m", "ecedge", "train", "--threads", "1", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=preexec,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )


def ended(process: subprocess.Popen) -> tuple[int, str, str]:
    """(exit code, stdout, stderr); the process never outlives the test."""
    try:
        out, err = process.communicate(timeout=DEADLINE)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return process.returncode, out, err


def wait_for_generation(process: subprocess.Popen, folder: Path, generation: int) -> None:
    deadline = time.monotonic() + DEADLINE
    while process.poll() is None and time.monotonic() < deadline:
        log = folder / "log.jsonl"
        if log.exists() and log.read_bytes().count(b"\n") >= generation:
            return
        time.sleep(0.005)
    _, out, err = ended(process) if process.poll() is not None else (0, "", "it is still running")
    raise AssertionError(f"generation {generation} never came: {out}{err}")


def saved_generations(folder: Path) -> int:
    return int(load_checkpoint(folder / "checkpoint.npz")[1]["generation"])


# --- episodes that grow ---------------------------------------------------------------------


def test_episodes_grow_while_most_members_live_to_their_end():
    horizon = Horizon(100, 1000)
    assert horizon.steps == 1000
    horizon.follow(0, np.array([1000, 999, 999]))
    assert horizon.steps == 100
    horizon.follow(1, np.array([100, 99, 99]))
    assert horizon.steps == 100
    horizon.follow(2, np.array([100, 100, 1]))
    assert horizon.steps == 103
    for generation in range(3, 200):
        horizon.follow(generation, np.full(3, horizon.steps))
    assert horizon.steps == 1000
    horizon.follow(200, np.array([1, 1, 1]))
    assert horizon.steps == 1000


def test_episodes_stay_whole_where_most_members_live_from_the_start():
    horizon = Horizon(100, 1000)
    horizon.follow(0, np.array([1000, 1000, 3]))
    assert horizon.steps == 1000


@pytest.mark.parametrize("first, last, cut", [(None, 500, 500), (100, 60, 60), (1, 2, 1)])
def test_the_first_episodes_are_no_longer_than_the_last(first, last, cut):
    horizon = Horizon(first, last)
    horizon.follow(0, np.array([0, 0, 0]))
    assert horizon.steps == cut


def test_no_episode_of_training_is_longer_than_its_horizon(tmp_path):
    settings = replace(SMALL, first_horizon=8, generations=4)
    train(settings, tmp_path)
    log = read_log(tmp_path / "log.jsonl")
    assert [entry["horizon"] for entry in log] == [500, 8, 9, 10]
    assert all(entry["best"] <= entry["horizon"] for entry in log)  # a step pays 1
    assert all(entry["best"] == entry["horizon"] for entry in log[1:])


# --- learning -------------------------------------------------------------------------------


def test_cart_pole_is_solved(tmp_path):
    settings = Settings("CartPole-v1", seed=1, population=128, neurons=64, target=500.0)
    trainer = train(settings, tmp_path, threads=None)
    assert trainer.best[0] == 500.0
    assert trainer.generation <= 40
    assert trainer.fresh_returns(20).mean() > 475


@pytest.mark.parametrize("task", ["Acrobot-v1", "Pendulum-v1", "MountainCarContinuous-v0"])
def test_every_classic_task_trains_and_resumes_to_the_same_bits(tmp_path, task):
    settings = Settings(
        task, population=16, neurons=32, substeps=2, generations=4, evaluate_every=2,
        evaluation_episodes=2, horizon=60,
    )  # fmt: skip
    train(settings, tmp_path / "whole")
    begin(settings, tmp_path / "cut", 2)
    resume(tmp_path / "cut")
    assert result(tmp_path / "cut") == result(tmp_path / "whole")


def test_the_policy_is_the_best_by_evaluation(tmp_path):
    trainer = train(SMALL, tmp_path)
    log = read_log(tmp_path / "log.jsonl")
    evaluated = [entry for entry in log if entry["evaluation"] is not None]
    assert [entry["generation"] + 1 for entry in evaluated] == [5, 10, 15, 20, 24]
    best = max(evaluated, key=lambda entry: (entry["evaluation"], entry["generation"]))
    policy, info = load_policy(tmp_path / "policy.onnx")
    assert info.training["generation"] == best["generation"] + 1
    assert info.training["steps"] == best["steps"]
    assert (trainer.best[0], trainer.best[1].hash) == (best["evaluation"], policy.hash)
    assert info.task == "CartPole-v1"


def test_a_policy_gives_the_return_that_it_was_saved_with(tmp_path):
    trainer = train(SMALL, tmp_path)
    evaluation, policy = trainer.best
    episodes = trainer._seeds(1, 0, SMALL.evaluation_episodes)
    environment, returns = trainer.task.make_single(), []
    for seed in episodes:
        twin, total, over = Twin(policy), 0.0, False
        observation, _ = environment.reset(seed=seed)
        while not over:
            output = twin.step(policy.observation_map.encode(observation))
            observation, reward, terminated, truncated, _ = environment.step(
                decode_action(policy.spec, output)
            )
            total += reward
            over = terminated or truncated
        returns.append(total)
    assert np.mean(returns) == evaluation


def test_a_run_ends_at_its_target(tmp_path):
    trainer = Trainer(SMALL, tmp_path)
    reached = next(g.evaluation for g in trainer if g.evaluation is not None)
    folder = tmp_path / "target"
    stopped = train(Settings(**SMALL.to_dict() | {"target": reached}), folder)
    assert stopped.generation == 5


# --- the same bits --------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [2])
def test_threads_do_not_change_a_run(tmp_path, whole, threads):
    train(SMALL, tmp_path, threads)
    assert result(tmp_path) == whole


@pytest.mark.parametrize("step, rho_bits", [("plain", 8), *((step, 16) for step in STEPS)])
def test_every_search_resumes_to_the_same_bits(tmp_path, step, rho_bits):
    changed = {"step": step, "rho_bits": rho_bits, "generations": 6, "evaluate_every": 2}
    settings = Settings(**SMALL.to_dict() | changed)
    train(settings, tmp_path / "whole")
    begin(settings, tmp_path / "cut", 3)
    resume(tmp_path / "cut", threads=2)
    assert result(tmp_path / "cut") == result(tmp_path / "whole")


class PowerCut(BaseException):
    """No handler of ours stops it."""


@pytest.mark.parametrize("moment", ["before the file", "before its name", "after it"])
def test_a_cut_at_any_write_resumes_to_the_same_bits(tmp_path, monkeypatch, moment):
    shorter = Settings(**SMALL.to_dict() | {"generations": 4, "evaluate_every": 2})
    train(shorter, tmp_path / "whole")
    expected = result(tmp_path / "whole")
    name = {"before the file": "fsync", "before its name": "replace", "after it": "_sync_folder"}
    where = storage if moment == "after it" else storage.os
    real = getattr(where, name[moment])
    cuts = 0
    while True:
        folder, passed = tmp_path / f"cut{cuts}", 0

        def cut(*call, at=cuts):
            nonlocal passed
            if passed == at:
                raise PowerCut
            passed += 1
            return real(*call)

        with monkeypatch.context() as patch:
            patch.setattr(where, name[moment], cut)
            try:
                train(shorter, folder)
                break
            except PowerCut:
                cuts += 1
        if (folder / "checkpoint.npz").exists():
            resume(folder)
            assert result(folder) == expected
    assert cuts >= 7  # a checkpoint for each generation and the beginning, two policies


def test_a_killed_run_resumes_to_the_same_bits(tmp_path, whole):
    moments = random.Random(11)
    process = start(*arguments(SMALL), "--out", tmp_path)
    for generation in (2, 7, 12, 18):
        wait_for_generation(process, tmp_path, generation)
        time.sleep(moments.uniform(0, 0.08))
        process.send_signal(signal.SIGKILL)
        code, out, _ = ended(process)
        assert (code, out) == (-signal.SIGKILL, ""), "it was killed too late"
        assert saved_generations(tmp_path) >= generation - 1
        process = start("--resume", tmp_path, "--json")
    code, out, err = ended(process)
    assert code == 0, err
    assert result(tmp_path) == whole
    assert json.loads(out)["hash"] == load_policy(tmp_path / "policy.onnx")[0].hash
    assert shown(tmp_path) == RUN_FILES


def test_a_killed_run_resumes_from_every_generation(tmp_path, whole):
    """As if each generation had been the last that was saved."""
    trainer, copies = Trainer(SMALL, tmp_path / "run", 1), []
    for generation in trainer:
        if generation.generation % 4 == 1:
            copies.append(shutil.copytree(tmp_path / "run", tmp_path / f"{generation.generation}"))
    for copy in copies:
        resume(copy)
        assert result(copy) == whole


# --- parts of a population ------------------------------------------------------------------


class Endless:
    """Plants that count their steps; trouble comes in the third step of the first ones."""

    def __init__(self, task, population, made, trouble):
        self.population, self.n_obs = population, task.n_obs
        self.steps = 0
        self.trouble = None if made else trouble
        made.append(self)

    def reset(self, seeds):
        return np.zeros((self.population, self.n_obs))

    def step(self, actions):
        self.steps += 1
        if self.steps == 3 and self.trouble:
            self.trouble()
        time.sleep(0.002)
        none = np.zeros(self.population, bool)
        return self.reset(None), none.astype(float), none, none

    def close(self):
        pass


def ctrl_c():
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


def fall_over():
    raise TrainingError("It fell over.")


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    "trouble, error", [(ctrl_c, KeyboardInterrupt), (fall_over, TrainingError)]
)
def test_ctrl_c_and_errors_end_all_parts_at_once(trouble, error, threads):
    made = []
    task = replace(
        find_task("CartPole-v1"), parallel=True,
        batch=lambda task, population: Endless(task, population, made, trouble),
    )  # fmt: skip
    learner = Learner(SMALL, task, threads)
    learner.begin()
    with pytest.raises(error), Population(task, learner.networks, threads) as population:
        try:
            population.roll_out(0, horizon=1000)
        finally:
            steps = [plants.steps for plants in made]
            time.sleep(0.02)
            assert [plants.steps for plants in made] == steps, "some run on"
    assert len(steps) == threads and max(steps) < 500


# --- Ctrl-C ---------------------------------------------------------------------------------


def test_ctrl_c_keeps_the_checkpoint_and_says_how_to_resume(tmp_path, whole):
    process = start(*arguments(SMALL), "--out", tmp_path)
    wait_for_generation(process, tmp_path, 6)
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process)
    assert (code, out) == (2, "")
    message = err.splitlines()[-1]
    saved = saved_generations(tmp_path)
    assert message in [  # the last one may be on the disk before the trainer knows
        f"ecedge: Interrupted; {known} generations are safe. "
        f"Go on with: ecedge train --resume {tmp_path}"
        for known in (saved - 1, saved)
    ]
    assert 5 <= saved < SMALL.generations  # a generation's line is written before it is saved
    assert "Traceback" not in err
    resume(tmp_path)
    assert result(tmp_path) == whole


@pytest.mark.parametrize("moment", ["_evaluate", "_save"])
def test_an_interrupted_run_may_be_iterated_again(tmp_path, whole, moment):
    trainer = Trainer(SMALL, tmp_path, 1)
    real = getattr(trainer, moment)

    def interrupted(*call):
        if trainer.generation == 5:
            setattr(trainer, moment, real)
            raise KeyboardInterrupt
        return real(*call)

    setattr(trainer, moment, interrupted)
    with pytest.raises(KeyboardInterrupt):
        for _ in trainer:
            pass
    assert [generation.generation for generation in trainer] == list(range(4, SMALL.generations))
    assert result(tmp_path) == whole
    head, lesson = 16, 8 * (SMALL.population + 1 + 2 * 4) + 4
    size = (tmp_path / "lineage.bin").stat().st_size
    assert size == head + SMALL.generations * lesson


def test_a_run_can_be_resumed_before_its_first_generation(tmp_path, whole):
    generations = iter(Trainer(SMALL, tmp_path, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_run_generation", lambda *_: (_ for _ in ()).throw(PowerCut))
        with pytest.raises(PowerCut):
            next(generations)
    assert saved_generations(tmp_path) == 0
    resume(tmp_path)
    assert result(tmp_path) == whole


# --- a full disk ----------------------------------------------------------------------------


UNEVALUATED = Settings(**SMALL.to_dict() | {"evaluate_every": 1000})


@pytest.fixture
def begun(tmp_path) -> Path:
    """A run of UNEVALUATED with three generations."""
    return begin(UNEVALUATED, tmp_path / "run", 3)


@pytest.fixture(scope="module")
def unevaluated(tmp_path_factory) -> dict:
    """What UNEVALUATED comes to when nothing goes wrong."""
    folder = tmp_path_factory.mktemp("unevaluated")
    train(UNEVALUATED, folder)
    return result(folder)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True, timeout=DEADLINE).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("only root may mount a small disk; RLIMIT_FSIZE is tested instead")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True, timeout=DEADLINE)


def test_a_full_disk_keeps_the_earlier_checkpoint(small_disk, unevaluated):
    folder = begin(UNEVALUATED, small_disk / "run", 3)
    before = (folder / "checkpoint.npz").read_bytes()
    page = os.statvfs(small_disk).f_bsize
    free = os.statvfs(small_disk).f_bavail * page
    assert page < len(before)
    (small_disk / "filler").write_bytes(bytes(free - page))  # a page: less than a checkpoint
    code, out, err = ended(start("--resume", folder))
    assert (code, out) == (2, "")
    assert err.splitlines()[1:] == [
        f"ecedge: Cannot write {folder / 'checkpoint.npz'}: no space left on device. "
        f"What was there before is untouched; free some space in {folder} and try again."
    ]
    assert (folder / "checkpoint.npz").read_bytes() == before
    assert shown(folder) == ["checkpoint.npz", "events", "lineage.bin", "log.jsonl"]
    (small_disk / "filler").unlink()
    resume(folder)
    assert result(folder) == unevaluated


@pytest.mark.parametrize("what", ["checkpoint.npz", "log.jsonl"])
def test_a_write_cut_short_keeps_the_earlier_checkpoint(begun, unevaluated, what):
    before = (begun / "checkpoint.npz").read_bytes()
    log = begun / "log.jsonl"
    if what == "log.jsonl":  # made the larger file, and cut in the middle of a line
        log.write_text(log.read_text().replace("}", f', "note": "{"long" * 4000}"}}', 1))
        most = log.stat().st_size + 100
    else:
        most = len(before) - 1000
    limit = (most, most)
    process = start(
        "--resume", begun, preexec=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    )
    code, out, err = ended(process)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"ecedge: Cannot write {begun / what}: file too large. ")
    assert len(err.splitlines()) == 2
    assert (begun / "checkpoint.npz").read_bytes() == before or what == "log.jsonl"
    assert saved_generations(begun) == 3
    resume(begun)
    left = result(begun)
    left["log"][0].pop("note", None)
    assert left == unevaluated


# --- damaged files --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> bytes:
    """A checkpoint."""
    return (begin(UNEVALUATED, tmp_path_factory.mktemp("sound"), 3) / "checkpoint.npz").read_bytes()


@pytest.fixture
def attempt(tmp_path):
    """Puts bytes where a checkpoint belongs and loads them."""

    def load(data: bytes):
        (tmp_path / "checkpoint.npz").write_bytes(data)
        return load_checkpoint(tmp_path / "checkpoint.npz")

    return load


def test_every_prefix_of_a_checkpoint_is_refused(attempt, sound):
    for length in [*range(0, len(sound), 97), len(sound) - 1]:
        with pytest.raises(StorageError, match="damaged, or not a checkpoint"):
            attempt(sound[:length])


def test_a_flipped_bit_of_a_checkpoint_is_refused_or_changes_nothing(attempt, sound):
    settings, state = attempt(sound)
    flips = random.Random(1)
    places = [*range(0, len(sound), 23), *range(len(sound) - 900, len(sound))]
    refused = 0
    for place in places:
        damaged = bytearray(sound)
        damaged[place] ^= 1 << flips.randrange(8)
        try:
            loaded, arrays = attempt(bytes(damaged))
        except EcedgeError as error:
            assert "is damaged, or not a checkpoint of ecedge. " in str(error)
            refused += 1
        else:
            assert loaded == settings and arrays.keys() == state.keys()
            assert all(arrays[name].tobytes() == state[name].tobytes() for name in state)
    assert refused > len(places) // 2


@pytest.mark.parametrize("data", [b"", b"PK", b"\x93NUMPY", b"garbage" * 100, bytes(5000)])
def test_garbage_is_no_checkpoint(attempt, data):
    with pytest.raises(StorageError, match="damaged, or not a checkpoint"):
        attempt(data)


def test_a_checkpoint_of_another_version_is_refused(attempt, sound):
    with np.load(io.BytesIO(sound)) as file:
        arrays = dict(file)
    arrays["head"] = np.array(str(arrays["head"]).replace('"version": 1', '"version": 9'))
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    with pytest.raises(StorageError, match="checkpoint version 9; this ecedge reads 1"):
        attempt(buffer.getvalue())


def rewritten(path: Path, settings: dict, lacking: tuple = ()) -> None:
    """The checkpoint with more settings and fewer arrays."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files if name not in lacking}
    head = json.loads(str(arrays.pop("head")))
    head["settings"] |= settings
    np.savez(path, head=np.array(json.dumps(head | {"arrays": sorted(arrays)})), **arrays)


@pytest.mark.parametrize(
    "settings, lacking, why",
    [({}, ("horizon",), "it lacks horizon"), ({"mood": 1}, (), "mood is unknown here")],
    ids=["older", "newer"],
)
def test_a_checkpoint_of_another_ecedge_is_one_sentence(begun, settings, lacking, why):
    path = begun / "checkpoint.npz"
    rewritten(path, settings, lacking)
    before = path.read_bytes()
    with pytest.raises(StorageError) as caught:
        Trainer.resume(begun)
    assert str(caught.value) == (
        f"{path} was written by another version of ecedge: {why}. "
        "Resume it with that one, or begin the run anew."
    )
    assert path.read_bytes() == before


def test_a_damaged_checkpoint_is_one_sentence_and_stays_where_it_is(begun):
    path = begun / "checkpoint.npz"
    path.write_bytes(path.read_bytes()[:-100])
    damaged = path.read_bytes()
    code, out, err = ended(start("--resume", begun))
    assert (code, out) == (2, "")
    assert err == (
        f"ecedge: {path} is damaged, or not a checkpoint of ecedge. Begin the run anew.\n"
    )
    assert path.read_bytes() == damaged


def test_a_folder_without_a_checkpoint_is_said(tmp_path):
    with pytest.raises(UsageError, match="There is no checkpoint"):
        Trainer.resume(tmp_path)


@pytest.mark.parametrize(
    "tail",
    [b"", b'{"generation": 3, "ste', b"\0\0\0\0", b"\xff\xfe\n", b"3\n", b'{"steps": 3}\n'],
    ids=["nothing", "cut", "zeros", "bytes", "number", "foreign"],
)
def test_a_damaged_line_of_the_log_is_repaired(begun, unevaluated, tail):
    with open(begun / "log.jsonl", "ab") as log:
        log.write(tail)
    resume(begun)
    assert result(begun) == unevaluated


def test_a_log_line_beyond_the_checkpoint_is_dropped(begun, unevaluated):
    """A cut between the log's line and the checkpoint."""
    with open(begun / "log.jsonl", "a") as log:
        log.write(json.dumps({"generation": 3, "steps": 1}) + "\n")
    resume(begun)
    assert result(begun) == unevaluated


# --- resuming -------------------------------------------------------------------------------


def test_resuming_a_finished_run_changes_nothing(tmp_path, whole):
    train(SMALL, tmp_path)
    code, out, err = ended(start("--resume", tmp_path, "--json"))
    assert code == 0, err
    assert json.loads(out)["generations"] == SMALL.generations
    assert result(tmp_path) == whole


def test_more_generations_go_on_where_the_run_was(tmp_path):
    """The same as asked for at once, but for the evaluation at the first end."""
    train(Settings(**SMALL.to_dict() | {"generations": 5}), tmp_path / "run")
    trainer = resume(tmp_path / "run", generations=10)
    train(Settings(**SMALL.to_dict() | {"generations": 10}), tmp_path / "whole")
    assert trainer.generation == 10
    assert result(tmp_path / "run") == result(tmp_path / "whole")


def test_a_run_that_is_cut_to_what_is_done_ends_with_a_policy(begun):
    trainer = resume(begun, generations=3)
    assert trainer.generation == 3
    assert load_policy(begun / "policy.onnx")[0].hash == trainer.best[1].hash
    code, out, err = ended(start("--resume", begun, "--generations", 3, "--json"))
    assert code == 0, err
    assert json.loads(out)["hash"] == trainer.best[1].hash


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Cannot make the folder"):
        Trainer(SMALL, tmp_path / "file")
    with pytest.raises(StorageError, match="Cannot make the folder"):
        Trainer(SMALL, tmp_path / "file" / "run")


@pytest.mark.parametrize(
    "wrong, complaint",
    [
        ({"generations": 0}, "generations is 0"),
        ({"population": 1}, "population has 2 to 16000"),
        ({"population": -3}, "population has 2 to 16000"),
        ({"neurons": 33}, "multiple of 32"),
        ({"substeps": 65}, "substeps is 65"),
        ({"form": "square"}, "no form 'square'; there are ei, signed"),
        ({"input_gain": float("nan")}, "input gain is nan"),
        ({"horizon": 0}, "horizon is 0"),
        ({"seed": -1}, "seed is a number"),
        ({"evaluation_episodes": 0}, "evaluation_episodes is 0"),
        ({"task": "NoSuchTask-v0"}, "no task NoSuchTask-v0"),
    ],
)
def test_settings_that_make_no_sense_write_nothing(tmp_path, wrong, complaint):
    folder = tmp_path / "run"
    with pytest.raises(UsageError, match=complaint):
        train(Settings(**SMALL.to_dict() | wrong), folder)
    assert not folder.exists()
