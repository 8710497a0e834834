"""ecedge.tasks.variation: plants that differ from episode to episode, by their seeds alone."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecedge.errors import EcedgeError, TaskError
from ecedge.tasks import Change, Physics, Task, Variation, find_task

EXAMPLES = sorted((Path(__file__).parent.parent / "tasks").glob("*.toml"))
SIGNALS = {
    "sensor_noise": {"deviation": 0.05},
    "sensor_bias": {"deviation": 0.1},
    "action_delay": {"steps": [0, 3]},
}
MODEL = {
    "mass": {"scale": [0.7, 1.3], "per": "element"},
    "friction": {"scale": [0.6, 1.4]},
    "gain": {"scale": [0.8, 1.2]},
    "damping": {"scale": [0.5, 2.0], "per": "element"},
    "friction_loss": {"add": [0.0, 0.2]},
    "gravity": {"scale": [0.9, 1.1]},
    "control_rate": {"frames": [2, 6]},
}
VARIED = {
    "CartPole-v1": {"pole_length": {"scale": [0.5, 2.0]}} | SIGNALS,
    "Pendulum-v1": {"mass": {"scale": [0.8, 1.2]}} | SIGNALS,
    "MountainCar-v0": SIGNALS,
    "Hopper-v5": MODEL | SIGNALS,
    "Ant-v5": MODEL | SIGNALS,
}
every_varied_task = pytest.mark.parametrize("task_id", VARIED)


def declared(task_id: str, vary: dict, **more) -> Task:
    return find_task(json.dumps({"id": task_id, "vary": vary, **more}))


def written(tmp_path, text: str) -> str:
    path = tmp_path / "own.toml"
    path.write_text(text)
    return str(path)


def random_actions(task, steps, population, seed=0):
    random = np.random.default_rng(seed)
    if task.discrete:
        return random.integers(0, task.n_act, (steps, population))
    shape = steps, population, task.n_act
    return random.uniform(task.low, task.high, shape).astype(np.float32)


def episode(batch, seeds, actions):
    """Observations (T + 1, P, n_obs), rewards (T, P), terminated (T, P) of P members."""
    first = batch.reset(seeds)
    log = [batch.step(action) for action in actions]
    observations, rewards, terminated, _ = zip(*log, strict=True)
    return np.stack([first, *observations]), np.stack(rewards), np.stack(terminated)


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


# --- the seed alone ---------------------------------------------------------------------------


@every_varied_task
def test_one_seed_gives_all_members_one_plant(task_id):
    task = declared(task_id, VARIED[task_id])
    actions = random_actions(task, 40, 1).repeat(4, axis=1)
    for array in episode(task.make(4), 11, actions):
        assert (array == array[:, :1]).all()


@every_varied_task
def test_any_split_of_the_members_gives_the_same_episodes(task_id):
    task = declared(task_id, VARIED[task_id])
    seeds, actions = [5, 6, 5, 7, 8], random_actions(task, 40, 5)
    together = episode(task.make(5), seeds, actions)
    for part in (slice(0, 2), slice(2, 5)):
        batch = task.make(len(seeds[part]))
        batch.reset(99)  # and whatever ran before does not matter
        alone = episode(batch, seeds[part], actions[:, part])
        assert_same(alone, [array[:, part] for array in together])


@pytest.mark.parametrize("task_id", ["Pendulum-v1", "Hopper-v5"])
def test_the_number_of_threads_does_not_matter(task_id):
    from ecedge.training.rollout import Population

    class Still:
        population = 5

        def reset(self):
            pass

        def act(self, members, observations, live):
            return np.tanh(observations[:, : task.n_act]).astype(np.float32)

    task = replace(declared(task_id, VARIED[task_id]), max_episode_steps=40)
    returns = []
    for threads in (1, 2, 3):
        with Population(task, Still(), threads) as population:
            returns.append(population.roll_out([1, 2, 3, 2, 1]).returns)
    assert_same(returns[1:], returns[:1] * 2)
    assert len(set(returns[0])) == 3


@pytest.mark.parametrize("key", [*MODEL, *SIGNALS])
def test_each_key_changes_the_episode_and_differs_by_seed(key):
    vary = (MODEL | SIGNALS)[key]
    if "steps" in vary:
        vary = {"steps": [1, 3]}
    task = declared("Hopper-v5", {key: vary})
    actions = random_actions(task, 25, 1).repeat(2, axis=1)
    stock, ours = (episode(t.make(2), [1, 2], actions)[0] for t in (task.nominal(), task))
    change = ours - stock
    assert (change != 0).any(axis=(0, 2)).all()
    assert (change[:, 0] != change[:, 1]).any()


def test_a_keys_draws_are_its_own():
    def masses(**more):
        batch = declared("Hopper-v5", {"mass": MODEL["mass"], **more}).make(2)
        batch.reset([3, 4])
        return batch._varied.masses.copy()

    both = masses(friction=MODEL["friction"], gravity=MODEL["gravity"])
    np.testing.assert_array_equal(masses(), both)
    assert (both[0] != both[1])[1:].all()


def test_noise_goes_on_beyond_one_block_of_draws():
    task = declared("Pendulum-v1", {"sensor_noise": {"deviation": 0.5}})
    actions = np.zeros((199, 1, 1), np.float32)
    noise = episode(task.make(1), 1, actions)[0] - episode(task.nominal().make(1), 1, actions)[0]
    assert len(np.unique(noise[:, 0])) > 190
    assert 0.45 < noise.std() < 0.55


# --- what it means ------------------------------------------------------------------------------

UNCHANGED = {
    **{name: {"scale": 1.0} for name in ("mass", "friction", "gain", "damping", "gravity")},
    "sensor_noise": {"deviation": 0.0},
    "action_delay": {"steps": 0},
}


@pytest.mark.parametrize("task_id", ["Hopper-v5", "HalfCheetah-v5", "Ant-v5", "Humanoid-v5"])
def test_factors_of_one_are_the_stock_task(task_id):
    task = declared(task_id, UNCHANGED)
    actions = random_actions(task, 30, 3)
    stock = episode(task.nominal().make(3), [1, 2, 3], actions)
    for ours, theirs in zip(episode(task.make(3), [1, 2, 3], actions), stock, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def test_mass_scales_bodies_and_their_inertia_alike():
    task = declared("Hopper-v5", {"mass": {"scale": 1.25}})
    batch, stock = task.make(1), task.nominal().make(1).model
    batch.reset(0)
    model = batch._physics.get_model(0)
    np.testing.assert_allclose(model.body_mass, stock.body_mass * 1.25)
    np.testing.assert_allclose(model.body_inertia, stock.body_inertia * 1.25)
    np.testing.assert_allclose(model.body_subtreemass, stock.body_subtreemass * 1.25)
    assert (model.body_invweight0 != stock.body_invweight0).any()  # mj_setConst ran


def test_what_is_added_is_added_to_driven_joints_alone():
    batch = declared("Hopper-v5", {"friction_loss": {"add": 0.5}}).make(1)
    batch.reset(0)
    assert batch._physics.get_model(0).dof_frictionloss.tolist() == [0, 0, 0, 0.5, 0.5, 0.5]


@pytest.mark.parametrize("frames", [2, 4, 9])
def test_a_control_rate_leaves_speed_in_metres_a_second(frames):
    task = declared("HalfCheetah-v5", {"control_rate": {"frames": frames}})
    batch, actions = task.make(1), random_actions(task, 20, 1)
    batch.reset(0)
    x = batch._position.copy()
    for action in actions:
        _, rewards, _, _ = batch.step(action)
        speed = (batch._position - x) / (frames * 0.01)
        x = batch._position.copy()
        cost = 0.1 * np.square(action).sum()
        np.testing.assert_allclose(rewards, speed - cost, rtol=1e-6)


@pytest.mark.parametrize("task_id", ["Pendulum-v1", "Hopper-v5", "MountainCar-v0"])
@pytest.mark.parametrize("steps", [1, 3])
def test_a_delayed_action_reaches_the_plant_so_many_steps_later(task_id, steps):
    task = declared(task_id, {"action_delay": {"steps": steps}})
    actions = random_actions(task, 20, 2)
    # Until then the plant rests; actions without a zero are held from the first on.
    early = actions[:1] if task.discrete else np.zeros_like(actions[:1])
    late = np.concatenate([*[early] * steps, actions[:-steps]])
    ours = episode(task.make(2), [1, 2], actions)
    assert_same(ours, episode(task.nominal().make(2), [1, 2], late))


def test_sensors_err_and_rewards_do_not():
    vary = {"sensor_noise": {"deviation": [0.1, 0.0, 0.0]}, "sensor_bias": {"deviation": 0.2}}
    task = declared("Pendulum-v1", vary)
    actions = random_actions(task, 50, 2)
    observed, *rest = episode(task.make(2), [1, 2], actions)
    truth, *stock = episode(task.nominal().make(2), [1, 2], actions)
    assert_same(rest, stock)
    errors = observed - truth
    assert observed.dtype == truth.dtype
    assert np.ptp(errors[..., 0], axis=0).min() > 0.1  # noise on a bias
    assert np.ptp(errors[..., 1:], axis=0).max() < 1e-6  # a bias alone
    assert np.abs(errors[0]).min() > 1e-4


def test_an_ended_member_is_frozen_behind_its_sensors():
    batch = declared("CartPole-v1", SIGNALS).make(2)
    batch.reset([0, 1])
    log = [batch.step(np.array([1, step % 2])) for step in range(40)]
    end = next(step for step, (_, _, terminated, _) in enumerate(log) if terminated[0])
    for observations, rewards, terminated, _ in log[end + 1 :]:
        assert (observations[0] == log[end][0][0]).all() and rewards[0] == 0 and terminated[0]


def test_physics_is_overridden_in_the_batch_alone():
    task = declared("Hopper-v5", {}, physics={"integrator": "Euler", "iterations": 20})
    batch = task.make(1)
    assert (batch.model.opt.integrator, batch.model.opt.iterations) == (0, 20)
    assert task.varied().make(1).model.opt.integrator == 1
    assert task.make_single().unwrapped.model.opt.integrator == 1


def test_choices_of_physics_are_mujocos():
    import mujoco

    for name, prefix, enumeration in (
        ("integrator", "mjINT_", mujoco.mjtIntegrator),
        ("solver", "mjSOL_", mujoco.mjtSolver),
        ("cone", "mjCONE_", mujoco.mjtCone),
        ("jacobian", "mjJAC_", mujoco.mjtJacobian),
    ):
        for place, choice in enumerate(Physics.CHOICES[name]):
            assert getattr(enumeration, prefix + choice.upper()) == place


def test_quantities_that_vary_are_fields_that_mujoco_expands():
    from mujoco.batch import MODEL_FIELDS

    from ecedge.tasks.mujoco.fields import NAMES, SCALARS, VECTORS

    assert {*SCALARS, *VECTORS} <= MODEL_FIELDS
    assert {field for fields in NAMES.values() for field in fields} <= {*SCALARS, *VECTORS}


# --- the task and its declaration ---------------------------------------------------------------


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_outlives_its_file(path):
    task = find_task(str(path))
    assert find_task(task.declaration) == task
    assert find_task(task.declaration).declaration == task.declaration
    assert task.nominal() == find_task(task.id) and task.nominal().declaration == ""
    assert (task.varied().variation, task.varied().physics) == (task.variation, None)
    batch = task.make(2)
    batch.reset([0, 1])
    assert np.isfinite(batch.step(random_actions(task, 1, 2)[0])[0]).all()


def test_there_are_examples():
    assert len(EXAMPLES) >= 3


def test_step_reward_is_told_and_not_applied():
    task = declared("CartPole-v1", {}, fitness={"step_reward": -1})
    batch = task.make(2)
    batch.reset(0)
    assert (task.step_reward, batch.step(np.array([0, 1]))[1].tolist()) == (-1.0, [1.0, 1.0])
    assert task.varied().step_reward == task.nominal().step_reward == 0


def test_a_file_that_only_names_a_task_is_the_stock_task(tmp_path):
    task = find_task(written(tmp_path, '\ufeffid = "CartPole-v1"\n[vary]\n'))
    assert task == find_task("CartPole-v1") and task.declaration == ""


def test_a_task_declared_in_python_is_the_one_of_the_file(tmp_path):
    text = 'id = "Hopper-v5"\n[vary]\nmass = { scale = [0.5, 2] }\naction_delay = { steps = 1 }\n'
    variation = Variation((Change("mass", "scale", 0.5, 2.0),), action_delay=(1, 1))
    ours = replace(find_task("Hopper-v5"), variation=variation)
    assert ours == find_task(written(tmp_path, text)) == find_task(ours.declaration)


# --- native plants ------------------------------------------------------------------------------


def in_gymnasium(task, seed: int, actions, **attributes):
    """What `episode` gives of one member, by gymnasium's own plant with other attributes."""
    environment = task.make_single()
    for name, value in attributes.items():
        assert hasattr(environment.unwrapped, name)
        setattr(environment.unwrapped, name, value)
    first, _ = environment.reset(seed=seed)
    seen = [environment.step(action[0])[:3] for action in actions]
    observations, rewards, terminated = zip(*seen, strict=True)
    return np.stack([first, *observations])[:, None], np.array(rewards), np.array(terminated)


