"""The plain step along a running mean of the gradients. Host only: float64, rounded to ρ's grid."""

import numpy as np

from ...reference import step_size
from .rounding import moved

DECAY = 0.9


class Momentum:
    def __init__(self, population: int, learning_rate: float):
        self.size = step_size(learning_rate, population)
        self.mean = np.zeros(1)

    def update(self, rho, gradient, seed, generation):
        self.mean = DECAY * self.mean + (1 - DECAY) * gradient
        return moved(rho, self.size * self.mean / 65536)

    def state(self):
        return {"momentum_mean": self.mean}

    def restore(self, state):
        self.mean = state["momentum_mean"]
