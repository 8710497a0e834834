"""What all NumPy plants share: a state in one array, gymnasium's own draws."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from .plants import Plants
from .task import Task


class NativeBatch(Plants):
    """A plant of three functions of a state (n_state, L), of the plant's own floats.

    A plant computes in gymnasium's order and widths, so that every member equals the stock
    environment; where that took care, the plant says so.
    """

    id: ClassVar[str]
    n_obs: ClassVar[int]
    n_act: ClassVar[int]
    actions: ClassVar[int]
    low: ClassVar[tuple[float, ...]] = ()
    high: ClassVar[tuple[float, ...]] = ()
    max_episode_steps: ClassVar[int]

    @staticmethod
    def start(random: np.random.Generator) -> np.ndarray:
        """One member's state (n_state,) at reset."""
        raise NotImplementedError

    @staticmethod
    def move(state, actions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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

    def begin(self, seeds):
        # gymnasium's environments draw from this very generator.
        starts = {seed: self.start(np.random.default_rng(seed)) for seed in set(seeds)}
        self._state = np.stack([starts[seed] for seed in seeds], axis=1)
        return self.observe(self._state)

    def advance(self, live, actions):
        state, rewards, terminated = self.move(self._state[:, live], actions)
        if isinstance(live, slice):
            self._state = state  # the first step may widen or narrow its floats
        else:
            self._state[:, live] = state
        return self.observe(state), rewards, terminated, False
