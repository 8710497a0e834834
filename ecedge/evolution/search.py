"""Ask and tell: docs/MODEL.md sections 4 and 5 around a batch of networks."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ..errors import TrainingError, UsageError
from ..reference import centered_ranks, deterministic_synapses, step_size
from .steps import STEPS

MOST_HALVINGS = 8  # of the learning rate
RHO_TYPES = {16: np.uint16, 8: np.uint8}


class Networks(Protocol):
    """What the search needs of a population: `ecedge.engine.Batch`, or whatever draws alike."""

    def sample(self, rho, seed: int, generation: int) -> None: ...

    def gradient(self, ranks) -> np.ndarray: ...


class Evolution:
    """The probabilities of one-bit synapses and the generation they are at.

    rho: (n_synapses,) uint16 or uint8, read-only. Everything follows from `seed` and the fitness
    told: not from threads, kernels or the order in which members were run. The learning rate
    halves every `half_life` generations, MOST_HALVINGS times at most; None: never.
    """

    def __init__(
        self,
        n_synapses: int,
        population: int = 256,
        learning_rate: float = 0.1,
        seed: int = 0,
        rho_bits: int = 16,
        step: str = "plain",
        half_life: int | None = None,
    ):
        if not 2 <= population <= 16000:
            raise UsageError(f"A population has 2 to 16000 members, not {population}.")
        if not 0 < learning_rate < 1:
            raise UsageError(f"The learning rate is {learning_rate}; it lies between 0 and 1.")
        if rho_bits not in RHO_TYPES:
            raise UsageError(f"rho has 16 or 8 bits, not {rho_bits}.")
        if not 0 <= seed < 1 << 32:
            raise UsageError(f"A seed is a number from 0 to {(1 << 32) - 1}, not {seed}.")
        if step not in STEPS:
            raise UsageError(f"There is no step {step!r}; there are {', '.join(STEPS)}.")
        if rho_bits == 8 and step != "plain":
            raise UsageError("8-bit probabilities move by the plain step only.", "Use 16 bits.")
        if half_life is not None and half_life < 1:
            raise UsageError(f"The half-life is {half_life} generations; it is at least 1.")
        least = learning_rate * 0.5 ** (MOST_HALVINGS if half_life else 0)
        for rate in (learning_rate, least):
            step_size(rate, population)  # refuses one that devices cannot take
        self.population = population
        self.seed = seed
        self.generation = 0
        self.step = STEPS[step](population)
        self._learning_rate = learning_rate
        self._half_life = half_life
        self.rho = np.full(n_synapses, 1 << (rho_bits - 1), RHO_TYPES[rho_bits])

    @property
    def rate(self) -> float:
        """This generation's learning rate."""
        if self._half_life is None:
            return self._learning_rate
        return self._learning_rate * 0.5 ** min(self.generation / self._half_life, MOST_HALVINGS)

    def ask(self, networks: Networks) -> None:
        """Lets every member of `networks` draw its synapses for this generation."""
        networks.sample(self.rho, self.seed, self.generation)

    def tell(self, networks: Networks, fitness) -> None:
        """Moves ρ by the members' fitness (P,), larger is better, and goes to the next generation.

        Raises TrainingError, and stays where it was, if a fitness is not a number.
        """
        fitness = np.asarray(fitness)
        if np.isnan(fitness).any():
            raise TrainingError("A member's fitness is not a number.", "Check the task's rewards.")
        gradient = networks.gradient(self.weigh(fitness))
        self.rho = self.step.update(self.rho, gradient, self.rate, self.seed, self.generation)
        self.rho.setflags(write=False)
        self.generation += 1

    def weigh(self, fitness) -> np.ndarray:
        """What every member counts: (P,) int32 that sum to 0."""
        return centered_ranks(fitness)

    def deterministic(self) -> np.ndarray:
        """The most probable synapses: (n_words,) uint32."""
        return deterministic_synapses(self.rho)

    @property
    def certainty(self) -> float:
        """The mean of \\|2 rho - 1\\|: 0 when every synapse is a coin, 1 when all are settled."""
        half = 1 << (8 * self.rho.itemsize - 1)
        return float(np.abs(self.rho.astype(np.float64) - half).mean() / half)

    def state(self) -> dict[str, np.ndarray]:
        """Everything that `restore` needs to go on to the same bits."""
        return {"rho": self.rho, "generation": np.array(self.generation), **self.step.state()}

    def restore(self, state) -> None:
        if state["rho"].shape != self.rho.shape or state["rho"].dtype != self.rho.dtype:
            raise UsageError("The saved search is of another network.")
        self.rho = state["rho"]
        self.generation = int(state["generation"])
        self.step.restore(state)
