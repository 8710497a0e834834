"""Bernoulli synapses from counter-based random words: docs/MODEL.md section 4."""

import numpy as np

from .random import threefry2x32

MEMBER_LIMIT = 1 << 28


def planes_of(rho) -> int:
    """16 or 8: the bits of ρ, by its dtype."""
    return 8 * np.asarray(rho).dtype.itemsize


def sample_synapses(rho, seed: int, generation: int, member: int) -> np.ndarray:
    """One member's packed synapses. rho: (n_synapses,) uint16 or uint8 -> (n_words,) uint32."""
    rho = np.asarray(rho).reshape(-1, 32)
    planes = planes_of(rho)
    words = np.arange(len(rho), dtype=np.uint32)
    bits = []
    for pair in range(planes // 2):
        bits += threefry2x32((seed, generation), (words, np.uint32(8 * member + pair)))
    random = np.zeros(rho.shape, np.uint32)
    for word in bits:
        random = (random << np.uint32(1)) | (word[:, None] >> np.arange(32, dtype=np.uint32)) & 1
    return packed(random < rho)


def deterministic_synapses(rho) -> np.ndarray:
    """The most probable synapses: (n_synapses,) uint16 or uint8 -> (n_words,) uint32."""
    rho = np.asarray(rho)
    return packed(rho.reshape(-1, 32) >= 1 << (planes_of(rho) - 1))


def packed(bits) -> np.ndarray:
    return np.packbits(bits, axis=-1, bitorder="little").view("<u4").reshape(-1)
