"""ecedge.tasks: a batched episode is the stock environment's episode."""

import dataclasses
import subprocess
import sys

import gymnasium
import numpy as np
import pytest

from ecedge.errors import TaskError
from ecedge.model import CONTINUOUS, DISCRETE
from ecedge.tasks import NATIVE, find_task

STEPS = 1200  # random steps compared, at least, for each native task

#: where a plant may differ from the stock environment, and why its docstring says so
REWARD_TOLERANCE = {"Pendulum-v1": 1e-9}

OWN_TASKS = '''
import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiBinary


class Matrix(gymnasium.Env):
    """Matrices in and out; ends at random."""

    observation_space = Box(-1, 1, (2, 3), np.float64)
    action_space = Box(-2, 2, (2, 2), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, (2, 3)), {}

    def step(self, action):
        assert action.shape == (2, 2)
        observation = self.np_random.uniform(-1, 1, (2, 3))
        return observation, float(action[0, 1]), bool(observation[0, 0] > 0.8), False, {}


class Indices(gymnasium.Env):
    """Observations of 1 to 4, actions of 5 to 7."""

    observation_space = Discrete(4, start=1)
    action_space = Discrete(3, start=5)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 1, {}

    def step(self, action):
        return 1 + int(action) % 4, float(action), False, False, {}


def with_spaces(observations, actions):
    class Spaces(Matrix):
        observation_space, action_space = observations, actions

    return Spaces


box = Box(-1, 1, (2,), np.float32)
gymnasium.register("Own/Matrix-v0", Matrix)
gymnasium.register("Own/Indices-v0", Indices, max_episode_steps=7)
gymnasium.register("Own/Bits-v0", with_spaces(MultiBinary(4), box))
gymnasium.register("Own/Unbounded-v0", with_spaces(box, Box(-np.inf, 1, (2,), np.float32)))
gymnasium.register("Own/Counts-v0", with_spaces(box, Box(0, 9, (2,), np.int32)))
gymnasium.register("Own/Wide-v0", with_spaces(Box(-1, 1, (33, 33), np.float32), box))
gymnasium.register("Own/Mujoco-v0", "missing_mujoco_module:Env")
gymnasium.register("Own/Missing-v0", "missing_module:Env")
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A user's own module, as `module:EnvId` names it."""
    (tmp_path / "own_tasks.py").write_text(OWN_TASKS)
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_tasks:Own/"
    sys.modules.pop("own_tasks", None)
    for name in [name for name in gymnasium.registry if name.startswith("Own/")]:
        del gymnasium.registry[name]


def random_actions(task, random, population):
    if task.actions == DISCRETE:
        return random.integers(0, task.n_act, population)
    actions = random.uniform(task.low, task.high, (population, task.n_act))
    # Limits themselves, and long pushes that reach the plant's own limits.
    pushed = random.random((population, 1)) < 0.5
    return np.where(pushed, np.sign(actions) * task.high, actions).astype(np.float32)


def assert_equals_stock(task, seeds, steps, random, tolerance=0.0):
    """Every member against the stock environment until its episode ends; returns steps compared."""
    batch, stock = task.make(len(seeds)), task.make_single()
    observations = batch.reset(seeds)
    actions = [random_actions(task, random, len(seeds)) for _ in range(steps)]
    log = [batch.step(action) for action in actions]
    compared = 0
    for member, seed in enumerate(seeds):
        observation, _ = stock.reset(seed=int(seed))
        np.testing.assert_array_equal(observation, observations[member])
        for action, (observations_, rewards, terminated, truncated) in zip(
            actions, log, strict=True
        ):
            observation, reward, *ends, _ = stock.step(action[member])
            np.testing.assert_array_equal(observation, observations_[member])
            assert observation.dtype == observations_.dtype or not task.native
            assert abs(reward - rewards[member]) <= tolerance
            assert ends == [terminated[member], truncated[member]]
            compared += 1
            if any(ends):
                break
    batch.close()
    return compared


@pytest.mark.parametrize("task_id", NATIVE)
def test_a_native_batch_equals_stock_gymnasium(task_id):
    task, random = find_task(task_id), np.random.default_rng(0)
    tolerance, compared = REWARD_TOLERANCE.get(task_id, 0.0), 0
    while compared < STEPS:
        seeds = random.integers(0, 2**31, 4)
        compared += assert_equals_stock(task, seeds, STEPS // 4, random, tolerance)


@pytest.mark.parametrize("task_id", NATIVE)
def test_a_native_task_has_stock_gymnasiums_facts(task_id):
    task, stock = find_task(task_id), gymnasium.make(task_id)
    assert task.native and task.id == task_id
    assert stock.observation_space.shape == (task.n_obs,)
    assert task.max_episode_steps == stock.spec.max_episode_steps
    if task.actions == DISCRETE:
        assert (stock.action_space.n, task.low, task.high) == (task.n_act, (), ())
    else:
        assert stock.action_space.low.tolist() == list(task.low)
        assert stock.action_space.high.tolist() == list(task.high)


def test_swing_ups_end_as_in_stock_gymnasium():
    # Energy pumping, so that the goals are reached: random actions seldom do.
    for task_id, pump in (
        ("MountainCarContinuous-v0", lambda o: np.where(o[:, 1:] < 0, -1, 1).astype(np.float32)),
        ("Acrobot-v1", lambda o: np.where(o[:, 5] > 0, 2, 0)),
    ):
        task = find_task(task_id)
        batch, stock = task.make(3), task.make_single()
        observations, observation = batch.reset(5), stock.reset(seed=5)[0]
        for _ in range(task.max_episode_steps):
            actions = pump(observations)
            observations, rewards, terminated, truncated = batch.step(actions)
            observation, reward, *ends, _ = stock.step(actions[1])
            assert (observation == observations[1]).all() and reward == rewards[1]
            assert ends == [terminated[1], truncated[1]]
            if any(ends):
                break
        assert terminated.all() and not truncated.any()


@pytest.mark.parametrize("task_id", [*NATIVE, "MountainCar-v0"])
def test_one_seed_starts_all_members_alike(task_id):
    batch = find_task(task_id).make(3)
    observations = batch.reset(7)
    np.testing.assert_array_equal(observations, batch.reset([7, 7, 7]))
    assert (observations == observations[0]).all()
    assert (batch.reset([7, 8, 9])[1] != observations[1]).any()


@pytest.mark.parametrize("task_id", ["CartPole-v1", "CartPole-v0"])
def test_an_ended_member_is_frozen(task_id):
    batch = find_task(task_id).make(2)
    batch.reset(0)
    returns, ends = np.zeros(2), []
    for step in range(200):
        # Member 0 is pushed one way and falls; member 1 is pushed to and fro.
        observations, rewards, terminated, truncated = batch.step(np.array([1, step % 2]))
        returns += rewards
        ends.append((observations[0].copy(), rewards[0], terminated[0], truncated[0]))
    fall = next(i for i, end in enumerate(ends) if end[2])
    assert fall < 20 and returns[0] == fall + 1 < returns[1]
    for observation, reward, terminated_, truncated_ in ends[fall + 1 :]:
        assert (observation == ends[fall][0]).all()
        assert (reward, terminated_, truncated_) == (0, True, False)


@pytest.mark.parametrize("task_id", ["Pendulum-v1", "MountainCar-v0"])
def test_the_horizon_can_be_replaced(task_id):
    task = dataclasses.replace(find_task(task_id), max_episode_steps=3)
    batch, stock = task.make(2), task.make_single()
    batch.reset(0)
    stock.reset(seed=0)
    actions = np.zeros((2, 1), np.float32) if task.actions == CONTINUOUS else np.zeros(2, int)
    truncations = [(batch.step(actions)[3].tolist(), stock.step(actions[0])[3]) for _ in range(3)]
    assert truncations == [([False] * 2, False)] * 2 + [([True] * 2, True)]


@pytest.mark.parametrize("task_id", ["Pendulum-v1", "MountainCar-v0"])
def test_what_a_step_gave_is_the_callers_to_keep(task_id):
    task = find_task(task_id)
    batch, random = task.make(2), np.random.default_rng(0)
    batch.reset(0)
    first = batch.step(random_actions(task, random, 2))
    kept = [array.copy() for array in first]
    batch.step(random_actions(task, random, 2))
    for array, copy in zip(first, kept, strict=True):
        np.testing.assert_array_equal(array, copy)


# --- through the vector API -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Matrix-v0", "Indices-v0"])
def test_a_users_own_task_equals_its_single_environment(own, name):
    task = find_task(own + name)
    assert not task.native and task.id == own + name
    assert assert_equals_stock(task, [1, 2, 3, 4], 30, np.random.default_rng(0)) > 20


def test_matrices_are_flat_and_indices_one_hot(own):
    matrix, indices = find_task(own + "Matrix-v0"), find_task(own + "Indices-v0")
    assert (matrix.n_obs, matrix.n_act, matrix.actions) == (6, 4, CONTINUOUS)
    assert (matrix.low, matrix.high, matrix.max_episode_steps) == ((-2.0,) * 4, (2.0,) * 4, None)
    assert (indices.n_obs, indices.n_act, indices.actions) == (4, 3, DISCRETE)
    batch = indices.make(2)
    batch.reset(0)
    observations, rewards, _, _ = batch.step(np.array([0, 2]))
    assert observations.tolist() == [[0, 1, 0, 0], [0, 0, 0, 1]] and rewards.tolist() == [5, 7]


@pytest.mark.parametrize(
    "name, complaint",
    [
        ("Bits-v0", "has observations of MultiBinary"),
        ("Unbounded-v0", "has actions without finite bounds"),
        ("Counts-v0", "has actions of Box.*int32"),
        ("Wide-v0", "has 1089 observations; a network takes 1 to 1024"),
        ("Mujoco-v0", r"cannot be loaded.*pip install 'ecedge\[mujoco\]'"),
        ("Missing-v0", "cannot be loaded: No module named 'missing_module'"),
    ],
)
def test_what_cannot_run_says_why(own, name, complaint):
    with pytest.raises(TaskError, match=complaint):
        find_task(own + name)


@pytest.mark.parametrize(
    "task_id, advice",
    [
        ("CartPol-v1", "Did you mean CartPole-v1"),
        ("acrobot-v1", "Did you mean Acrobot-v1"),
        ("Pendulum-v9", "Pendulum-v1"),
        ("Nothing/Like-that", "Give an id that gymnasium knows"),
        ("no_such_module:Own-v0", "no_such_module"),
        ("", "Give an id that gymnasium knows"),
    ],
)
def test_an_unknown_task_gets_advice(task_id, advice):
    with pytest.raises(TaskError, match=advice):
        find_task(task_id)


def test_an_id_without_version_is_the_latest():
    assert find_task("CartPole") == find_task("CartPole-v1")


def test_tasks_import_without_gymnasium():
    program = "import sys, ecedge.tasks as t; t.find_task('CartPole-v1').make(4).reset(0)"
    program += "; sys.exit('gymnasium' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


# --- on mujoco.batch ----------------------------------------------------------------------------

MUJOCO = [
    "Ant-v5", "HalfCheetah-v5", "Hopper-v5", "Humanoid-v5", "InvertedDoublePendulum-v5",
    "InvertedPendulum-v5", "Reacher-v5", "Swimmer-v5", "Walker2d-v5",
]  # fmt: skip


def test_every_mujoco_plant_is_compared():
    from ecedge.tasks.mujoco import PLANTS

    assert sorted(PLANTS) == MUJOCO


@pytest.mark.parametrize("task_id", MUJOCO)
def test_a_mujoco_batch_equals_stock_gymnasium(task_id):
    task, random, compared = find_task(task_id), np.random.default_rng(0), 0
    assert task.parallel and task.batch.__name__ == task_id.removesuffix("-v5")
    while compared < 1000:
        compared += assert_equals_stock(task, random.integers(0, 2**31, 4), 250, random)


@pytest.mark.parametrize("task_id", ["Hopper-v5", "Ant-v5"])
def test_mujoco_members_that_end_leave_the_rest_unchanged(task_id):
    task, random = find_task(task_id), np.random.default_rng(1)
    actions = [random_actions(task, random, 6) for _ in range(120)]
    batch, alone = task.make(6), task.make(1)
    batch.reset(range(6))
    log = [batch.step(action) for action in actions]
    assert log[-1][2].any()
    for member in range(6):
        alone.reset(member)
        for action, together in zip(actions, log, strict=True):
            for ours, theirs in zip(alone.step(action[[member]]), together, strict=True):
                np.testing.assert_array_equal(ours[0], theirs[member])


def test_an_old_mujoco_task_runs_through_the_vector_api():
    task = find_task("Hopper-v4")
    assert (task.n_obs, task.n_act, task.low, task.high) == (11, 3, (-1.0,) * 3, (1.0,) * 3)
    assert task.batch.__name__ == "VectorBatch"
    assert_equals_stock(task, [3, 4], 40, np.random.default_rng(0))


def test_mujoco_leaves_nothing_in_the_current_folder(tmp_path):
    program = "import ecedge.tasks as t; t.find_task('HalfCheetah').make(2).reset(0)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True
    )
    assert (done.stdout, done.stderr, list(tmp_path.iterdir())) == (b"", b"", [])


def test_an_mujoco_without_batches_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("ecedge.tasks.mujoco")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mujoco.batch", None)
    with pytest.raises(TaskError, match=r"mujoco 4.0 or newer: pip install 'ecedge\[mujoco\]'"):
        find_task("Hopper-v5")
