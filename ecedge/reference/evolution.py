"""Natural Evolution Strategies on Bernoulli probabilities, in integers: docs/MODEL.md section 5."""

import math

import numpy as np

from ..errors import UsageError
from .random import threefry2x32
from .sampling import planes_of

ROUNDING_STREAM = 0x80000000

#: ρ's dtype: (lowest, highest) probability kept, for ε = 0.001
BOUNDS = {np.dtype(np.uint16): (66, 65470), np.dtype(np.uint8): (1, 255)}


def centered_ranks(fitness) -> np.ndarray:
    """w_k = #{f_j < f_k} - #{f_j > f_k}. (P,) -> (P,) int32 that sums to 0."""
    fitness = np.asarray(fitness)
    ordered = np.sort(fitness)
    below = np.searchsorted(ordered, fitness, side="left")
    above = len(fitness) - np.searchsorted(ordered, fitness, side="right")
    return (below - above).astype(np.int32)


def gradient(ranks, synapses) -> np.ndarray:
    """G = Σ w_k θ_k. (P,) int32 and (P, n_words) uint32 -> (n_synapses,) int32."""
    packed = np.ascontiguousarray(synapses, "<u4").view(np.uint8)
    bits = np.unpackbits(packed, axis=-1, bitorder="little")
    return np.asarray(ranks, np.int32) @ bits.astype(np.int32)


def softened(synapses, one: int) -> np.ndarray:
    """ρ of 8 bits by a policy: `one` of 256 where it has a synapse, 256 - one where it has none.
    (n_rows, N / 32) uint32 -> (n_synapses,) uint8."""
    packed = np.ascontiguousarray(synapses, "<u4").view(np.uint8).ravel()
    return np.where(np.unpackbits(packed, bitorder="little"), one, 256 - one).astype(np.uint8)


def rho_planes(rho) -> bytes:
    """ρ of 8 bits as a device holds it: for each 32 synapses 8 planes, the most significant first.
    Their CRC-32 is ρ's hash."""
    bits = (rho.reshape(-1, 1, 32) >> np.arange(7, -1, -1, dtype=np.uint8)[:, None]) & 1
    return np.packbits(bits, axis=-1, bitorder="little").tobytes()


def step_size(learning_rate: float, population: int) -> int:
    """E, the step in units of 2**-32 of probability per unit of G; a u32, else UsageError."""
    p = population
    step = math.floor(2**32 * learning_rate * math.sqrt(48 * p) / (2 * p * (p - 1)) + 0.5)
    if not 0 < step < 2**32:
        raise UsageError(f"A learning rate of {learning_rate} is out of range for {p} members.")
    return step


def update_rho(rho, gradient, step: int, seed: int, generation: int) -> np.ndarray:
    """ρ after one step. rho: (n_synapses,) uint16 or uint8; gradient: (n_synapses,) int32."""
    product = np.int64(step) * np.asarray(gradient, np.int64)
    low, high = BOUNDS[rho.dtype]
    if planes_of(rho) == 16:
        moved = rho + ((product + (1 << 15)) >> 16)
    else:
        synapse = np.arange(len(rho), dtype=np.uint32)
        even, odd = threefry2x32((seed, generation), (synapse >> 1, ROUNDING_STREAM))
        uniform = np.where(synapse & 1, odd, even).astype(np.int64) & 0xFFFFFF
        moved = rho + ((product + uniform) >> 24)
    return np.clip(moved, low, high).astype(rho.dtype)
