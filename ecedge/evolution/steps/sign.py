"""Every synapse moves by the learning rate, up or down. Host only."""

import numpy as np

from .plain import Plain
from .rounding import moved


class Sign(Plain):
    def update(self, rho, gradient, rate, seed, generation):
        return moved(rho, 65536 * rate * np.sign(gradient))
