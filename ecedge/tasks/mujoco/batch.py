"""What the MuJoCo plants share: physics, speed forward, the stock environment that starts them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import ClassVar

import mujoco
import numpy as np
from mujoco.batch import Batch, SimulationError

from ...errors import TrainingError
from ..plants import Plants
from ..task import Task
from ..vector import make_environment


class MujocoBatch(Plants):
    """Plants of one model on the caller's thread, free of Python's lock while physics runs.

    A plant reads `fields` of mjData, each with L rows: those of the members it is asked for. As in
    the stock environments, a field that MuJoCo derives from the state (all but qpos and qvel) is
    one substep old. Everything is computed in gymnasium's order and widths.
    """

    id: ClassVar[str]
    fields: ClassVar[tuple[str, ...]] = ("qpos", "qvel")
    #: whether `contacts`, the forces of contacts on bodies (L, n_bodies, 6), are among them
    feels_contacts: ClassVar[bool] = False

    def __init__(self, task: Task, population: int):
        super().__init__(task, population)
        self._stock = make_environment(task.id).unwrapped
        self.model = self._stock.model
        self._frames, self._dt = self._stock.frame_skip, self._stock.dt
        # Contact forces are read off whole mjData, which only a persistent batch keeps.
        self._physics = Batch(self.model, population, 1, persistent=self.feels_contacts)
        self._controls = self._physics.bind("ctrl")
        self._fields = {name: self._physics.bind(name) for name in self.fields}
        if self.feels_contacts:
            self._contact_counts = self._physics.bind("ncon")
            self._scratch = mujoco.MjData(self.model)
        self._position = np.zeros(population)

    def observe(self, data: SimpleNamespace) -> np.ndarray:
        """Observations (L, n_obs) float64."""
        raise NotImplementedError

    def judge(
        self, data: SimpleNamespace, speed: np.ndarray, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | bool]:
        """Rewards (L,) and terminated (L,) of a step; speed (L,) forward, in m/s."""
        raise NotImplementedError

    def position(self, data: SimpleNamespace) -> np.ndarray:
        """Where the plant is (L,), along the way it should go, in m."""
        return data.qpos[:, 0]

    def begin(self, seeds):
        # The stock environment draws and settles its starts; their whole state is copied.
        starts = {}
        for seed in set(seeds):
            observation, _ = self._stock.reset(seed=seed)
            data = self._stock.data
            state = np.empty(self._physics.nstate)
            mujoco.mj_getState(self.model, data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
            fields = {name: getattr(data, name)[None] for name in self.fields}
            starts[seed] = observation, state, self.position(SimpleNamespace(**fields))[0]
        observations, states, positions = zip(*(starts[seed] for seed in seeds), strict=True)
        self._physics.state[:] = states
        self._position[:] = positions
        return np.array(observations)

    def advance(self, live, actions):
        self._controls[live] = actions
        try:
            self._physics.step(None if isinstance(live, slice) else live, nstep=self._frames)
        except SimulationError as error:
            raise TrainingError(
                f"{self.id} failed: {error}.",
                "The checkpoint of the last generation is safe; the model may be too stiff.",
            ) from error
        data = SimpleNamespace(**{name: field[live] for name, field in self._fields.items()})
        if self.feels_contacts:
            data.contacts = self._contact_forces(np.arange(self.population)[live])
        position = self.position(data)
        speed = (position - self._position[live]) / self._dt
        self._position[live] = position
        rewards, terminated = self.judge(data, speed, actions)
        return self.observe(data), rewards, terminated, False

    def _contact_forces(self, members) -> np.ndarray:
        forces = np.zeros((len(members), *self._scratch.cfrc_ext.shape))
        for k in np.flatnonzero(self._contact_counts[members]):
            self._physics.get_data(members[k], self._scratch)
            mujoco.mj_rnePostConstraint(self.model, self._scratch)
            forces[k] = self._scratch.cfrc_ext
        return forces

    def close(self) -> None:
        self._stock.close()


def rows(*parts: np.ndarray) -> np.ndarray:
    """Parts (L, ...) flattened and laid side by side: (L, n_obs)."""
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def squares(values: np.ndarray) -> np.ndarray:
    """The sum of squares of every row, in the values' own width: (L, ...) -> (L,)."""
    return np.square(values).reshape(len(values), -1).sum(axis=1)


def inside(low: float, values: np.ndarray, high: float) -> np.ndarray:
    return (low < values) & (values < high)
