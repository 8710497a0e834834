"""What bounds a device that learns on a plant: budgets, limits, collapse, and where it is left."""

import json
import signal
import subprocess
import sys
from contextlib import closing, contextmanager
from dataclasses import asdict, replace

import numpy as np
import pytest
from test_cli import assert_misuse, ecedge

from ecedge.cli.evolve import limits_of
from ecedge.devices import connect_running, open_device, parse_device, run_board
from ecedge.errors import BoardError, LockstepLost, StorageError, UsageError
from ecedge.evolve import Lineage, Lockstep, Plan, Run, policy_from_scratch, replay
from ecedge.evolve.run import EVALUATION, seeds_of
from ecedge.evolve.safety import Budget, Spent, Watch, travel_of
from ecedge.evolve.seat import Seat
from ecedge.fleet import Fleet
from ecedge.hil import Twin, within
from ecedge.link import Device, DeviceMode, Limit
from ecedge.model import Policy, decode_action
from ecedge.policy_file import PolicyInfo, load_policy, save_policy
from ecedge.tasks import find_task
from ecedge.training.settings import Settings

pytestmark = pytest.mark.timeout(120)

PLAN = Plan("CartPole-v1", seed=4, population=4, generations=3, certainty=0.75, horizon=12,
            evaluation_episodes=3)  # fmt: skip
SWING = replace(PLAN, task="Pendulum-v1", horizon=8)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return policy_from_scratch(Settings("CartPole-v1", neurons=32, substeps=4, population=8))


@pytest.fixture(scope="module")
def swing() -> Policy:
    return policy_from_scratch(Settings("Pendulum-v1", neurons=32, substeps=4, population=8))


@pytest.fixture(scope="module")
def device():
    with open_device("virtual") as device:
        yield device


@pytest.fixture
def opener(device):
    """Gives the same device again and again, and leaves it as the run did."""

    @contextmanager
    def opened():
        device.connect()
        yield device

    return opened


def finish(run: Run, opener) -> list:
    with closing(run.on(opener)) as generations:
        return list(generations)


def evaluations(run: Run, monkeypatch, *told: float) -> None:
    """The run's evaluations come out so, one after another, the last for ever."""
    left = list(told)
    monkeypatch.setattr(
        run,
        "_evaluate",
        lambda task, rho: (run.twin.decided(rho), left.pop(0) if left[1:] else left[0]),
    )


def assert_left_with(device: Device, policy: Policy) -> None:
    device.connect()
    assert device.hello.policy_hash == policy.hash
    assert device.status().mode in (DeviceMode.IDLE, DeviceMode.SAFE)


def way(*applied) -> np.ndarray:
    return np.array(applied, np.int16)


# -- what is spent -------------------------------------------------------------------------------


def test_travel_is_the_way_of_all_outputs_within_their_bounds(swing):
    far = way([0, 2048], [1024, 2048], [4096, -2048])
    assert travel_of(far, swing.spec) == 0.5 + 0.5 + 2.0


def test_travel_of_discrete_actions_is_how_often_another_is_chosen(policy):
    assert travel_of(way([1, 0], [2, 0], [0, 1], [0, 0]), policy.spec) == 2.0


@pytest.mark.parametrize("what", ["episodes", "steps", "seconds", "travel"])
def test_a_budget_ends_when_it_is_spent_and_not_before(what):
    budget = Budget(**{what: 5})
    assert budget.end(Spent(**{what: 4})) is None
    assert budget.end(Spent(**{what: 5})) == f"the budget of 5 {what} is spent: 5"


@pytest.mark.parametrize(
    "numbers, complaint",
    [
        ({"most_steps": 0}, "A budget of 0 steps is none; give more than 0."),
        ({"fall": 0.0}, "A fall by 0 of the return is none; give more than 0."),
        ({"patience": 0}, "A collapse takes 1 evaluation or more, not 0."),
        ({"limits": [(1, 0, 5)]}, "An output cannot be kept to 1 ... 0."),
    ],
)
def test_an_impossible_bound_is_refused(numbers, complaint):
    with pytest.raises(UsageError) as refusal:
        replace(PLAN, **numbers)
    assert complaint in f"{refusal.value}"


