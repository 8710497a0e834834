"""Runs on workers of a local Ray cluster: the bits of one machine, whatever becomes of a worker."""

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ecedge.errors import ClusterError, StorageError, UsageError
from ecedge.tasks import find_task
from ecedge.training.checkpoint import load_checkpoint
from ecedge.training.cluster import START, Cluster, ClusterPopulation, Post, reachable
from ecedge.training.learner import Learner
from ecedge.training.lineage import Lesson, Lineage, fingerprint
from ecedge.training.log import read_log
from ecedge.training.normaliser import Moments, Normaliser
from ecedge.training.settings import Settings
from ecedge.training.trainer import LINEAGE, Trainer

ROOT = Path(__file__).parent.parent
DEADLINE = 180.0  # seconds for anything that a process does here
pytestmark = pytest.mark.timeout(DEADLINE)

SMALL = Settings(
    "CartPole-v1", seed=3, generations=12, population=20, neurons=32, substeps=4, evaluate_every=5,
    evaluation_episodes=4,
)  # fmt: skip
#: episodes that last, so that a worker is at them when something happens to it
LONG = replace(SMALL, seed=2, population=48, neurons=64, generations=20, learning_rate=0.2)

#: Ray on the loopback alone, nothing sent home, no page, its files elsewhere
RAY = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_AUTH_MODE": "disabled",  # whether or not this user has a token
}


def run(trainer: Trainer) -> Trainer:
    for _ in trainer:
        pass
    return trainer


def result(folder: Path) -> dict:
    """Everything that a run leaves, but the time it took."""
    stored, state = load_checkpoint(folder / "checkpoint.npz")
    del state["seconds"]
    return {
        "settings": stored,
        "state": {name: array.tobytes() for name, array in state.items()},
        "log": [entry | {"seconds": None} for entry in read_log(folder / "log.jsonl")],
        "policy": (folder / "policy.onnx").read_bytes(),
        "lineage": (folder / LINEAGE).read_bytes(),
    }


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> dict:
    """What SMALL comes to on one machine."""
    folder = tmp_path_factory.mktemp("small")
    run(Trainer(SMALL, folder, 1))
    return result(folder)


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> dict:
    """What LONG comes to on one machine."""
    folder = tmp_path_factory.mktemp("long")
    run(Trainer(LONG, folder, 1))
    return result(folder)


# --- lessons --------------------------------------------------------------------------------


def some_moments(population: int, n_obs: int, seed: int = 0) -> Moments:
    random = np.random.default_rng(seed)
    moments = Moments(population, random.normal(size=n_obs))
    for _ in range(7):
        moments.add(slice(0, population), random.normal(3, 5, (population, n_obs)))
    return moments


@pytest.mark.parametrize("n_obs", [1, 3, 11, 348])
def test_totals_teach_a_normaliser_the_bits_of_their_rows(n_obs):
    rows, totals = Normaliser(n_obs), Normaliser(n_obs)
    for seed in range(3):
        moments = some_moments(37, n_obs, seed)
        rows.add(moments)
        lesson = Lesson.of(np.zeros(37), moments)
        totals.add(Lesson.from_bytes(lesson.to_bytes(), 37).moments(moments.centre))
    assert fingerprint(rows.state()) == fingerprint(totals.state())


@pytest.mark.parametrize("n_obs, size", [(11, 2236), (348, 7628)])
def test_a_lesson_is_small(n_obs, size):
    assert len(Lesson.of(np.zeros(256), some_moments(256, n_obs)).to_bytes()) == size


@pytest.mark.parametrize("step", ["plain", "momentum", "adam"])
def test_a_learner_that_was_restored_has_the_fingerprint_of_one_that_learned(tmp_path, step):
    settings = replace(SMALL, step=step, generations=4)
    trainer = run(Trainer(settings, tmp_path, 1))
    again = Learner(settings, trainer.task, 1)
    for data in Lineage(tmp_path / LINEAGE, settings.population, trainer.task.n_obs).read(0, 4):
        again.begin()
        lesson = Lesson.from_bytes(data, settings.population)
        again.finish(lesson.fitness, lesson.moments(again.normaliser.mean))
    restored = Learner(settings, trainer.task, 1)
    restored.restore(load_checkpoint(tmp_path / "checkpoint.npz")[1])
    assert fingerprint(again.state()) == fingerprint(restored.state())


@pytest.fixture
def lineage(tmp_path) -> Lineage:
    """Three lessons of two members and one observation."""
    lineage = Lineage(tmp_path / LINEAGE, 2, 1)
    lineage.rewind(0)
    for number in range(3):
        lineage.append(Lesson.of(np.array([number, 0.5]), some_moments(2, 1, number)))
    return lineage