def test_a_changed_cart_pole_is_gymnasium_s_with_those_attributes():
    scales = {"pole_length": 0.5, "pole_mass": 3.0, "gain": 1.5}
    task = declared("CartPole-v1", {name: {"scale": scale} for name, scale in scales.items()})
    actions = np.tile([[1], [0]], (6, 1))
    length, mass = 0.25, 0.1 * 3.0
    theirs = in_gymnasium(
        task, 5, actions, length=length, masspole=mass, total_mass=mass + 1.0,
        polemass_length=mass * length, force_mag=15.0,
    )  # fmt: skip
    assert_same(episode(task.make(1), [5], actions)[:1], theirs[:1])


def test_a_changed_pendulum_is_gymnasium_s_with_those_attributes():
    task = declared("Pendulum-v1", {"length": {"scale": 0.8}, "mass": {"scale": 1.5}})
    actions = random_actions(task, 30, 1)
    theirs = in_gymnasium(task, 5, actions, l=0.8, m=1.5)
    np.testing.assert_allclose(episode(task.make(1), [5], actions)[0], theirs[0], atol=1e-4)


def test_a_pendulum_s_gain_is_a_torque_so_much_larger():
    weak = declared("Pendulum-v1", {"gain": {"scale": 0.5}})
    actions = random_actions(weak, 30, 1)
    halved = episode(find_task("Pendulum-v1").make(1), [5], 0.5 * actions)
    assert_same(episode(weak.make(1), [5], actions)[:1], halved[:1])


