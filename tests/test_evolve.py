"""A device that learns, and its twin: the same probabilities, whatever becomes of either."""

import contextlib
import itertools
import json
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cli import assert_misuse, ecedge

from ecedge import devices, reference
from ecedge.boards.emulator import launch
from ecedge.devices import open_device
from ecedge.engine import CoreEvolution
from ecedge.errors import LockstepLost, StorageError, UsageError
from ecedge.evolve import Lineage, Lockstep, Origin, Plan, Run, policy_from_scratch, replay
from ecedge.link import Device
from ecedge.model import Policy
from ecedge.policy_file import load_policy
from ecedge.training.settings import Settings

pytestmark = pytest.mark.timeout(120)

PLAN = Plan(
    "CartPole-v1", seed=4, population=6, generations=4, certainty=0.75, horizon=30,
    evaluation_episodes=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def policy() -> Policy:
    return policy_from_scratch(Settings("CartPole-v1", neurons=32, substeps=4, population=8))


def finish(run: Run, opener=lambda: open_device("virtual")) -> bytes:
    """What the run's lineage holds in the end."""
    for _ in run.on(opener):
        pass
    return (run.folder / "lineage.bin").read_bytes()


@pytest.fixture(scope="module")
def clean(tmp_path_factory, policy) -> bytes:
    """What PLAN comes to where nothing happens."""
    return finish(Run.begin(tmp_path_factory.mktemp("clean") / "run", PLAN, policy))


# -- the twin ------------------------------------------------------------------------------------


@given(seed=st.integers(0, (1 << 32) - 1), one=st.integers(1, 255))
@settings(max_examples=20, deadline=None)
def test_the_twin_is_the_reference(policy, seed, one):
    spec, size = policy.spec, 5
    step = reference.step_size(0.2, size)
    twin = Lockstep(Origin(policy, seed, step, size, one), 1)
    rho = reference.softened(policy.synapses, one)
    for generation in range(2):
        members = [reference.sample_synapses(rho, seed, generation, k) for k in range(size)]
        for number, synapses in enumerate(members):
            assert twin.member(number).synapses.ravel().tolist() == synapses.tolist()
        ranks = reference.centered_ranks(np.random.default_rng(seed).random(size))
        gradient = reference.gradient(ranks, np.stack(members))
        rho = reference.update_rho(rho, gradient, step, seed, generation)
        twin.learn(ranks)
        assert twin.rho.tolist() == rho.tolist()
    assert twin.generation == 2
    core = CoreEvolution(spec)
    core.rho = rho
    assert twin.planes == core.planes()
    assert twin.rho_hash == zlib.crc32(core.planes())


@pytest.mark.parametrize(
    "numbers, complaint",
    [
        ({"population": 1}, "A population has 2 to 16000 members, not 1."),
        ({"certainty": 0.4}, "The certainty is 0.4; it is 0.5 to 0.996."),
        ({"certainty": 1.0}, "The certainty is 1; it is 0.5 to 0.996."),
        ({"seed": -1}, "A seed is a number from 0 to 4294967295, not -1."),
        ({"generations": 0}, "are 1 or more"),
        ({"horizon": 0}, "The horizon is 0 steps; it is at least 1."),
    ],
)
def test_an_impossible_plan_is_refused(policy, numbers, complaint):
    with pytest.raises(UsageError) as refusal:
        replace(PLAN, **numbers).origin(policy)
    assert complaint in f"{refusal.value}"


# -- the lineage ---------------------------------------------------------------------------------


def test_a_lineage_replays_to_what_the_device_learned(tmp_path, policy, clean):
    path = tmp_path / "lineage.bin"
    path.write_bytes(clean)
    lineage = Lineage.open(path)
    assert lineage.origin == replace(PLAN.origin(policy), policy=lineage.origin.policy)
    assert lineage.origin.policy.hash == policy.hash
    twin = replay(lineage)
    assert twin.generation == PLAN.generations
    assert [rho_hash for _, rho_hash in lineage][-1] == twin.rho_hash


def test_a_lineage_cut_anywhere_holds_what_was_whole(tmp_path, clean):
    path = tmp_path / "lineage.bin"
    size = 2 * PLAN.population + 8
    head = len(clean) - PLAN.generations * size
    for length in range(len(clean) + 1):
        path.write_bytes(clean[:length])
        if length < head:
            with pytest.raises(StorageError, match=r"is no lineage|is damaged"):
                Lineage.open(path)
        else:
            assert len(list(Lineage.open(path))) == (length - head) // size


def test_a_lineage_with_a_flipped_bit_tells_nothing_wrong(tmp_path, clean):
    path = tmp_path / "lineage.bin"
    path.write_bytes(clean)
    records = [(ranks.tolist(), rho_hash) for ranks, rho_hash in Lineage.open(path)]
    for bit in range(8 * len(clean)):
        damaged = bytearray(clean)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(StorageError):
            lineage = Lineage.open(path)
            found = [(ranks.tolist(), rho_hash) for ranks, rho_hash in lineage]
            assert found == records[: len(found)] and len(found) < len(records)
            lineage.check()


def test_a_lineage_whose_hash_is_another_is_not_replayed(tmp_path, clean):
    size = 2 * PLAN.population + 8
    body = clean[-size:-8] + struct.pack("<I", 1)
    path = tmp_path / "lineage.bin"
    path.write_bytes(clean[:-size] + body + struct.pack("<I", zlib.crc32(body)))
    with pytest.raises(StorageError, match=r"replays to other probabilities in generation 3"):
        replay(Lineage.open(path))


def test_the_policy_of_a_lineage_is_the_one_that_was_learned(tmp_path, policy):
    run = Run.begin(tmp_path / "run", replace(PLAN, generations=2), policy)
    finish(run)
    generation = load_policy(run.policy_file)[1].training["generation"]
    out = tmp_path / "policy.onnx"
    words = "--generations", f"{generation}", "--out", out, "--json"
    code, text, err = ecedge("replay", run.folder, *words)
    assert code == 0, err
    (again, info), (best, best_info) = load_policy(out), load_policy(run.policy_file)
    assert again.image == best.image
    assert (info.task, info.training["generation"]) == (best_info.task, generation)
    assert json.loads(text)["hash"] == best.hash
    alone = tmp_path / "some.bin"
    alone.write_bytes((run.folder / "lineage.bin").read_bytes())
    code, text, err = ecedge("replay", alone, "--json")
    assert json.loads(text)["rho_hash"] == f"{run.twin.rho_hash:08x}"
    assert_misuse(ecedge("replay", alone, "-o", out), "does not tell its task")
    assert_misuse(ecedge("replay", alone, "--generations", "3"), "holds 2 generations, not 3")


def test_a_lineage_that_is_not_whole_is_one_sentence(tmp_path, clean):
    path, size = tmp_path / "lineage.bin", 2 * PLAN.population + 8
    head = len(clean) - PLAN.generations * size
    whole = set(range(head, len(clean) + 1, size))
    for length in range(5, len(clean) + 1):
        path.write_bytes(clean[:length])
        if length in whole:
            assert Lineage.open(path).check() == (length - head) // size
        else:
            with pytest.raises(StorageError, match=r"no lineage|damaged|bytes behind generation"):
                Lineage.open(path).check()


@pytest.mark.parametrize(
    "name, length, complaint",
    [
        ("lineage.bin", 3, "is neither a recording"),
        ("lineage.bin", 60, "is damaged"),
        ("lineage.bin", -1, "19 bytes behind generation 3 that are none"),
        ("log.jsonl", None, "is neither a recording"),
        ("policy.onnx", None, "is neither a recording"),
        ("none", None, "There is no recording"),
    ],
)
def test_what_cannot_be_replayed_is_one_sentence(tmp_path, clean, name, length, complaint):
    path = tmp_path / name
    if name != "none":
        path.write_bytes(clean[:length] if name == "lineage.bin" else b"ECLN" + bytes(99))
    assert_misuse(ecedge("replay", path), complaint)


# -- a run ---------------------------------------------------------------------------------------


def test_a_run_that_ends_after_any_generation_goes_on_to_the_same(tmp_path, policy, clean):
    run = Run.begin(tmp_path / "run", PLAN, policy)
    for _ in range(PLAN.generations):
        for _ in itertools.islice(run.on(lambda: open_device("virtual")), 1):
            pass
        run = Run.resume(tmp_path / "run")
    assert (tmp_path / "run/lineage.bin").read_bytes() == clean
    log = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [entry["generation"] for entry in log] == [0, 1, 2, 3]
    assert run.best == max(entry["evaluation"] for entry in log)


def test_the_best_policy_is_kept_with_its_proof(tmp_path, policy):
    run = Run.begin(tmp_path / "run", replace(PLAN, generations=1), policy)
    finish(run)
    kept, info = load_policy(run.policy_file)
    assert kept.synapses.tolist() == run.twin.decided().synapses.tolist()
    assert kept.golden_steps > 0
    assert (info.task, info.training["evaluation"]) == ("CartPole-v1", run.best)


def test_a_device_that_restarts_learns_on_from_where_its_twin_is(
    tmp_path, policy, clean, monkeypatch
):
    started, count = [], itertools.count(1)

    def recorded(*words, **more):
        started.append(launch(*words, **more))
        return started[-1]

    request = Device.request

    def killing(self, kind, *words, **more):
        if next(count) % 150 == 0:
            started[-1].process.kill()
        return request(self, kind, *words, **more)

    monkeypatch.setattr(devices, "launch", recorded)
    monkeypatch.setattr(Device, "request", killing)
    assert finish(Run.begin(tmp_path / "run", PLAN, policy)) == clean
    assert len(started) > 2


@pytest.mark.parametrize("generations", [2, 4])
def test_the_first_difference_ends_the_run_with_both_states_kept(tmp_path, policy, generations):
    def opener():
        @contextlib.contextmanager
        def opened():
            with open_device("virtual") as device:
                request, kinds = device.request, itertools.count()

                def changed(kind, payload=b"", *more):
                    if kind == 0x22 and next(kinds) == 1:  # RANKS of the second generation
                        payload = payload[:4] + payload[:3:-1]
                    return request(kind, payload, *more)

                device.request = changed
                yield device

        return opened()

    run = Run.begin(tmp_path / "run", replace(PLAN, generations=generations), policy)
    with pytest.raises(LockstepLost, match=r"After generation 1 device's probabilities are"):
        finish(run, opener)
    kept = [(tmp_path / "run" / name).read_bytes() for name in ("device.rho", "device.twin.rho")]
    assert kept[0] != kept[1] == run.twin.planes
    assert len(kept[0]) == policy.spec.n_synapses
    assert len(list(Lineage.open(tmp_path / "run/lineage.bin"))) == 2


# -- the verb ------------------------------------------------------------------------------------


def test_evolve_learns_and_goes_on(tmp_path):
    folder = tmp_path / "run"
    words = "--population", "6", "--neurons", "32", "--horizon", "20"
    code, out, err = ecedge(
        "evolve", "CartPole-v1", "--out", folder, "--generations", "1", *words, "--json"
    )
    assert (code, json.loads(out)["generations"]) == (0, 1), err
    code, out, err = ecedge("evolve", "--resume", folder, "--generations", "2", "--json")
    assert (code, json.loads(out)["generations"]) == (0, 2), err
    assert replay(Lineage.open(folder / "lineage.bin")).generation == 2


@pytest.mark.parametrize(
    "words, complaint",
    [
        ([], "Name a task, for example: ecedge evolve CartPole-v1"),
        (["CartPole-v1", "--resume", "x"], "Give a task, or --resume alone."),
        (["--resume", "nowhere"], "Cannot read"),
        (["CartPole-v1", "--population", "1"], "A population has 2 to 16000 members, not 1."),
        (["Nonsense-v0"], "Nonsense-v0"),
    ],
)
def test_misuse_is_one_sentence(tmp_path, monkeypatch, words, complaint):
    monkeypatch.chdir(tmp_path)
    assert_misuse(ecedge("evolve", *words), complaint)
