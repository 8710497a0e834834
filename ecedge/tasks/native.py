"""What all NumPy plants share: a state in one array, gymnasium's own draws."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from ..errors import TaskError
from .plants import Plants
from .task import Task
from .values import advice
from .variation import Variation


class NativeBatch(Plants):
    """A plant of three functions of a state (n_state, L), of the plant's own floats.

    A plant computes in gymnasium's order and widths, so that every member equals the stock
    environment; where that took care, the plant says so.

    varying: what a task's variation may scale; `move` takes the factors, (L,) or 1.0, by name.
    """

    id: ClassVar[str]
    n_obs: ClassVar[int]
    n_act: ClassVar[int]
    actions: ClassVar[int]
    low: ClassVar[tuple[float, ...]] = ()
    high: ClassVar[tuple[float, ...]] = ()
    max_episode_steps: ClassVar[int]
    varying: ClassVar[tuple[str, ...]] = ()

    def __init__(self, task: Task, population: int):
        super().__init__(task, population)
        self._changes = task.variation.changes if task.variation else ()
        self._factors: dict[str, np.ndarray] = {}  # (P,) each

    @staticmethod
    def start(random: np.random.Generator) -> np.ndarray:
        """One member's state (n_state,) at reset."""
        raise NotImplementedError

    @staticmethod
    def move(state, actions, **factors) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The next state (n_state, L), rewards (L,) float64, terminated (L,) bool."""
        raise NotImplementedError

    @staticmethod
    def observe(state) -> np.ndarray:
        """Observations (L, n_obs) float32."""
        raise NotImplementedError

    @classmethod
    def task(cls) -> Task:
        facts = cls.n_obs, cls.n_act, cls.actions, cls.low, cls.high, cls.max_episode_steps
        return Task(cls.id, *facts, native=True, batch=cls)

    @classmethod
    def check(cls, task):
        variation = task.variation or Variation()
        for change in variation.changes:
            if change.name not in cls.varying:
                known = [*(key for key in Variation.SIGNALS if key != "control_rate"), *cls.varying]
                raise TaskError(
                    f"{change.key} cannot vary: {cls.id} has no such quantity.",
                    advice(change.name, known),
                )
            if change.how != "scale":
                raise TaskError(f"{change.key}.{change.how} is given; it can only be scaled.")
        super().check(replace(task, variation=replace(variation, changes=())))

    def begin(self, seeds):
        # gymnasium's environments draw from this very generator.
        starts = {seed: self.start(np.random.default_rng(seed)) for seed in set(seeds)}
        self._state = np.stack([starts[seed] for seed in seeds], axis=1)
        for change in self._changes:
            drawn = {seed: change.draw(seed, 1)[0] for seed in starts}
            self._factors[change.name] = np.array([drawn[seed] for seed in seeds])
        return self.observe(self._state)

    def advance(self, live, actions):
        factors = {name: values[live] for name, values in self._factors.items()}
        state, rewards, terminated = self.move(self._state[:, live], actions, **factors)
        if isinstance(live, slice):
            self._state = state  # the first step may widen or narrow its floats
        else:
            self._state[:, live] = state
        return self.observe(state), rewards, terminated, False