@pytest.mark.parametrize("task_id", ["CartPole-v1", "Pendulum-v1"])
def test_a_factor_of_one_is_the_stock_plant_to_the_bit(task_id):
    stock = find_task(task_id)
    same = declared(task_id, {name: {"scale": 1.0} for name in stock.batch.varying})
    actions = random_actions(stock, 20, 3)
    assert_same(
        episode(same.make(3), [1, 2, 1], actions), episode(stock.make(3), [1, 2, 1], actions)
    )


def test_one_plant_to_show_to_a_device_is_the_batch_s(tmp_path):
    task = declared("CartPole-v1", VARIED["CartPole-v1"])
    actions = random_actions(task, 20, 1)
    observations, rewards, terminated = episode(task.make(1), [3], actions)
    plant = task.make_varied()
    assert plant.reset(seed=3)[0].tolist() == observations[0, 0].tolist()
    for step, (action,) in enumerate(actions):
        seen, reward, ended, _, _ = plant.step(action)
        told = observations[step + 1, 0].tolist(), rewards[step, 0], terminated[step, 0]
        assert (seen.tolist(), reward, ended) == told


# --- mistakes -----------------------------------------------------------------------------------

HOPPER, CART = 'id = "Hopper-v5"\n', 'id = "CartPole-v1"\n'
BAD = {
    "a syntax error": (HOPPER + "[vary\n", r"is not TOML: .*at line 2"),
    "no id": ("[vary]\n", r"The key id is missing; it is a gymnasium id in quotes"),
    "an id that is none": ("id = 3", r"id is 3; it is a gymnasium id"),
    "an unknown task": ('id = "Hoper-v5"', r"There is no task Hoper-v5\. Did you mean Hopper-v5"),
    "an unknown table": (CART + "[vray]", r"unknown key 'vray'\. Did you mean vary\?"),
    "a table that is none": (CART + "vary = 1", r"vary is 1; it is a table"),
    "a typo of a signal": (
        CART + "[vary]\nsensor_nose = { add = 1 }",
        r"vary\.sensor_nose cannot vary: .*Did you mean sensor_noise\?",
    ),
    "a typo of a field": (
        HOPPER + "[vary]\nbody_mas = { scale = [1, 2] }",
        r"vary\.body_mas is no quantity that can vary\. Did you mean body_mass\?",
    ),
    "a field that is no quantity": (
        HOPPER + "[vary]\nbody_parentid = { scale = [1, 2] }",
        r"vary\.body_parentid is no quantity",
    ),
    "a model field without a model": (
        CART + "[vary]\nmass = { scale = [1, 2] }",
        r"vary\.mass cannot vary: CartPole-v1 has no such quantity",
    ),
    "an old version": (
        'id = "Hopper-v4"\n[vary]\ncontrol_rate = { frames = 2 }',
        r"vary\.control_rate is given, but Hopper-v4 does not run",
    ),
    "physics without a model": (CART + "[physics]\niterations = 3", r"physics is given, but"),
    "a range the wrong way round": (
        HOPPER + "[vary]\nmass = { scale = [1.2, 0.8] }",
        r"vary\.mass\.scale is \[1\.2, 0\.8\]; in \[low, high\], low is not above high",
    ),
    "a negative mass": (
        HOPPER + "[vary]\nmass = { scale = [-1, 1] }",
        r"vary\.mass\.scale is -1; it is a number from 0\.001 to 1000",
    ),
    "a pole that is added to": (
        CART + "[vary]\npole_length = { add = [0, 1] }",
        r"vary\.pole_length\.add is given; it can only be scaled",
    ),
    "a mass that is added to": (
        HOPPER + "[vary]\nbody_mass = { add = [-1, 1] }",
        r"vary\.body_mass\.add is given; it can only be scaled",
    ),
    "a damping below zero": (
        HOPPER + "[vary]\ndamping = { add = [-2, 0] }",
        r"vary\.damping\.add is \[-2\.0, 0\.0\]; it is at least -1, or dof_damping would be neg",
    ),
    "a factor of nothing": (
        HOPPER + "[vary]\nfriction_loss = { scale = 2 }",
        r"Hopper-v5 has none of it, so a factor changes nothing\. Give vary\.friction_loss\.add",
    ),
    "one field twice": (
        HOPPER + "[vary]\nmass = { scale = 2 }\nbody_mass = { scale = 2 }",
        r"vary\.body_mass and vary\.mass both change body_mass",
    ),
    "both ways": (
        HOPPER + "[vary]\ndamping = { scale = 2, add = 1 }",
        r"vary\.damping is .*; it takes one of scale and add",
    ),
    "a bad per": (
        HOPPER + '[vary]\nmass = { scale = 2, per = "body" }',
        r"vary\.mass\.per is 'body'; it is one of model, element",
    ),
    "gravity for each": (
        HOPPER + '[vary]\ngravity = { scale = 2, per = "element" }',
        r"vary\.gravity\.per is \"element\"; there is one for the whole model",
    ),
    "a text for a number": (
        CART + '[vary]\nsensor_noise = { deviation = "1" }',
        r"vary\.sensor_noise\.deviation is '1'; it is a number from 0",
    ),
    "truth for a number": (
        CART + "[vary]\nsensor_noise = { deviation = true }",
        r"deviation is True; it is a number",
    ),
    "nan": (CART + "[vary]\nsensor_noise = { deviation = nan }", r"deviation is nan; it is a num"),
    "too few sensors": (
        CART + "[vary]\nsensor_bias = { deviation = [1, 2] }",
        r"vary\.sensor_bias\.deviation has 2 numbers; CartPole-v1 has 4 observations",
    ),
    "no sensors": (CART + "[vary]\nsensor_bias = { deviation = [] }", r"deviation is \[\]"),
    "half a step": (
        CART + "[vary]\naction_delay = { steps = 0.5 }",
        r"vary\.action_delay\.steps is 0\.5; it is a whole number from 0 to 100",
    ),
    "three ends": (
        CART + "[vary]\naction_delay = { steps = [1, 2, 3] }",
        r"steps is \[1, 2, 3\]; it is \[low, high\], or one number for both",
    ),
    "an empty table": (CART + "[vary]\naction_delay = {}", r"vary\.action_delay lacks the key st"),
    "no frames": (
        HOPPER + "[vary]\ncontrol_rate = { frames = 0 }",
        r"vary\.control_rate\.frames is 0; it is a whole number from 1 to 100",
    ),
    "a bad integrator": (
        HOPPER + '[physics]\nintegrator = "euler"',
        r"physics\.integrator is 'euler'; it is one of Euler, RK4",
    ),
    "a timestep": (
        HOPPER + "[physics]\ntimestep = 0.01",
        r"physics has the unknown key 'timestep'",
    ),
    "a bad step reward": (
        CART + "[fitness]\nstep_reward = inf",
        r"fitness\.step_reward is inf; it is a number from",
    ),
    "a key of two lines": (CART + '[vary]\n"a\\nb" = 1', r"vary\.'a\\nb' is 1; it is a table"),
    "an id of two lines": ('id = "a\\nb"', r"id is 'a\\nb'; it is a gymnasium id"),
    "a deep file": ("id = " + "[" * 5000, r"nests too deep|is not TOML"),
    "a long number": ("id = 1" + "0" * 5000, r"is not TOML|id is"),
    "a long hexadecimal": ("id = 0x1" + "0" * 5000, r"id is something very long"),
}


