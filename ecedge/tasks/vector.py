"""Any other gymnasium id, through gymnasium's vector API."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Collection
from contextlib import contextmanager

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from ..errors import TaskError, TrainingError
from ..model import CONTINUOUS, DISCRETE, LIMITS
from .plants import Plants
from .task import Task

SUPPORTED = "Observations may be Box or Discrete, actions Discrete or a finite Box of floats."


def describe(task_id: str, known: Collection[str] = ()) -> Task:
    """Reads a task's facts off one environment; `known` ids join the suggestions for a typo."""
    environment = make_environment(task_id, known)
    name = task_id if ":" in task_id else environment.spec.id
    observations, actions = environment.observation_space, environment.action_space
    environment.close()
    if isinstance(actions, Discrete):
        kind, n_act, low, high = DISCRETE, int(actions.n), (), ()
    else:
        kind, n_act = CONTINUOUS, actions.shape[0]
        low, high = tuple(map(float, actions.low)), tuple(map(float, actions.high))
    n_obs = observations.shape[0]
    for field, count in (("n_obs", n_obs), ("n_act", n_act)):
        fewest, most = LIMITS[field]
        if not fewest <= count <= most:
            noun = "observations" if field == "n_obs" else "actions"
            raise TaskError(f"{name} has {count} {noun}; a network takes {fewest} to {most}.")
    horizon = environment.spec.max_episode_steps
    return Task(name, n_obs, n_act, kind, low, high, horizon, native=False, batch=VectorBatch)


class VectorBatch(Plants):
    """Plants in gymnasium's synchronous vector environment.

    Only the members still in their episode are stepped: the vector environment's own step would
    also run, or begin anew, those that have ended.
    """

    def __init__(self, task: Task, population: int):
        super().__init__(task, population)
        self._id = task.id
        self._n_obs = task.n_obs
        with quiet():
            self._vector = gymnasium.make_vec(
                task.id,
                population,
                vectorization_mode="sync",
                vector_kwargs={"autoreset_mode": gymnasium.vector.AutoresetMode.DISABLED},
                wrappers=(flatten,),
                max_episode_steps=task.max_episode_steps,
                disable_env_checker=True,
            )
        self._float = np.result_type(self._vector.single_observation_space.dtype, np.float32)

    def begin(self, seeds):
        with blaming(self._id):
            observations, _ = self._vector.reset(seed=seeds)
            return np.array(observations, self._float)

    def advance(self, live, actions):
        members = np.arange(self.population)[live]
        observations = np.empty((len(members), self._n_obs), self._float)
        rewards = np.empty(len(members))
        ends = np.empty((2, len(members)), bool)
        with blaming(self._id):
            for k, member in enumerate(members):
                environment = self._vector.envs[member]
                observations[k], rewards[k], *ends[:, k], _ = environment.step(actions[k])
        return observations, rewards, *ends

    def close(self) -> None:
        self._vector.close()


def make_environment(task_id: str, known: Collection[str] = (), **options) -> gymnasium.Env:
    """One flat stock environment, or TaskError."""
    try:
        with quiet():
            if is_mujoco(task_id):
                silence_mujoco()
            environment = gymnasium.make(task_id, disable_env_checker=True, **options)
    except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
        raise TaskError(
            f"{task_id} cannot be loaded: {sentence(error)}", remedy(task_id)
        ) from error
    except gymnasium.error.UnregisteredEnv as error:
        raise TaskError(f"There is no task {task_id}.", suggestion(task_id, known)) from error
    except gymnasium.error.Error as error:
        raise TaskError(sentence(error), suggestion(task_id, known)) from error
    except Exception as error:  # a task is anybody's code, and its name anybody's text
        raise TaskError(
            f"{task_id} cannot be made: {type(error).__name__}: {sentence(error)}",
            "Make it in Python to see where: gymnasium.make(...)",
        ) from error
    return flatten(environment)


def flatten(environment: gymnasium.Env) -> gymnasium.Env:
    """The environment itself if its spaces are flat, else wrapped so that they are.

    Observations: a vector; Discrete becomes one-hot. Actions: a float vector, or an index from 0.
    """
    name = environment.spec.id
    observations, actions = environment.observation_space, environment.action_space
    if not isinstance(observations, (Box, Discrete)):
        raise TaskError(f"{name} has observations of {observations}.", SUPPORTED)
    if not isinstance(observations, Box) or len(observations.shape) != 1:
        environment = gymnasium.wrappers.FlattenObservation(environment)
    if isinstance(actions, Discrete):
        if actions.start:
            environment = gymnasium.wrappers.TransformAction(
                environment, lambda index: index + actions.start, Discrete(actions.n)
            )
    elif not isinstance(actions, Box) or not np.issubdtype(actions.dtype, np.floating):
        raise TaskError(f"{name} has actions of {actions}.", SUPPORTED)
    elif not np.isfinite(np.float32(actions.high) - np.float32(actions.low)).all():
        raise TaskError(f"{name} has actions without finite bounds: {actions}.", SUPPORTED)
    elif len(actions.shape) != 1:
        flat = Box(actions.low.ravel(), actions.high.ravel(), dtype=actions.dtype)
        environment = gymnasium.wrappers.TransformAction(
            environment, lambda action: np.reshape(action, actions.shape), flat
        )
    return environment


@contextmanager
def blaming(task_id: str):
    """Whatever a task's own code raises is a TrainingError that names the task."""
    try:
        yield
    except Exception as error:
        raise TrainingError(
            f"{task_id} failed: {type(error).__name__}: {sentence(error)}",
            "Repair the task; a run that has a checkpoint can be resumed.",
        ) from error


@contextmanager
def quiet():
    """gymnasium's advice on versions and precision says nothing to who merely runs a task."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def is_mujoco(task_id: str) -> bool:
    name = task_id.rpartition(":")[2]
    versions = (name, *(id for id in gymnasium.registry if id.rpartition("-v")[0] == name))
    specs = map(gymnasium.registry.get, versions)
    return any("mujoco" in str(spec.entry_point) for spec in specs if spec)


def silence_mujoco() -> None:
    """MuJoCo would tell the terminal, and a file in the current folder, of its deprecations."""
    try:
        from mujoco import MjLogConfig
    except ImportError:  # none, or one before 4.0
        return
    config = MjLogConfig.get()
    config.logto_console = config.logto_file = False
    config.set()


def sentence(error: Exception) -> str:
    return f"{error}".rstrip(".") + "."


def remedy(task_id: str) -> str:
    if is_mujoco(task_id):
        return "Install what it needs: pip install 'ecedge[mujoco]'"
    return "Install what it needs, or run where it can be imported."


def suggestion(task_id: str, known: Collection[str]) -> str:
    names = {name.lower(): name for name in (*known, *gymnasium.registry)}
    close = difflib.get_close_matches(task_id.lower(), names, n=3)
    if close:
        return f"Did you mean {' or '.join(names[name] for name in close)}?"
    return "Give an id that gymnasium knows, module:EnvId for one of your own, or a .toml file."
