import numpy as np

from ...reference.evolution import BOUNDS


def moved(rho, by):
    """16-bit ρ moved by float64 `by`, in units of 2^-16, rounded and clipped."""
    low, high = BOUNDS[rho.dtype]
    return np.clip(np.rint(rho + by), low, high).astype(rho.dtype)
