"""Evolution strategies on real numbers (Salimans et al., 2017), as the paper trains EC's rivals:
mirrored Gaussian noise, centred ranks, Adam with decoupled weight decay."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ..engine import combine
from ..errors import TrainingError, UsageError
from ..reference import centered_ranks

WEIGHT_DECAY = 0.1  # of a parameter in units of the rate, the paper's
MEAN_DECAY, SQUARE_DECAY, EPSILON = 0.9, 0.999, 1e-8


class Networks(Protocol):
    population: int

    def draw(self, mean: np.ndarray, sigma: float, noise: np.ndarray) -> None:
        """Member k gets the weights of mean ± sigma · noise[k // 2], + if k is even."""

    def map(self, function, items) -> list:
        """function of each item, on the networks' threads."""


class Strategies:
    """The mean (n,) float32 of all members' parameters, and the generation it is at.

    Parameters are in units of their own size, so that one `sigma` and one `rate` serve them all.
    Everything follows from `seed` and the fitness told: the noise of a pair of members from (seed,
    generation, pair), by NumPy's Philox.
    """

    def __init__(self, start: np.ndarray, population: int, sigma: float, rate: float, seed: int):
        if not 2 <= population <= 16000:
            raise UsageError(f"A population has 2 to 16000 members, not {population}.")
        if not 0 < sigma < 10:
            raise UsageError(f"es_sigma is {sigma}; it lies between 0 and 10.")
        if not 0 < rate < 10:
            raise UsageError(f"es_rate is {rate}; it lies between 0 and 10.")
        self.mean = np.array(start, np.float32)
        self.population = population
        self.sigma = sigma
        self.rate = rate
        self.seed = seed
        self.generation = 0
        self._first = np.zeros(len(start))  # Adam's moments
        self._second = np.zeros(len(start))
        self._noise = np.zeros((0, len(start)), np.float32)

    def ask(self, networks: Networks) -> None:
        """Lets every member of `networks` draw its weights for this generation."""
        if not len(self._noise):
            self._noise = np.empty(((self.population + 1) // 2, len(self.mean)), np.float32)
        networks.map(self._fill, range(len(self._noise)))
        networks.draw(self.mean, self.sigma, self._noise)

    def _fill(self, pair: int) -> None:
        random = np.random.Philox(key=self.seed, counter=[0, 0, pair, self.generation])
        np.random.Generator(random).standard_normal(dtype=np.float32, out=self._noise[pair])

    def tell(self, networks: Networks, fitness) -> None:
        """Moves the mean by the members' fitness (P,), larger is better.

        Raises TrainingError, and stays where it was, if a fitness is not a number.
        """
        fitness = np.asarray(fitness)
        if np.isnan(fitness).any():
            raise TrainingError("A member's fitness is not a number.", "Check the task's rewards.")
        ranks = centered_ranks(fitness) / (2.0 * (self.population - 1))
        ranks[1::2] *= -1
        pairs = np.add.reduceat(ranks, np.arange(0, self.population, 2))
        gradient = combine(self._noise, pairs / (self.population * self.sigma))
        self.generation += 1
        self._first = MEAN_DECAY * self._first + (1 - MEAN_DECAY) * gradient
        self._second = SQUARE_DECAY * self._second + (1 - SQUARE_DECAY) * gradient**2
        first = self._first / (1 - MEAN_DECAY**self.generation)
        second = self._second / (1 - SQUARE_DECAY**self.generation)
        step = first / (np.sqrt(second) + EPSILON) - WEIGHT_DECAY * self.mean
        self.mean = (self.mean + self.rate * step).astype(np.float32)

    def deterministic(self) -> np.ndarray:
        """The mean: (n,) float32."""
        return self.mean

    @property
    def certainty(self) -> float:
        """How much of a member is mean and not noise, 0 ... 1."""
        size = float(np.mean(np.square(self.mean, dtype=np.float64)))
        return size / (size + self.sigma**2)

    def state(self) -> dict[str, np.ndarray]:
        """Everything that `restore` needs to go on to the same bits."""
        return {
            "es_mean": self.mean,
            "es_first": self._first,
            "es_second": self._second,
            "generation": np.array(self.generation),
        }

    def restore(self, state) -> None:
        if "es_mean" not in state or state["es_mean"].shape != self.mean.shape:
            raise UsageError("The saved search is of another network.")
        self.mean = state["es_mean"]
        self._first, self._second = state["es_first"], state["es_second"]
        self.generation = int(state["generation"])