def test_a_lesson_that_a_power_cut_halved_is_dropped(lineage):
    lessons = lineage.read(0, 3)
    for length in range(1, len(lessons[2])):
        lineage.path.write_bytes(lineage.path.read_bytes()[:16] + b"".join(lessons[:2]))
        with open(lineage.path, "ab") as file:
            file.write(lessons[2][:length])
        lineage.rewind(2)
        assert lineage.whole
        assert lineage.read(0, 2) == lessons[:2]
        assert lineage.path.stat().st_size == 16 + 2 * len(lessons[0])


def test_a_lineage_that_lacks_lessons_is_left_alone(lineage):
    before = lineage.path.read_bytes()
    lineage.rewind(4)
    lineage.append(Lesson.of(np.zeros(2), some_moments(2, 1)))
    assert not lineage.whole
    assert lineage.path.read_bytes() == before


def test_a_full_disk_is_one_sentence_of_the_lineage(lineage):
    lineage.path = Path("/dev/full")
    with pytest.raises(StorageError, match="Cannot write /dev/full: no space left on device"):
        lineage.append(Lesson.of(np.zeros(2), some_moments(2, 1)))


def test_a_flipped_bit_of_a_lesson_is_found(lineage):
    sound = lineage.path.read_bytes()
    for place in range(16, len(sound)):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << place % 8
        lineage.path.write_bytes(damaged)
        with pytest.raises(StorageError, match="is damaged"):
            lineage.read(0, 3)


# --- a cluster ------------------------------------------------------------------------------


class Nodes:
    """A Ray cluster on the loopback whose head runs no worker, and nodes of one core beside it."""

    def __init__(self):
        from ray.cluster_utils import Cluster as Local

        quick = {
            "health_check_initial_delay_ms": 0,
            "health_check_period_ms": 500,
            "health_check_failure_threshold": 3,
        }
        head = self.arguments(0) | {"_system_config": quick}
        self.local = Local(initialize_head=True, head_node_args=head)
        self.address = self.local.address

    @staticmethod
    def arguments(cores: int) -> dict:
        return {
            "num_cpus": cores,
            "object_store_memory": 80 << 20,
            "include_dashboard": False,
            "node_ip_address": "127.0.0.1",
        }

    def add(self, cores: int = 1):
        return self.local.add_node(**self.arguments(cores))

    def kill(self, node) -> None:
        """SIGKILL for all of a node's processes."""
        if node in self.local.worker_nodes:
            workers = self.workers(node)
            self.local.remove_node(node, allow_graceful=False)
            for worker in workers:  # which would live on for a while
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)

    def clear(self) -> None:
        for node in list(self.local.worker_nodes):
            self.kill(node)

    def workers(self, node) -> list[int]:
        """The processes of ecedge's workers on a node."""
        raylet = node.all_processes["raylet"][0].process.pid
        found = []
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == raylet and b"ray::Worker" in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
        return found


@pytest.fixture(scope="module")
def ray_there():
    place = tempfile.mkdtemp(prefix="ec")  # short: a socket's path has 107 bytes
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (RAY | {"RAY_TMPDIR": place}).items():
            patch.setenv(name, value)  # before Ray is imported
        pytest.importorskip("ray", reason="pip install 'ecedge[cluster]'")
        yield
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster_of_nodes(ray_there):
    nodes = Nodes()
    try:
        yield nodes
    finally:
        nodes.local.shutdown()


@pytest.fixture
def nodes(cluster_of_nodes):
    import ray

    try:
        yield cluster_of_nodes
    finally:
        ray.shutdown()
        cluster_of_nodes.clear()


def on(nodes: Nodes, **how) -> Cluster:
    return Cluster(nodes.address, **{"grace": DEADLINE, "patience": DEADLINE / 3} | how)


@contextlib.contextmanager
def meanwhile(task, *words):
    """Does something beside the run, a moment after its generation has begun."""

    def later():
        time.sleep(0.03)
        task(*words)

    thread = threading.Thread(target=later)
    thread.start()
    yield
    thread.join(DEADLINE)
    assert not thread.is_alive()


def test_a_run_moves_between_a_cluster_and_one_machine(nodes, tmp_path, small):
    """The workers of the second time have missed what the machine did alone."""
    nodes.add(), nodes.add()
    for _ in itertools.islice(Trainer(SMALL, tmp_path, 1, crew=on(nodes)), 4):
        pass
    for _ in itertools.islice(Trainer.resume(tmp_path, 1), 4):
        pass
    run(Trainer.resume(tmp_path, 1, on(nodes)))
    assert result(tmp_path) == small


