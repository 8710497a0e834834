"""What every task offers, whoever computes its plant."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..model import DISCRETE
from .physics import Physics
from .variation import Variation

if TYPE_CHECKING:
    import gymnasium

    from .plants import Plants
    from .single import Single

#: observations (P, n_obs) float, rewards (P,) float64, terminated (P,) bool, truncated (P,) bool
Transition = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class Batch(Protocol):
    """P copies of one plant that step together, one episode each.

    A member whose episode ended stays frozen: its observation and its flags keep their last values
    and its reward is 0, so that the sum of all rewards is its return. All arrays that come out are
    the caller's to keep.
    """

    population: int

    def reset(self, seed: int | Sequence[int]) -> np.ndarray:
        """Begins an episode of every member; returns observations (P, n_obs) float.

        One seed starts all members alike (common random numbers), P seeds each its own. A seed's
        start is that of ``gymnasium.make(id).reset(seed=seed)``.
        """

    def step(self, actions: np.ndarray) -> Transition:
        """Actions as `ecedge.model.decode_action` gives them: (P, n_act) float32 within the task's
        bounds, or (P,) int64 if they are discrete."""

    def close(self) -> None:
        """Gives up what the plants hold."""


@dataclass(frozen=True)
class Task:
    """A task's facts, in the terms of a policy, and the ways to run it.

    `low` and `high` are the bounds of continuous actions, n_act each; empty if actions are
    DISCRETE. `max_episode_steps` is None where the task has no limit of its own; another horizon is
    ``dataclasses.replace(task, max_episode_steps=300)``. `native`: a NumPy batch, no gymnasium.
    `parallel`: several batches at once, a thread each, are faster than one.

    A declared task also has a `variation` of its plant, which a batch follows, and two things for
    training alone: the `physics` of its batches, and `step_reward`, which a trainer adds to the
    fitness of every step. No batch adds it: rewards are always the task's own.
    """

    id: str
    n_obs: int
    n_act: int
    actions: int
    low: tuple[float, ...]
    high: tuple[float, ...]
    max_episode_steps: int | None
    native: bool
    batch: type[Plants] = field(repr=False, compare=False)
    parallel: bool = False
    variation: Variation | None = None
    physics: Physics | None = None
    step_reward: float = 0.0

    @property
    def discrete(self) -> bool:
        return self.actions == DISCRETE

    @property
    def declaration(self) -> str:
        """JSON text that `find_task` makes this very task of; "" for a stock task, whose id does.
        A replaced horizon is not in it."""
        facts = {
            "vary": self.variation and self.variation.to_dict(),
            "physics": self.physics and self.physics.to_dict(),
            "fitness": {"step_reward": self.step_reward} if self.step_reward else None,
        }
        given = {key: value for key, value in facts.items() if value}
        return json.dumps({"id": self.id, **given}) if given else ""

    def nominal(self) -> Task:
        """The stock task: what evaluations and reported returns are of."""
        return replace(self, variation=None, physics=None, step_reward=0.0)

    def varied(self) -> Task:
        """The stock task with its plant varied, to tell how robust a policy is."""
        return replace(self, physics=None, step_reward=0.0)

    def make(self, population: int) -> Batch:
        """A batch of `population` members, to be reset before its first step. TaskError: its plants
        cannot vary so; `find_task` would have told."""
        if self.variation or self.physics:
            self.batch.check(self)
        plants = self.batch(self, population)
        if self.variation is None or not self.variation.disturbs:
            return plants
        from .disturbed import Disturbed

        return Disturbed(self, plants)

    def make_single(self, **options) -> gymnasium.Env:
        """One stock gymnasium environment, to evaluate on and to show to a device: `nominal`.

        Its observations are flat and its actions are what `decode_action` gives. `options` go to
        ``gymnasium.make``, for example ``render_mode="rgb_array"``.
        """
        from .vector import make_environment

        return make_environment(self.id, max_episode_steps=self.max_episode_steps, **options)

    def make_varied(self) -> Single:
        """One plant that varies as it is declared, to show to a device that is to live with it."""
        from .single import Single

        return Single(self.varied())
