"""What the MuJoCo plants share: physics, speed forward, the stock environment that starts them."""

from __future__ import annotations

import copy
from contextlib import closing, contextmanager
from types import SimpleNamespace
from typing import ClassVar

import mujoco
import numpy as np
from mujoco.batch import Batch, SimulationError

from ...errors import TrainingError
from ..plants import Plants
from ..task import Task
from ..variation import Variation, stream
from ..vector import make_environment
from .fields import VariedFields, check


class MujocoBatch(Plants):
    """Plants of one model on the caller's thread, free of Python's lock while physics runs.

    A plant reads `fields` of mjData, each with L rows: those of the members it is asked for, and
    `mass`, the bodies' masses (L, n_bodies), or (1, n_bodies) where all are alike. As in the stock
    environments, a field that MuJoCo derives from the state (all but qpos and qvel) is
    one substep old. Everything is computed in gymnasium's order and widths.

    Where the task varies, every member runs on the model, and with the frames in a control step,
    that its episode's seed draws.
    """

    id: ClassVar[str]
    fields: ClassVar[tuple[str, ...]] = ("qpos", "qvel")
    #: whether `contacts`, the forces of contacts on bodies (L, n_bodies, 6), are among them
    feels_contacts: ClassVar[bool] = False

    def __init__(self, task: Task, population: int):
        super().__init__(task, population)
        variation = task.variation or Variation()
        self._stock = make_environment(task.id).unwrapped
        self.model = self._stock.model
        if task.physics:
            self.model = copy.copy(self.model)
            task.physics.apply(self.model.opt)
        # Contact forces are read off whole mjData, which only a persistent batch keeps.
        self._physics = Batch(self.model, population, 1, persistent=self.feels_contacts)
        self._controls = self._physics.bind("ctrl")
        self._fields = {name: self._physics.bind(name) for name in self.fields}
        if self.feels_contacts:
            self._contact_counts = self._physics.bind("ncon")
            self._scratch = mujoco.MjData(self.model)
        self._position = np.zeros(population)
        self._varied = VariedFields(self._physics, variation.changes) if variation.changes else None
        self._rate = variation.control_rate
        self._frames = np.full(population, self._stock.frame_skip)

    @classmethod
    def check(cls, task):
        if task.variation and task.variation.changes:
            with closing(make_environment(task.id)) as stock:
                check(stock.unwrapped.model, task.variation.changes, task.id)
        cls.check_sensors(task)

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
            fields["mass"] = self.model.body_mass[None]
            starts[seed] = observation, state, self.position(SimpleNamespace(**fields))[0]
        if self._rate:
            low, high = self._rate
            rates = {seed: stream(seed, "control_rate").integers(low, high + 1) for seed in starts}
            self._frames[:] = [rates[seed] for seed in seeds]
        self._paces = np.unique(self._frames)
        observations, states, positions = zip(*(starts[seed] for seed in seeds), strict=True)
        self._physics.state[:] = states
        self._position[:] = positions
        if self._varied is None:
            return np.array(observations)
        return self._begin_varied(seeds)

    def _begin_varied(self, seeds) -> np.ndarray:
        """Draws the models; positions and observations (P, n_obs) of the starts are theirs."""
        starts = self._physics.state.copy()
        with blaming(self.id):
            self._varied.draw(seeds)
            self._physics.forward()
        data = self._read(slice(None))
        if self.feels_contacts:  # the stock environments feel none before their first step
            data.contacts = np.zeros((self.population, *self._scratch.cfrc_ext.shape))
        self._physics.state[:] = starts
        self._position[:] = self.position(data)
        return self.observe(data)

    def advance(self, live, actions):
        self._controls[live] = actions
        with blaming(self.id):
            if len(self._paces) == 1:
                ids = None if isinstance(live, slice) else live
                self._physics.step(ids, nstep=int(self._paces[0]))
            else:
                self._step_by_pace(np.arange(self.population)[live])
        data = self._read(live)
        if self.feels_contacts:
            data.contacts = self._contact_forces(np.arange(self.population)[live])
        position = self.position(data)
        periods = self.model.opt.timestep * self._frames[live]
        speed = (position - self._position[live]) / periods
        self._position[live] = position
        rewards, terminated = self.judge(data, speed, actions)
        return self.observe(data), rewards, terminated, False

    def _step_by_pace(self, members: np.ndarray) -> None:
        for frames in self._paces:
            ids = members[self._frames[members] == frames]
            if ids.size:
                self._physics.step(ids, nstep=int(frames))

    def _read(self, live) -> SimpleNamespace:
        data = SimpleNamespace(**{name: field[live] for name, field in self._fields.items()})
        masses = self._varied and self._varied.masses
        data.mass = self.model.body_mass[None] if masses is None else masses[live]
        return data

    def _contact_forces(self, members) -> np.ndarray:
        forces = np.zeros((len(members), *self._scratch.cfrc_ext.shape))
        for k in np.flatnonzero(self._contact_counts[members]):
            self._physics.get_data(members[k], self._scratch)
            mujoco.mj_rnePostConstraint(self.model, self._scratch)
            forces[k] = self._scratch.cfrc_ext
        return forces

    def close(self) -> None:
        self._stock.close()


@contextmanager
def blaming(task_id: str):
    """Whatever MuJoCo refuses is a TrainingError that names the task."""
    try:
        yield
    except SimulationError as error:
        raise TrainingError(
            f"{task_id} failed: {error}.",
            "The checkpoint of the last generation is safe; the model may be too stiff.",
        ) from error


def rows(*parts: np.ndarray) -> np.ndarray:
    """Parts (L, ...) flattened and laid side by side: (L, n_obs)."""
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def squares(values: np.ndarray) -> np.ndarray:
    """The sum of squares of every row, in the values' own width: (L, ...) -> (L,)."""
    return np.square(values).reshape(len(values), -1).sum(axis=1)


def inside(low: float, values: np.ndarray, high: float) -> np.ndarray:
    return (low < values) & (values < high)