@pytest.mark.parametrize("text, complaint", BAD.values(), ids=BAD)
def test_a_bad_file_says_what_is_wrong_and_what_is_allowed(tmp_path, text, complaint):
    with pytest.raises(TaskError, match=complaint) as error:
        find_task(written(tmp_path, text))
    assert error.value.message.startswith(f"{tmp_path / 'own.toml'}")
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_read_says_why(tmp_path):
    with pytest.raises(TaskError, match=r"There is no task file .*gone\.toml"):
        find_task(str(tmp_path / "gone.toml"))
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(TaskError, match=r"folder\.toml cannot be read: Is a directory"):
        find_task(str(tmp_path / "folder.toml"))
    (tmp_path / "latin.toml").write_bytes(b'id = "\xe4"')
    with pytest.raises(TaskError, match=r"latin\.toml is not UTF-8: byte 6 is 0xe4"):
        find_task(str(tmp_path / "latin.toml"))
    with pytest.raises(TaskError, match="cannot be read"):
        find_task("\0.toml")
    with pytest.raises(TaskError, match="The task is not JSON"):
        find_task("{")


@pytest.mark.parametrize("wrong", [{"sensor_noise": (-1.0,)}, {"action_delay": (2, 1)}])
def test_a_variation_made_in_python_is_validated_too(wrong):
    with pytest.raises(TaskError, match=r"vary\."):
        Variation(**wrong)
    with pytest.raises(TaskError, match=r"vary\.mass"):
        Change("mass", "times", 1.0, 2.0)


