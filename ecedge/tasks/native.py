"""What all NumPy plants share: seeds, episode ends, frozen members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from .task import Task, Transition


class NativeBatch:
    """A `Batch` whose plant is three functions of a state (n_state, P), of the plant's own floats.

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
    def advance(state, actions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The next state (n_state, P), rewards (P,) float64, terminated (P,) bool."""
        raise NotImplementedError

    @staticmethod
    def observe(state) -> np.ndarray:
        """Observations (P, n_obs) float32."""
        raise NotImplementedError

    @classmethod
    def task(cls) -> Task:
        facts = cls.n_obs, cls.n_act, cls.actions, cls.low, cls.high, cls.max_episode_steps
        return Task(cls.id, *facts, native=True, batch=cls)

    def __init__(self, task: Task, population: int):
        self.population = population
        self._horizon = task.max_episode_steps

    def reset(self, seed: int | Sequence[int]) -> np.ndarray:
        seeds = np.atleast_1d(seed)
        # gymnasium's environments draw from this very generator.
        starts = [self.start(np.random.default_rng(int(seed))) for seed in seeds]
        every = np.broadcast_to(np.stack(starts, axis=1), (len(starts[0]), self.population))
        self._state = every.copy()
        self._elapsed = 0
        self._terminated = np.zeros(self.population, bool)
        self._truncated = np.zeros(self.population, bool)
        return self.observe(self._state)

    def step(self, actions: np.ndarray) -> Transition:
        state, rewards, terminated = self.advance(self._state, actions)
        self._elapsed += 1
        ended = self._terminated | self._truncated
        if ended.any():
            np.copyto(state, self._state, where=ended)
            rewards[ended] = 0.0
            terminated &= ~ended
        self._state = state
        self._terminated |= terminated
        if self._horizon is not None and self._elapsed >= self._horizon:
            self._truncated |= ~ended
        return self.observe(state), rewards, self._terminated.copy(), self._truncated.copy()

    def close(self) -> None:
        pass