def test_a_spent_budget_ends_the_run_with_the_confirmed_policy_on_the_device(
    tmp_path, policy, device, opener
):
    run = Run.begin(tmp_path / "run", replace(PLAN, most_episodes=6), policy)
    assert len(finish(run, opener)) == 1
    assert run.ending == "the budget of 6 episodes is spent: 6"
    assert_left_with(device, load_policy(run.policy_file)[0])
    again = Run.resume(tmp_path / "run")
    assert (again.spent, finish(again, opener)) == (run.spent, [])
    more = Run.resume(tmp_path / "run", most_episodes=None, most_steps=run.spent.steps + 1)
    assert (finish(more, opener), more.spent.episodes) == ([], 7)
    assert more.ending.startswith(f"the budget of {run.spent.steps + 1} steps is spent: ")


def test_a_damaged_account_is_no_account(tmp_path):
    Spent(1, 2, 3.5, 4.0).save(tmp_path / "spent.json")
    whole = (tmp_path / "spent.json").read_bytes()
    assert Spent.load(tmp_path / "spent.json") == Spent(1, 2, 3.5, 4.0)
    for length in range(len(whole)):
        (tmp_path / "spent.json").write_bytes(whole[:length])
        with pytest.raises(StorageError, match=r"spent\.json cannot be read: "):
            Spent.load(tmp_path / "spent.json")


# -- limits --------------------------------------------------------------------------------------


def test_limits_hold_on_the_device_and_in_the_plant_while_it_learns(
    tmp_path, swing, device, opener, monkeypatch
):
    limit = Limit(-900, 700, 300)
    applied, step = [], Device.step

    def seen(self, raw):
        reply = step(self, raw)
        applied.append(self.status().outputs.tolist())
        return reply

    travels, note = [], Seat.note

    def noted(self, taken):
        begun = sum(len(travel) - 1 for travel in travels)
        assert taken.tolist() == applied[begun:]
        travels.append([[0], *applied[begun:]])  # from the safe action on
        note(self, taken)

    monkeypatch.setattr(Device, "step", seen)
    monkeypatch.setattr(Seat, "note", noted)
    plan = replace(SWING, limits=[(limit.low, limit.high, limit.slew)], generations=1)
    finish(Run.begin(tmp_path / "run", plan, swing), opener)
    assert len(travels) == plan.population
    for travel in travels:
        outputs = np.array(travel)
        assert limit.low <= outputs.min() and outputs.max() <= limit.high
        assert np.abs(np.diff(outputs, axis=0)).max() <= limit.slew
    assert np.abs(np.concatenate(travels)).max() > 0
    device.limit([Limit()])


def test_what_is_within_limits_is_what_each_limit_says():
    limits = Limit(-5, 5, 3), Limit()
    outputs, before = np.array([100, 100], np.int16), np.array([0, 0], np.int16)
    assert within(limits, outputs, before).tolist() == [3, 100]


def test_threads_and_evaluations_keep_limits_as_devices_do(tmp_path, swing, device, opener):
    limit = -900, 700, 300
    plan = replace(SWING, limits=[limit], evaluation_episodes=2)
    lineages, logs = [], []
    for name, learn in {
        "device": lambda run: run.on(opener),
        "threads": lambda run: run.by(Fleet({}, simulated=2)),
        "free": lambda run: run.by(Fleet({}, simulated=1)),
    }.items():
        limits = () if name == "free" else plan.limits
        run = Run.begin(tmp_path / name, replace(plan, limits=limits), swing)
        with closing(learn(run)) as generations:
            logs.append([(g.mean, g.best, g.evaluation) for g in generations])
        lineages.append((run.folder / "lineage.bin").read_bytes())
    device.limit([Limit()])
    assert logs[0] == logs[1] != logs[2]
    assert lineages[0] == lineages[1]

    # An evaluation is what a device would have earned.
    kept, seeds = Run.resume(tmp_path / "device"), seeds_of(plan.seed, EVALUATION, 0, 2)
    returns = [episode_within([Limit(*limit)], kept.confirmed, plan, seed) for seed in seeds]
    assert kept.best == pytest.approx(np.mean(returns))


def test_a_device_that_bears_less_than_the_runs_limits_takes_no_part(
    tmp_path, swing, device, opener, monkeypatch
):
    own, limit = Limit(-700, 512, 128), Device.limit
    monkeypatch.setattr(Device, "limit", lambda self, limits: limit(self, [own]))
    run = Run.begin(tmp_path / "run", replace(SWING, limits=[(-900, 700, 300)]), swing)
    with pytest.raises(BoardError) as refusal:
        finish(run, opener)
    assert "bears less than this run's limits" in refusal.value.message
    words = refusal.value.hint.partition("--limit ")[2]
    assert limits_of([words], 1) == [(own.low, own.high, own.slew)]
    monkeypatch.undo()
    device.limit([Limit()])


