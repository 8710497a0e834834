"""What all batches share: seeds, episode ends, members that leave."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import TaskError
from .task import Task, Transition
from .values import advice
from .variation import Variation


class Plants:
    """A `Batch` made of two methods; only the members still in their episode are advanced."""

    def __init__(self, task: Task, population: int):
        self.population = population
        self._horizon = task.max_episode_steps

    @classmethod
    def check(cls, task: Task) -> None:
        """TaskError where the task's variation or physics is not possible with these plants."""
        variation = task.variation or Variation()
        if variation.changes:
            change = variation.changes[0]
            known = [key for key in Variation.SIGNALS if key != "control_rate"]
            raise TaskError(
                f"{change.key} cannot vary: {task.id} does not run on MuJoCo's batches.",
                advice(change.name, known),
            )
        if variation.control_rate or task.physics:
            key = "vary.control_rate" if variation.control_rate else "physics"
            raise TaskError(f"{key} is given, but {task.id} does not run on MuJoCo's batches.")
        cls.check_sensors(task)

    @staticmethod
    def check_sensors(task: Task) -> None:
        for key in ("sensor_noise", "sensor_bias"):
            count = len(getattr(task.variation or Variation(), key))
            if count not in (0, 1, task.n_obs):
                raise TaskError(
                    f"vary.{key}.deviation has {count} numbers; {task.id} has {task.n_obs} "
                    "observations: give one number for each, or one for all."
                )

    def begin(self, seeds: Sequence[int]) -> np.ndarray:
        """Starts every member, of seeds (P,); returns observations (P, n_obs)."""
        raise NotImplementedError

    def advance(
        self, live: slice | np.ndarray, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | bool]:
        """One step of the members `live`, by their actions (L, ...): observations (L, n_obs),
        rewards (L,), terminated (L,) and truncated (L,) by a rule of the plant's own."""
        raise NotImplementedError

    def reset(self, seed: int | Sequence[int]) -> np.ndarray:
        self._observations = self.begin([int(s) for s in np.broadcast_to(seed, self.population)])
        self._terminated = np.zeros(self.population, bool)
        self._truncated = np.zeros(self.population, bool)
        self._live: slice | np.ndarray = slice(None)  # a slice costs no copies
        self._elapsed = 0
        return self._observations.copy()

    def step(self, actions: np.ndarray) -> Transition:
        rewards = np.zeros(self.population)
        live = self._live
        if isinstance(live, slice) or live.size:
            observations, rewards[live], terminated, truncated = self.advance(live, actions[live])
            self._elapsed += 1
            self._observations[live] = observations
            self._terminated[live] = terminated
            self._truncated[live] = truncated | (self._elapsed == self._horizon)
            ended = self._terminated | self._truncated
            if ended.any():
                self._live = np.flatnonzero(~ended)
        return (
            self._observations.copy(),
            rewards,
            self._terminated.copy(),
            self._truncated.copy(),
        )

    def close(self) -> None:
        pass