@pytest.mark.parametrize(
    "task_id, wrong, complaint",
    [
        ("CartPole-v1", Variation((Change("mass", "scale", 2.0, 2.0),)), r"vary\.mass cannot vary"),
        ("CartPole-v1", Variation(sensor_noise=(1.0, 2.0)), "deviation has 2 numbers"),
        ("Hopper-v5", Variation((Change("mas", "scale", 2.0, 2.0),)), r"vary\.mas is no quantity"),
    ],
)
def test_a_task_varied_in_python_never_runs_as_if_it_did_not(task_id, wrong, complaint):
    task = replace(find_task(task_id), variation=wrong)
    with pytest.raises(TaskError, match=complaint):
        task.make(1)


def test_physics_given_in_python_never_are_without_effect():
    task = replace(find_task("CartPole-v1"), physics=Physics(integrator="RK4"))
    with pytest.raises(TaskError, match="physics is given, but"):
        task.make(1)


# Half of the words are right, so that many a table gets far.
words = st.sampled_from(
    ["id", "vary", "physics", "fitness", "step_reward", "integrator", "tolerance", "iterations",
     "Euler", "scale", "add", "per", "element", "deviation", "steps", "frames", *MODEL, *SIGNALS]
) | st.text(max_size=5)  # fmt: skip
numbers = st.integers() | st.floats() | st.integers(-2, 5) | st.sampled_from([0.5, 1.5])
values = st.recursive(
    numbers | words | st.booleans() | st.none() | st.lists(numbers, max_size=3),
    lambda inner: st.dictionaries(words, inner, max_size=3) | st.lists(inner, max_size=3),
    max_leaves=6,
)
entries = st.dictionaries(
    st.sampled_from(["scale", "add", "per", "deviation", "steps", "frames"]), values, max_size=2
)
ids = st.sampled_from(["CartPole-v1", "Pendulum-v1", "Hopper-v5", "Hopper", "x"]) | values
tables = st.fixed_dictionaries(
    {},
    optional={
        "id": ids,
        "vary": st.dictionaries(words, entries, max_size=3) | values,
        "physics": st.dictionaries(st.sampled_from([*Physics.CHOICES, *Physics.NUMBERS]), values),
        "fitness": st.dictionaries(words, values, max_size=1),
    },
)


@settings(max_examples=150, deadline=None)
@given(tables | st.dictionaries(words, values, max_size=3))
def test_any_table_is_a_task_or_an_error_of_ours(facts):
    try:
        task = find_task(json.dumps(facts))
    except EcedgeError as error:
        assert "\n" not in error.message
        return
    assert find_task(task.declaration or task.id) == task


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_file_is_a_task_or_an_error_of_ours(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzz.toml"
    path.write_bytes(content)
    with pytest.raises(TaskError):
        find_task(str(path))


def test_every_prefix_of_an_example_is_a_task_or_an_error_of_ours(tmp_path):
    text = (Path(__file__).parent.parent / "tasks/pendulum.toml").read_text()
    for end in range(len(text)):
        try:
            find_task(written(tmp_path, text[:end]))
        except EcedgeError:
            pass