def episode_within(limits, policy: Policy, plan: Plan, seed: int) -> float:
    """The return of an episode whose outputs are kept within limits, step by step."""
    task = find_task(plan.task)
    environment, twin = task.make_single(), Twin(policy)
    observation, _ = environment.reset(seed=seed)
    total, applied = 0.0, np.zeros(policy.spec.n_act, np.int16)
    for _ in range(plan.horizon):
        applied = within(limits, twin.step(policy.observation_map.encode(observation)), applied)
        action = decode_action(policy.spec, applied, task.low, task.high)
        observation, reward, *_ = environment.step(action)
        total += float(reward)
    environment.close()
    return total


def test_a_limit_for_each_output_or_none(tmp_path, swing):
    with pytest.raises(UsageError, match="There are 2 limits for 1 outputs"):
        Run.begin(tmp_path / "run", replace(SWING, limits=[(0, 1, 2)] * 2), swing)


# -- collapse ------------------------------------------------------------------------------------


@pytest.mark.parametrize("confirmed, low, good", [(100.0, 49.9, 50.0), (-200.0, -300.1, -300.0)])
def test_a_collapse_is_a_fall_that_lasts(confirmed, low, good):
    watch = Watch(0.5, 3)
    told = [watch.collapsed(each, confirmed) for each in (low, low, good, low, low, low, low)]
    assert told == [False] * 5 + [True, False]
    assert not any(Watch(None, 1).collapsed(-1e9, confirmed) for _ in range(9))


def test_after_a_collapse_it_learns_on_from_the_confirmed_policy(
    tmp_path, policy, device, opener, monkeypatch
):
    plan = replace(PLAN, generations=6, fall=0.5, patience=2)
    run = Run.begin(tmp_path / "run", plan, policy)
    evaluations(run, monkeypatch, 10.0, 20.0, 1.0, 2.0, 15.0, 30.0, 30.0)
    hashes = [run.twin.rho_hash]
    with closing(run.on(opener)) as generations:
        for generation in generations:
            hashes.append(run.twin.rho_hash)
            assert generation.back_to == (1 if generation.generation == 2 else None)
    assert hashes[3] == hashes[1] != hashes[2]
    assert run.best == 30.0
    assert_left_with(device, load_policy(run.policy_file)[0])
    assert replay(Lineage.open(tmp_path / "run/lineage.bin")).rho_hash == hashes[-1]
    log = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [entry["back_to"] for entry in log] == [None, None, 1, None, None, None]


def test_a_second_collapse_with_nothing_better_in_between_ends_the_run(
    tmp_path, policy, device, opener, monkeypatch
):
    plan = replace(PLAN, generations=9, fall=0.5, patience=1)
    run = Run.begin(tmp_path / "run", plan, policy)
    start = run.twin.decided()
    evaluations(run, monkeypatch, 10.0, 1.0)
    assert [generation.back_to for generation in finish(run, opener)] == [0, 0]
    assert run.ending == "it collapsed again, with nothing better learned in between"
    assert_left_with(device, start)


def test_a_collapse_that_is_resumed_in_its_middle_ends_alike(tmp_path, policy, opener, monkeypatch):
    plan = replace(PLAN, generations=4, fall=0.5, patience=2)
    told = [10.0, 1.0, 1.0, 1.0, 1.0]
    lineages = []
    for name, cuts in (("whole", [4]), ("cut", [1, 1, 1, 1])):
        run = Run.begin(tmp_path / name, plan, policy)
        for generations in cuts:
            evaluations(run, monkeypatch, *told[run.twin.generation + (run.twin.generation > 0) :])
            with closing(run.on(opener)) as left:
                for _ in range(generations):
                    next(left)
            run = Run.resume(tmp_path / name)
        lineages.append((tmp_path / name / "lineage.bin").read_bytes())
    assert lineages[0] == lineages[1]
    assert [ranks is None for ranks, _ in Lineage.open(tmp_path / "cut/lineage.bin")] == [
        False, True, False, True,
    ]  # fmt: skip


