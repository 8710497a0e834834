"""Threefry-2x32-20 (Salmon et al., SC 2011), docs/MODEL.md section 3."""

import numpy as np

ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)


def threefry2x32(key, counter) -> tuple[np.ndarray, np.ndarray]:
    """Two words of random bits for each key and counter.

    key, counter: pairs of uint32 scalars or arrays that broadcast. Returns a pair of uint32 arrays.
    """
    k0, k1, x0, x1 = (np.asarray(word, np.uint32) for word in (*key, *counter))
    k0, k1, x0, x1 = np.broadcast_arrays(k0, k1, x0, x1)
    keys = (k0, k1, np.uint32(0x1BD11BDA) ^ k0 ^ k1)
    with np.errstate(over="ignore"):
        x0, x1 = x0 + keys[0], x1 + keys[1]
        for r in range(20):
            rotation = np.uint32(ROTATIONS[r % 8])
            x0 = x0 + x1
            x1 = ((x1 << rotation) | (x1 >> (np.uint32(32) - rotation))) ^ x0
            if r % 4 == 3:
                j = (r + 1) // 4
                x0 = x0 + keys[j % 3]
                x1 = x1 + keys[(j + 1) % 3] + np.uint32(j)
    return x0, x1