def test_a_node_that_is_killed_costs_nothing_but_time(nodes, tmp_path, long):
    nodes.add()
    lost = nodes.add()
    generations = iter(Trainer(LONG, tmp_path, 1, crew=on(nodes)))
    for _ in itertools.islice(generations, 12):
        pass
    assert nodes.workers(lost)
    with meanwhile(nodes.kill, lost):
        for _ in generations:
            pass
    assert result(tmp_path) == long


def test_a_worker_that_joins_late_learns_all_and_can_go_on_alone(nodes, tmp_path, long):
    first = nodes.add()
    generations = iter(Trainer(LONG, tmp_path, 1, crew=on(nodes)))
    for _ in itertools.islice(generations, 8):
        pass
    late = nodes.add()
    next(generations)
    with meanwhile(nodes.kill, first):
        for _ in generations:
            if nodes.workers(late):
                break
        assert len(nodes.workers(late)) == 1
    for _ in generations:
        pass
    assert result(tmp_path) == long


def test_a_worker_that_is_killed_is_replaced(nodes, tmp_path, long):
    node = nodes.add()
    generations = iter(Trainer(LONG, tmp_path, 1, crew=on(nodes)))
    for _ in itertools.islice(generations, 12):
        pass
    (worker,) = nodes.workers(node)
    with meanwhile(os.kill, worker, signal.SIGKILL):
        for _ in generations:
            pass
    assert result(tmp_path) == long


def test_a_worker_that_hangs_is_given_up(nodes, tmp_path, long):
    nodes.add()
    node = nodes.add()
    generations = iter(Trainer(LONG, tmp_path, 1, crew=on(nodes, patience=4.0)))
    for _ in itertools.islice(generations, 12):
        pass
    (worker,) = nodes.workers(node)
    with meanwhile(os.kill, worker, signal.SIGSTOP):
        for _ in generations:
            pass
    assert result(tmp_path) == long


def driver_of(folder: Path, cluster: Cluster) -> ClusterPopulation:
    """The driver's side alone, at the beginning of a run."""
    task = find_task(SMALL.task)
    lineage = Lineage(folder / LINEAGE, SMALL.population, task.n_obs)
    lineage.rewind(0)
    return cluster.population(task, SMALL, Learner(SMALL, task, 1), lineage)


@pytest.mark.parametrize("ready, patience", [(False, 4.0 + START), (True, 4.0)])
def test_a_worker_has_time_to_begin(ray_there, tmp_path, ready, patience):
    crew = driver_of(tmp_path, Cluster(patience=4.0))
    actor = SimpleNamespace(work=SimpleNamespace(remote=lambda *_: "call"))
    post = Post(actor, "node", "host", ready)
    crew._give(post, deque([(0, 5)]), 1, None, b"", Counter())
    assert (post.order is not None) == ready
    assert post.until - post.since == pytest.approx(patience)


@pytest.mark.parametrize("node, shutdowns", [("first", 1), ("second", 0)])
def test_a_head_that_began_anew_is_another_cluster(
    ray_there, tmp_path, monkeypatch, node, shutdowns
):
    """On the same port it counts jobs from 1 again."""
    context = SimpleNamespace(
        gcs_address="head:6379", get_node_id=lambda: "first", get_job_id=lambda: "01000000"
    )
    done = []
    ray = SimpleNamespace(
        is_initialized=lambda: True,
        get_runtime_context=lambda: context,
        shutdown=lambda: done.append(1),
    )
    crew = driver_of(tmp_path, Cluster())
    monkeypatch.setattr(Cluster, "connect", lambda self: True)
    monkeypatch.setattr(crew, "_ray", ray)
    with crew:
        context.get_node_id = lambda: node
    assert len(done) == shutdowns


def test_a_run_that_was_left_behind_disturbs_no_other(nodes, tmp_path, small):
    import ray

    nodes.add()
    left = [iter(Trainer(SMALL, tmp_path / name, 1, crew=on(nodes))) for name in "ab"]
    next(left[0])
    ray.shutdown()
    with pytest.raises(ClusterError, match="no longer connected to the run's cluster") as caught:
        next(left[0])
    assert not ray.is_initialized(), "nor was a cluster begun"
    assert caught.value.hint.startswith("The checkpoint of generation 1 is safe.")
    next(left[1])
    ray.shutdown()
    generations = iter(Trainer(SMALL, tmp_path / "run", 1, crew=on(nodes)))
    next(generations)
    left[1].close()
    for _ in generations:
        pass
    assert not ray.is_initialized()
    assert result(tmp_path / "run") == small


