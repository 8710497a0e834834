import numpy as np

from ...reference import step_size
from ...reference.evolution import BOUNDS


def plain_move(gradient, rate: float, population: int):
    """What the plain step adds to 16-bit ρ, in its units, before it is rounded: float64."""
    return step_size(rate, population) / 65536 * gradient


def moved(rho, by):
    """16-bit ρ moved by float64 `by`, in units of 2^-16, rounded and clipped."""
    low, high = BOUNDS[rho.dtype]
    return np.clip(np.rint(rho + by), low, high).astype(rho.dtype)
