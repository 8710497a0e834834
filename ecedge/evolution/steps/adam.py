"""Adam (Kingma and Ba, 2015). Host only: float64, rounded to ρ's grid. The learning rate is the
largest change of a probability in a generation, so it wants a tenth of the plain step's."""

import numpy as np

from .rounding import moved

MEAN_DECAY, SQUARE_DECAY, EPSILON = 0.9, 0.999, 1e-8


class Adam:
    def __init__(self, population: int):
        self.mean = self.square = np.zeros(1)
        self.count = 0

    def update(self, rho, gradient, rate, seed, generation):
        gradient = gradient.astype(np.float64)
        self.count += 1
        self.mean = MEAN_DECAY * self.mean + (1 - MEAN_DECAY) * gradient
        self.square = SQUARE_DECAY * self.square + (1 - SQUARE_DECAY) * gradient * gradient
        mean = self.mean / (1 - MEAN_DECAY**self.count)
        square = self.square / (1 - SQUARE_DECAY**self.count)
        return moved(rho, 65536 * rate * mean / (np.sqrt(square) + EPSILON))

    def state(self):
        return {
            "adam_mean": self.mean,
            "adam_square": self.square,
            "adam_count": np.array(self.count),
        }

    def restore(self, state):
        self.mean, self.square = state["adam_mean"], state["adam_square"]
        self.count = int(state["adam_count"])
