"""The plain step times 4 ρ (1 - ρ): the gradient of the expected fitness, not the natural one.
Synapses that are nearly sure move little, so that chance settles none. Host only: float64, rounded
to ρ's grid."""

from .plain import Plain
from .rounding import moved, plain_move


class Scaled(Plain):
    def update(self, rho, gradient, rate, seed, generation):
        probability = rho / 65536
        plain = plain_move(gradient, rate, self.population)
        return moved(rho, 4 * probability * (1 - probability) * plain)