def test_a_run_whose_workers_are_all_gone_says_so_and_is_safe(nodes, tmp_path, small, caplog):
    node = nodes.add()
    trainer = Trainer(SMALL, tmp_path, 1, crew=on(nodes, grace=1.0))
    with pytest.raises(ClusterError) as caught:
        for generation in trainer:
            if generation.generation == 6:
                nodes.kill(node)
    assert "No worker is left" in caught.value.message
    saved = trainer.saved
    assert caught.value.hint.startswith(f"The checkpoint of generation {saved} is safe.")
    assert 7 <= saved < SMALL.generations
    assert caught.value.exit_code == 1
    assert "A worker on 127.0.0.1 is gone: its process has ended" in caplog.text
    run(Trainer.resume(tmp_path, 1))
    assert result(tmp_path) == small


def test_a_worker_that_learned_something_else_runs_nothing(nodes, tmp_path):
    for _ in itertools.islice(Trainer(SMALL, tmp_path, 1), 3):
        pass
    lineage = Lineage(tmp_path / LINEAGE, SMALL.population, 4)
    lessons = [Lesson.from_bytes(data, SMALL.population) for data in lineage.read(0, 3)]
    lineage.rewind(0)
    for lesson in lessons:
        lineage.append(replace(lesson, fitness=lesson.fitness[::-1]))
    nodes.add()
    with pytest.raises(ClusterError, match="it learned something else from the same lessons"):
        run(Trainer.resume(tmp_path, 1, on(nodes)))
    assert len(read_log(tmp_path / "log.jsonl")) == 3


# --- the command ----------------------------------------------------------------------------


def train(*words, folder: Path | None = None, **variables) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of `ecedge train WORDS`, which may import from `folder`."""
    paths = [str(folder)] * bool(folder) + [str(ROOT)]
    done = subprocess.run(
        [sys.executable, "-m", "ecedge", "train", "--threads", "1", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        env=os.environ | RAY | {"PYTHONPATH": os.pathsep.join(paths)} | variables,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_command_prints_its_result_alone(nodes, tmp_path, small):
    nodes.add(2)
    words = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.to_dict().items()
             if value is not None and name != "task"]  # fmt: skip
    out = tmp_path / "run"
    code, printed, err = train(
        "CartPole-v1", *words, "--out", out, "--cluster", nodes.address, "--json"
    )
    assert code == 0, err
    assert json.loads(printed)["generations"] == SMALL.generations
    assert [line for line in err.splitlines() if not line.startswith("generation ")] == []
    assert result(out) == small


def test_no_ray_is_one_sentence_with_the_command_that_gets_it(tmp_path):
    (tmp_path / "ray.py").write_text("raise ModuleNotFoundError(\"No module named 'ray'\")")
    out = tmp_path / "run"
    code, printed, err = train("CartPole-v1", "--out", out, "--cluster", folder=tmp_path)
    assert (code, printed) == (2, "")
    assert err == (
        "ecedge: A cluster needs Ray, which cannot be loaded: No module named 'ray'. "
        "Install it: pip install 'ecedge[cluster]'\n"
    )
    assert not out.exists()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:6379"])
def test_no_cluster_is_one_sentence(ray_there, tmp_path, address):
    out = tmp_path / "run"
    code, printed, err = train("CartPole-v1", "--cluster", address, "--out", out)
    assert (code, printed) == (2, "")
    assert err.startswith(f"ecedge: There is no Ray cluster at {address}. ")
    assert len(err.splitlines()) == 1
    assert not out.exists()


def test_a_token_that_is_nowhere_is_one_sentence(ray_there, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        words = "CartPole-v1", "--cluster", address, "--out", tmp_path / "run"
        code, printed, err = train(*words, RAY_AUTH_MODE="token", HOME=str(tmp_path))
    assert (code, printed) == (2, "")
    assert err.startswith(f"ecedge: There is no Ray cluster at {address} that ")
    assert err.endswith("all else needs its token and RAY_AUTH_MODE=token.\n")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("words", [["--cluster"], ["--cluster", "auto"], ["--cluster", "--json"]])
def test_cluster_may_stand_alone(ray_there, monkeypatch, tmp_path, words):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    code, printed, err = train("--out", tmp_path / "run", *words, "CartPole-v1")
    assert (code, printed) == (2, "")
    assert err.startswith("ecedge: There is no Ray cluster at 127.0.0.1:1. ")


def test_a_run_without_a_lineage_is_not_for_workers(ray_there, tmp_path):
    for _ in itertools.islice(Trainer(SMALL, tmp_path, 1), 2):
        pass
    (tmp_path / LINEAGE).unlink()
    with pytest.raises(UsageError, match="Resume it without --cluster"):
        run(Trainer.resume(tmp_path, 1, Cluster("127.0.0.1:1")))
    run(Trainer.resume(tmp_path, 1))


@pytest.mark.parametrize("address", ["", "host", ":6379", "host:", "127.0.0.1:99999999", "h:-1"])
def test_what_is_no_address_is_not_reachable(address):
    assert not reachable(address)
