"""One plant of a task as it is declared, for a loop of one step after another."""

from __future__ import annotations

import numpy as np

from .task import Task


class Single:
    """A batch of one, with the `reset` and `step` of gymnasium's environments.

    It varies as the task's variation tells, by the episode's seed.
    """

    def __init__(self, task: Task):
        self._plants = task.make(1)

    def reset(self, seed: int) -> tuple[np.ndarray, dict]:
        return self._plants.reset(seed)[0], {}

    def step(self, action) -> tuple[np.ndarray, float, bool, bool, dict]:
        observations, rewards, terminated, truncated = self._plants.step(np.asarray(action)[None])
        return observations[0], float(rewards[0]), bool(terminated[0]), bool(truncated[0]), {}

    def close(self) -> None:
        self._plants.close()
