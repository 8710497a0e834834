"""What a run has learned so far, apart from where its episodes are run and how it is stored."""

from __future__ import annotations

import numpy as np

from ..tasks import Task
from .kinds import find_kind
from .normaliser import Moments, Normaliser
from .settings import Settings


class Learner:
    """The search, the normaliser, and the networks of a generation.

    learner.begin()                       # every member draws its weights
    rollout = ...                         # an episode of each of `learner.networks`
    learner.finish(returns, moments)      # what they earned and saw is learned

    All follows from the settings and from what `finish` was told: learners that were told the same
    hold the same bits, on whatever machine.
    """

    def __init__(self, settings: Settings, task: Task, threads: int | None = None):
        self.kind = find_kind(settings.kind)(settings, task)
        self.search = self.kind.search()
        self.normaliser = Normaliser(task.n_obs)
        self.networks = self.kind.networks(settings.population, threads)
        self._frozen = self.kind.freeze(self.normaliser)

    @property
    def generation(self) -> int:
        """Generations that are finished."""
        return self.search.generation

    def begin(self) -> Moments:
        """Draws the members of the next generation; returns where to note what they see."""
        self._frozen = self.kind.freeze(self.normaliser)
        self.networks.set_map(self._frozen)
        self.search.ask(self.networks)
        return Moments(self.networks.population, self.normaliser.mean)

    def finish(self, returns: np.ndarray, moments: Moments) -> None:
        """returns: (P,) float64."""
        self.search.tell(self.networks, returns)
        self.normaliser.add(moments)

    def policy(self):
        """The deterministic policy, with the inputs' scale of the last generation begun."""
        return self.kind.policy(self.search, self._frozen)

    def member(self, number: int):
        """A member of the generation that was begun, as a policy; of one-bit networks alone."""
        return self.kind.member(self.networks, number, self._frozen)

    def state(self) -> dict[str, np.ndarray]:
        """Everything that `restore` needs to go on to the same bits."""
        return {**self.search.state(), **self.normaliser.state()}

    def restore(self, state) -> None:
        self.search.restore(state)
        self.normaliser.restore(state)
        self._frozen = self.kind.freeze(self.normaliser)