def test_going_back_again_and_again_replays_in_the_time_of_its_generations(policy, monkeypatch):
    twin, ranks = Lockstep(PLAN.origin(policy)), np.array([-3, -1, 1, 3])
    for _ in range(14):
        twin.learn(ranks)
        twin.go_back(twin.generation - 1)
    learned, learn = [], Lockstep.learn
    monkeypatch.setattr(Lockstep, "learn", lambda *words: learned.append(1) or learn(*words))
    again = twin.before(twin.generation)
    assert again.rho_hash == twin.rho_hash
    assert len(learned) == 14


# -- where the device is left ----------------------------------------------------------------------


def test_a_policy_of_something_else_is_not_the_confirmed_one(tmp_path, policy, opener):
    finish(Run.begin(tmp_path / "run", replace(PLAN, generations=1), policy), opener)
    save_policy(tmp_path / "run/policy.onnx", policy, PolicyInfo("CartPole-v1"))
    with pytest.raises(StorageError, match=r"policy\.onnx is no policy of this run"):
        Run.resume(tmp_path / "run")


def test_a_run_that_fails_leaves_the_confirmed_policy(
    tmp_path, policy, device, opener, monkeypatch
):
    run = Run.begin(tmp_path / "run", PLAN, policy)
    start = run.twin.decided()
    monkeypatch.setattr("ecedge.fleet.differing_bits", lambda *_: 3)
    with pytest.raises(LockstepLost, match="computes something else than its twin"):
        finish(run, opener)
    assert_left_with(device, start)


def test_the_policy_it_began_with_is_confirmed_until_a_better_one_is(tmp_path, policy, opener):
    run = Run.begin(tmp_path / "run", replace(PLAN, generations=1, target=-1.0), policy)
    assert finish(run, opener) == []
    assert run.ending == "the target of -1 is reached"
    kept, info = load_policy(run.policy_file)
    assert kept.synapses.tolist() == policy.synapses.tolist()
    assert info.training["generation"] == 0


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 2), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_the_device_with_the_confirmed_policy(tmp_path, number, code):
    with run_board(parse_device("virtual")) as board:
        words = [sys.executable, "-m", "ecedge", "evolve", "CartPole-v1", "--device", board.port]
        words += ["--population", "16", "--neurons", "32", "--out", tmp_path / "run"]
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as evolving:
            assert "generation" in evolving.stderr.readline()
            evolving.send_signal(number)
            told = evolving.stderr.read()
        assert evolving.returncode == code
        assert ("Go on with: ecedge evolve --resume" in told) == (number == signal.SIGINT)
        with Device(connect_running(board)) as device:
            assert_left_with(device, load_policy(tmp_path / "run/policy.onnx")[0])


# -- the verb ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words, complaint",
    [
        (["--limit", "a:b"], "'a:b' is no limit. Give two or three numbers"),
        (["--limit", "1:2:3:4"], "'1:2:3:4' is no limit."),
        (["--limit", "1:-1"], "'1:-1' is no limit. Give two or three numbers, the lower one"),
        (["--limit", "0:1:-1"], "'0:1:-1' is no limit."),
        (
            ["--limit", "0:1", "--limit", "0:1", "--limit", "0:1"],
            "There are 3 limits for 2 outputs. Give one for each",
        ),
        (["--budget-travel", "-1"], "A budget of -1 travel is none"),
        (["--budget-steps", "9", "--simulated", "1"], "threads that simulate members spend none."),
        (["--device", "nobody"], "nobody"),
        (["--plant", "cart-pole"], "Add --clocked."),
    ],
)
def test_misuse_is_one_sentence(tmp_path, monkeypatch, words, complaint):
    monkeypatch.chdir(tmp_path)
    assert_misuse(ecedge("evolve", "CartPole-v1", "--neurons", "32", *words), complaint)
    assert not (tmp_path / "runs").exists()


def test_evolve_tells_why_it_ended_and_what_was_spent(tmp_path):
    words = "--population", "4", "--neurons", "32", "--horizon", "10", "--budget-steps", "45"
    code, out, err = ecedge("evolve", "CartPole-v1", "--out", tmp_path / "run", *words, "--json")
    told = json.loads(out)
    assert (code, told["ending"]) == (
        0,
        f"the budget of 45 steps is spent: {told['spent']['steps']}",
    )
    assert told["spent"] == asdict(Spent.load(tmp_path / "run/spent.json"))
    assert f"ended: {told['ending']}" in err
