"""The plain step along a running mean of the gradients. Host only: float64, rounded to ρ's grid."""

import numpy as np

from .rounding import moved, plain_move

DECAY = 0.9


class Momentum:
    def __init__(self, population: int):
        self.population = population
        self.mean = np.zeros(1)

    def update(self, rho, gradient, rate, seed, generation):
        self.mean = DECAY * self.mean + (1 - DECAY) * gradient
        return moved(rho, plain_move(self.mean, rate, self.population))

    def state(self):
        return {"momentum_mean": self.mean}

    def restore(self, state):
        self.mean = state["momentum_mean"]
